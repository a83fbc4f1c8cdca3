//! Update rules: plain SGD and GD, momentum and Adam, and the options of the theory papers' code.

use handgrad_kernels::adam::AdamRule;
use handgrad_kernels::sgd::SgdRule;
use serde::{Deserialize, Serialize};

use crate::data::images::{Augment, ClassNoise};
use crate::error::{Error, Result, refuse};

/// How one iteration changes the parameters w with the gradient of the loss over its batch: label noise, gradient, clipping,
/// weight decay, rule, in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimiser {
    /// Which samples an iteration sees.
    pub batch: Batch,
    /// Noise added to the labels of every iteration.
    #[serde(default)]
    pub label_noise: LabelNoise,
    /// What becomes of the gradient.
    #[serde(default)]
    pub rule: Rule,
    /// λ in `gradient += λ·w`, as in torch.optim.
    #[serde(default)]
    pub weight_decay: f64,
    /// c in `gradient *= min(1, c/(norm + 1e-6))`, as torch.nn.utils.clip_grad_norm_; null: off.
    #[serde(default)]
    pub clip: Option<f64>,
    /// Of diagonal networks: divide the gradient of u and that of v each by its own norm, if both are positive.
    pub normalised: bool,
    /// Of diagonal networks: c in `u -= c·u·sign(|u| - |v|)` and `v -= c·v·sign(|v| - |u|)`, where sign is -1 at 0: the larger of a pair shrinks.
    pub balancedness: f64,
    /// Gradient taken at perturbed parameters.
    pub sam: Sam,
    /// a in `average = a·average + (1-a)·w` after each iteration; metrics are those of the average. 0: of w itself.
    pub weight_average: f64,
    /// Before each evaluation, GD from the current iterate into the valley below; metrics are those of where it ends.
    pub valley_projection: Option<Valley>,
    /// Stochastic weight averaging: the plain mean of iterates of the end of the run; metrics are those of the mean, with running
    /// statistics that are taken anew over the training set.
    #[serde(default)]
    pub swa: Option<Swa>,
    /// What is done to the images of an iteration.
    #[serde(default)]
    pub augment: Augment,
    /// Random labels in the place of an iteration's classes.
    #[serde(default)]
    pub class_noise: ClassNoise,
}

/// From a gradient g to an update.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Rule {
    /// torch.optim.SGD: `b = g` at first, then `b = momentum·b + (1 - dampening)·g`; `w -= η·b`, or with Nesterov's
    /// look-ahead `w -= η·(g + momentum·b)`.
    Sgd {
        /// Momentum; 0: off.
        momentum: f64,
        /// Dampening.
        dampening: f64,
        /// Nesterov's look-ahead.
        nesterov: bool,
    },
    /// torch.optim.Adam (Kingma & Ba 2015), decay as L2.
    Adam {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root.
        epsilon: f64,
    },
}

impl Default for Rule {
    fn default() -> Rule {
        Rule::Sgd { momentum: 0.0, dampening: 0.0, nesterov: false }
    }
}

impl Rule {
    /// Adam with PyTorch's defaults.
    pub fn adam() -> Rule {
        Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }

    /// Numbers that it keeps per parameter.
    pub fn memory(self) -> usize {
        match self {
            Rule::Sgd { momentum, .. } => usize::from(momentum != 0.0),
            Rule::Adam { .. } => 2,
        }
    }

