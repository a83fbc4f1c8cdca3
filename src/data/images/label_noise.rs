//! Labels replaced by random classes.

use handgrad_kernels::class_noise::{Redraw, class_noise};
use handgrad_kernels::{Context, View, ViewMut};
use serde::{Deserialize, Serialize};

use crate::error::{Result, refuse};
use crate::rng::Counter;

/// Noise in the labels of a classification: with some probability a label is drawn anew, uniformly from all classes, the right one
/// among them. With probability p and k classes, a label is wrong with probability p·(k-1)/k.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ClassNoise {
    /// Labels as they are.
    #[default]
    None,
    /// Once for the whole run.
    Static {
        /// Probability that a label is drawn anew.
        probability: f64,
    },
    /// In every iteration, as "The Probabilistic Stability of SGD" trains its ResNet-18.
    Dynamic {
        /// Probability that a label is drawn anew.
        probability: f64,
    },
}

impl ClassNoise {
    /// Refuses what is no probability.
    ///
    /// # Errors
    /// If it is not in [0, 1].
    pub fn check(self) -> Result<()> {
        match self {
            ClassNoise::Static { probability } | ClassNoise::Dynamic { probability } if !(0.0..=1.0).contains(&probability) => {
                refuse!("class_noise.probability is {probability}, expected a number from 0 to 1")
            }
            _ => Ok(()),
        }
    }

    /// Replaces labels of a batch, in place; `labels[k]` is that of sample `items[k]` of the data set.
    ///
    /// The draws of a sample, a uniform number and a class, are at position step·2^32 + item of the stream, which should be
    /// [`Stream::Noise`](crate::rng::Stream::Noise) of the replica's seed; `step` is one number modulo 2^32. Static noise has those
    /// of step 0 in every step.
    ///
    /// # Errors
    /// If there are not as many labels as items, there are no classes, as [`ClassNoise::check`], or a view is not on the context's
    /// device.
    pub fn apply(
        self,
        cx: &Context,
        classes: usize,
        items: View<'_, u32>,
        step: View<'_, u32>,
        stream: &Counter,
        labels: ViewMut<'_, u32>,
    ) -> Result<()> {
        self.check()?;
        let (probability, step) = match self {
            ClassNoise::None => return Ok(()),
            ClassNoise::Static { probability } => (probability, None),
            ClassNoise::Dynamic { probability } => (probability, Some(step)),
        };
        let redraw = Redraw { probability, classes, decides: stream.uniforms(), gives: stream.integers() };
        Ok(class_noise(cx, &redraw, step, items, labels)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    const CLASSES: usize = 10;

    fn noisy(noise: ClassNoise, items: &[u32], step: u32, label: u32) -> Vec<u32> {
        let mut labels = vec![label; items.len()];
        let (cx, stream) = (Context::cpu().unwrap(), Counter::new(5, Stream::Noise));
        noise.apply(&cx, CLASSES, items.into(), (&[step]).into(), &stream, (&mut labels).into()).unwrap();
        labels
    }

    #[test]
    fn a_share_of_the_labels_is_uniform_over_all_classes() {
        let items: Vec<u32> = (0..100_000).collect();
        for noise in [ClassNoise::Static { probability: 0.4 }, ClassNoise::Dynamic { probability: 0.4 }] {
            let mut counts = [0.0; CLASSES];
            noisy(noise, &items, 7, 3).into_iter().for_each(|label| counts[label as usize] += 1.0);
            for (class, count) in counts.into_iter().enumerate() {
                // 0.4/10 each, and for the right class the 0.6 that stay.
                let share: f64 = if class == 3 { 0.64 } else { 0.04 };
                let deviation = (1e5 * share * (1.0 - share)).sqrt();
                assert!((count - 1e5 * share).abs() <= 4.5 * deviation, "{class}: {count}");
            }
        }
    }

    #[test]
    fn static_noise_stays_and_dynamic_noise_does_not() {
        let items: Vec<u32> = (0..1000).collect();
        let fixed = ClassNoise::Static { probability: 0.5 };
        let fresh = ClassNoise::Dynamic { probability: 0.5 };
        assert_eq!(noisy(fixed, &items, 1, 0), noisy(fixed, &items, 2, 0));
        let changed = |step: u32| -> Vec<bool> { noisy(fresh, &items, step, 0).into_iter().map(|label| label != 0).collect() };
        // Whether a label changes is independent between steps: 0.45² of them twice, ± 0.013.
        let twice = changed(1).into_iter().zip(changed(2)).filter(|&(a, b)| a && b).count();
        assert!((0.2025 - 4.5 * 0.013..0.2025 + 4.5 * 0.013).contains(&(twice as f64 / 1000.0)), "{twice}");
    }

    #[test]
    fn a_label_is_the_same_in_any_batch() {
        let noise = ClassNoise::Dynamic { probability: 0.9 };
        let items = [8, 3, 3, 500, u32::MAX];
        let whole = noisy(noise, &items, 9, 0);
        assert_eq!(whole[1], whole[2]);
        assert!((0..5).all(|k| noisy(noise, &items[k..=k], 9, 0) == whole[k..=k]));
    }

    #[test]
    fn the_ends_of_the_range() {
        let items: Vec<u32> = (0..1000).collect();
        assert_eq!(noisy(ClassNoise::None, &items, 0, 4), [4; 1000]);
        assert_eq!(noisy(ClassNoise::Dynamic { probability: 0.0 }, &items, 0, 4), [4; 1000]);
        let all = noisy(ClassNoise::Dynamic { probability: 1.0 }, &items, 0, 4);
        assert!((50..150).contains(&all.iter().filter(|&&label| label == 4).count()));
        for probability in [-0.1, 1.1, f64::NAN] {
            let line = ClassNoise::Static { probability }.check().unwrap_err().to_string();
            assert!(line.contains("expected a number from 0 to 1"), "{line}");
        }
    }
}
