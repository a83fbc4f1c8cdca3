//! Update rules: plain SGD and GD, and the options of the theory papers' code.

use serde::{Deserialize, Serialize};

use crate::error::{Result, refuse};

/// How one iteration changes the parameters w = (u, v), with the gradient of the half mean squared error over its batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimiser {
    /// Which samples an iteration sees.
    pub batch: Batch,
    /// Noise added to the labels of every iteration.
    #[serde(default)]
    pub label_noise: LabelNoise,
    /// Divide the gradient of u and that of v each by its own norm, if both are positive.
    pub normalised: bool,
    /// c in `u -= c·u·sign(|u| - |v|)` and `v -= c·v·sign(|v| - |u|)`, where sign is -1 at 0: the larger of a pair shrinks.
    pub balancedness: f64,
    /// Gradient taken at perturbed parameters.
    pub sam: Sam,
    /// a in `average = a·average + (1-a)·w` after each iteration; metrics are those of the average. 0: of w itself.
    pub weight_average: f64,
    /// Before each evaluation, GD from the current iterate into the valley below; metrics are those of where it ends.
    pub valley_projection: Option<Valley>,
}

/// Samples of one iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Batch {
    /// All of them: gradient descent.
    Full,
    /// `size` of them: stochastic gradient descent.
    Random {
        /// Samples per iteration.
        size: usize,
        /// How they are drawn.
        sampling: Sampling,
    },
}

/// How the samples of an iteration are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// Uniformly, with replacement.
    Replacement,
    /// Without replacement: a new random permutation of the data every epoch.
    Shuffled,
    /// 0, 1, ..., n-1 and again.
    Fixed,
}

/// Noise ξ that an iteration adds to the labels y.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LabelNoise {
    /// None.
    #[default]
    Off,
    /// ξ_i ~ N(0, variance), independent over samples and iterations.
    Gaussian {
        /// Variance per label.
        variance: f64,
    },
    /// ξ_i = (h(x_i) - y_i)(1 - n·c_i/B), where the batch of size B holds sample i c_i times: the gradient over the whole data
    /// set with labels y + ξ is that of the batch with labels y (sparse-features, Proposition 1).
    Sampled,
}

/// Sharpness-aware variants; ρ is the radius, and no perturbation is normalised.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Sam {
    /// The gradient at w.
    Off,
    /// The gradient at w + ρ∇L(w), L over the whole batch.
    Batch {
        /// Radius.
        rho: f64,
    },
    /// The mean over samples of the gradient of sample i at w + 2ρ r_i ∇h(x_i).
    Sample {
        /// Radius.
        rho: f64,
    },
}

/// Gradient descent into the valley below an iterate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Valley {
    /// Step size.
    pub lr: f64,
    /// Iterations.
    pub steps: u64,
}

/// Larger batches than any data set that fits here; they would only exhaust the memory.
const MAX_BATCH: usize = 1 << 24;

impl Optimiser {
    /// Batch-1 SGD with replacement, everything else off.
    pub fn sgd() -> Optimiser {
        Optimiser::minibatch_sgd(1)
    }

    /// SGD on batches of `size` samples drawn with replacement, everything else off.
    pub fn minibatch_sgd(size: usize) -> Optimiser {
        Optimiser { batch: Batch::Random { size, sampling: Sampling::Replacement }, ..Optimiser::gd() }
    }

    /// Full-batch gradient descent, everything else off.
    pub fn gd() -> Optimiser {
        Optimiser {
            batch: Batch::Full,
            label_noise: LabelNoise::Off,
            normalised: false,
            balancedness: 0.0,
            sam: Sam::Off,
            weight_average: 0.0,
            valley_projection: None,
        }
    }

    /// Whether the fused kernels do exactly this.
    pub fn is_plain(&self) -> bool {
        self.label_noise == LabelNoise::Off
            && !self.normalised
            && self.balancedness == 0.0
            && self.sam == Sam::Off
            && self.weight_average == 0.0
    }

    /// Samples per iteration of a data set of n.
    pub fn batch_size(&self, n: usize) -> usize {
        match self.batch {
            Batch::Full => n,
            Batch::Random { size, .. } => size,
        }
    }

    /// Refuses numbers out of range.
    ///
    /// # Errors
    /// If the batch is empty, an average does not contract, or a radius or step size is not finite.
    pub fn check(&self) -> Result<()> {
        if let Batch::Random { size, .. } = self.batch
            && !(1..=MAX_BATCH).contains(&size)
        {
            return refuse!("optimiser.batch.size is {size}, expected 1 to {MAX_BATCH}");
        }
        match (self.label_noise, self.batch) {
            (LabelNoise::Gaussian { variance }, _) if !(variance.is_finite() && variance >= 0.0) => {
                return refuse!("optimiser.label_noise.variance is {variance}, expected a finite number >= 0");
            }
            (LabelNoise::Sampled, Batch::Full) => {
                return refuse!(
                    "optimiser.label_noise is sampled, but optimiser.batch is full; give it a random batch to sample by"
                );
            }
            _ => {}
        }
        if !(0.0..1.0).contains(&self.weight_average) {
            return refuse!("optimiser.weight_average is {}, expected 0 (off) to below 1", self.weight_average);
        }
        if !self.balancedness.is_finite() || self.balancedness < 0.0 {
            return refuse!("optimiser.balancedness is {}, expected a finite number >= 0", self.balancedness);
        }
        if let Sam::Batch { rho } | Sam::Sample { rho } = self.sam
            && !(rho.is_finite() && rho >= 0.0)
        {
            return refuse!("optimiser.sam.rho is {rho}, expected a finite number >= 0");
        }
        if self.label_noise == LabelNoise::Sampled && self.sam != Sam::Off {
            return refuse!("optimiser.label_noise is sampled and optimiser.sam is on; turn one of them off");
        }
        if let Some(Valley { lr, .. }) = self.valley_projection
            && !(lr.is_finite() && lr > 0.0)
        {
            return refuse!("optimiser.valley_projection.lr is {lr}, expected a finite number > 0");
        }
        Ok(())
    }
}