    fn check(self) -> Result<()> {
        match self {
            Rule::Sgd { momentum, dampening, nesterov } => {
                if !(momentum.is_finite() && momentum >= 0.0 && dampening.is_finite()) {
                    return refuse!(
                        "optimiser.rule: momentum = {momentum} and dampening = {dampening}, expected a momentum >= 0 and finite numbers"
                    );
                }
                if nesterov && (momentum == 0.0 || dampening != 0.0) {
                    return refuse!(
                        "optimiser.rule.nesterov needs a momentum > 0 and no dampening, got {momentum} and {dampening}"
                    );
                }
                Ok(())
            }
            Rule::Adam { beta1, beta2, epsilon } => {
                let decays = (0.0..1.0).contains(&beta1) && (0.0..1.0).contains(&beta2);
                match decays && epsilon.is_finite() && epsilon >= 0.0 {
                    true => Ok(()),
                    false => refuse!(
                        "optimiser.rule: beta1 = {beta1}, beta2 = {beta2} and epsilon = {epsilon}, expected decays in [0, 1) and epsilon >= 0"
                    ),
                }
            }
        }
    }
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
    /// Without replacement: a new random permutation of the data every epoch; a batch may straddle two epochs.
    Shuffled,
    /// The same, but the last batch of an epoch holds what is left of it, as PyTorch's DataLoader has it.
    Epochs,
    /// The same, but what is left of an epoch is passed over: PyTorch's `drop_last`.
    DropLast,
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
    /// The same, drawn once for the whole run.
    Static {
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
    /// The mean over samples of the gradient of sample i at w + 2ρ r_i ∇h(x_i), or w + ρ∇ℓ_i for losses that are not squared.
    Sample {
        /// Radius.
        rho: f64,
    },
}

/// Which iterates [`Optimiser::swa`] averages (Izmailov et al. 2018).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Swa {
    /// The first iteration whose parameters count, after its update.
    pub start: u64,
    /// Iterations from one that counts to the next.
    pub every: u64,
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

/// Iterations with batches of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batches {
    /// Samples per iteration.
    pub size: usize,
    /// Position of the first sample in the replica's order; those of the following iterations come right after.
    pub start: u64,
    /// How many iterations have this size.
    pub count: u64,
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
            rule: Rule::default(),
            weight_decay: 0.0,
            clip: None,
            normalised: false,
            balancedness: 0.0,
            sam: Sam::Off,
            weight_average: 0.0,
            valley_projection: None,
            swa: None,
            augment: Augment::None,
            class_noise: ClassNoise::None,
        }
    }

    /// Whether it is gradient steps with at most clipping and weight decay: what the fused kernels of perceptrons do.
    pub fn is_plain(&self) -> bool {
        self.label_noise == LabelNoise::Off
            && self.rule == Rule::default()
            && !self.normalised
            && self.balancedness == 0.0
            && self.sam == Sam::Off
            && !self.averages()
            && self.augment == Augment::None
            && self.class_noise == ClassNoise::None
    }

    /// Whether it is gradient steps and nothing else: what the fused kernels of diagonal networks do.
    pub fn is_bare(&self) -> bool {
        self.is_plain() && self.clip.is_none() && self.weight_decay == 0.0
    }

    /// Whether metrics are those of an average of iterates.
    pub fn averages(&self) -> bool {
        self.weight_average > 0.0 || self.swa.is_some()
    }

    /// a in `average = a·average + (1-a)·w` after an iteration; none if the average stays as it is.
    pub(crate) fn kept_average(&self, step: u64) -> Option<f64> {
        match self.swa {
            None => Some(self.weight_average),
            // The average follows the iterate until the first one counts.
            Some(Swa { start, .. }) if step < start => Some(0.0),
            Some(Swa { start, every }) => {
                let counted = ((step - start) / every) as f64;
                (step - start).is_multiple_of(every).then_some(counted / (counted + 1.0))
            }
        }
    }

    /// Most samples per iteration of a data set of n.
    pub fn batch_size(&self, n: usize) -> usize {
        match self.batch {
            Batch::Full => n,
            Batch::Random { size, sampling: Sampling::Epochs | Sampling::DropLast } => size.min(n),
            Batch::Random { size, .. } => size,
        }
    }

    /// The batches from iteration `step` on, as long as their size stays the same.
    pub fn batches(&self, step: u64, n: usize) -> Batches {
        let size = self.batch_size(n);
        let sampling = match self.batch {
            Batch::Random { sampling: sampling @ (Sampling::Epochs | Sampling::DropLast), .. } if !n.is_multiple_of(size) => {
                sampling
            }
            _ => return Batches { size, start: step * size as u64, count: u64::MAX },
        };
        let whole = (n / size) as u64;
        if sampling == Sampling::DropLast {
            let (epoch, place) = (step / whole, step % whole);
            return Batches { size, start: epoch * n as u64 + place * size as u64, count: whole - place };
        }
        let (epoch, place) = (step / (whole + 1), step % (whole + 1));
        let start = epoch * n as u64 + place * size as u64;
        if place < whole { Batches { size, start, count: whole - place } } else { Batches { size: n % size, start, count: 1 } }
    }

    /// The rule of the SGD kernel, decay included.
    pub(crate) fn sgd_rule(&self) -> Option<SgdRule> {
        match self.rule {
            Rule::Sgd { momentum, dampening, nesterov } => {
                Some(SgdRule { momentum, dampening, nesterov, weight_decay: self.weight_decay })
            }
            Rule::Adam { .. } => None,
        }
    }

    /// The rule of the Adam kernel, decay included.
    pub(crate) fn adam_rule(&self) -> Option<AdamRule> {
        match self.rule {
            Rule::Adam { beta1, beta2, epsilon } => Some(AdamRule { beta1, beta2, epsilon, weight_decay: self.weight_decay }),
            Rule::Sgd { .. } => None,
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
            (LabelNoise::Gaussian { variance } | LabelNoise::Static { variance }, _)
                if !(variance.is_finite() && variance >= 0.0) =>
            {
                return refuse!("optimiser.label_noise.variance is {variance}, expected a finite number >= 0");
            }
            (LabelNoise::Sampled, Batch::Full) => {
                return refuse!(
                    "optimiser.label_noise is sampled, but optimiser.batch is full; give it a random batch to sample by"
                );
            }
            _ => {}
        }
        self.rule.check()?;
        let within = |error: Error| Error::Input(format!("optimiser.{error}"));
        self.augment.check().map_err(within)?;
        self.class_noise.check().map_err(within)?;
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            return refuse!("optimiser.weight_decay is {}, expected a finite number >= 0", self.weight_decay);
        }
        if let Some(clip) = self.clip
            && !(clip.is_finite() && clip > 0.0)
        {
            return refuse!("optimiser.clip is {clip}, expected a finite norm > 0, or null for none");
        }
        if !(0.0..1.0).contains(&self.weight_average) {
            return refuse!("optimiser.weight_average is {}, expected 0 (off) to below 1", self.weight_average);
        }
        if self.swa.is_some_and(|swa| swa.every == 0) || (self.swa.is_some() && self.weight_average > 0.0) {
            return refuse!(
                "optimiser.swa: every is 0, or optimiser.weight_average is on too; average in one way, every 1 or more"
            );
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swa_is_the_plain_mean_of_what_counts() {
        let optimiser = Optimiser { swa: Some(Swa { start: 3, every: 2 }), ..Optimiser::sgd() };
        let (mut average, mut counted) = (0.0, Vec::new());
        for step in 0..10 {
            let w = (step * step) as f64;
            if let Some(keep) = optimiser.kept_average(step as u64) {
                average = keep * average + (1.0 - keep) * w;
            }
            if step >= 3 && (step - 3) % 2 == 0 {
                counted.push(w);
            }
            let want = if counted.is_empty() { w } else { counted.iter().sum::<f64>() / counted.len() as f64 };
            assert!((average - want).abs() <= 1e-12, "{step}: {average}, not {want}");
        }
    }

    #[test]
    fn the_last_batch_of_an_epoch_is_what_is_left() {
        let batches = |size, sampling| Optimiser { batch: Batch::Random { size, sampling }, ..Optimiser::gd() };
        let epochs = batches(512, Sampling::Epochs);
        let at = |step| epochs.batches(step, 10_000);
        assert_eq!(at(0), Batches { size: 512, start: 0, count: 19 });
        assert_eq!(at(18), Batches { size: 512, start: 18 * 512, count: 1 });
        assert_eq!(at(19), Batches { size: 272, start: 19 * 512, count: 1 });
        assert_eq!(at(20), Batches { size: 512, start: 10_000, count: 19 });
        let dropping = batches(256, Sampling::DropLast);
        assert_eq!(dropping.batches(38, 10_000), Batches { size: 256, start: 38 * 256, count: 1 });
        assert_eq!(dropping.batches(39, 10_000), Batches { size: 256, start: 10_000, count: 39 });
        assert_eq!(dropping.batches(5, 100), Batches { size: 100, start: 500, count: u64::MAX });
        assert_eq!(batches(5, Sampling::Epochs).batches(7, 10), Batches { size: 5, start: 35, count: u64::MAX });
        assert_eq!(batches(64, Sampling::Epochs).batches(3, 10), Batches { size: 10, start: 30, count: u64::MAX });
        assert_eq!(batches(4, Sampling::Shuffled).batches(7, 10), Batches { size: 4, start: 28, count: u64::MAX });
    }
}
