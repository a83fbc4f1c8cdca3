//! Labels of a classification replaced by random classes.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(test)]
mod tests;

use crate::context::{host, host_mut};
use crate::error::{exact, positive};
use crate::philox::{Words, item_position};
use crate::{Context, Error, Isa, Result, Variants, View, ViewMut};

/// The instruction sets with a variant of their own: a label costs two blocks of random words, a batch has few.
pub const VARIANTS: Variants = Variants { op: "class_noise", isas: &[Isa::Scalar] };

/// How often a label is drawn anew, and out of how many classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Redraw {
    /// Probability, from 0 to 1.
    pub probability: f64,
    /// Classes 0, 1, ...
    pub classes: usize,
    /// The words of the uniform number that decides.
    pub decides: Words,
    /// The words of the class.
    pub gives: Words,
}

/// `labels[k]`, that of sample `items[k]`, becomes a uniform class if a uniform number is below the probability. Both draws are
/// at position step·2^32 + item of their words; `step` is one number, read where the work runs, or 0. Labels are the same on every
/// device.
///
/// # Errors
/// If there are no classes or too many to draw from, there is not one label for each item, the probability is not in [0, 1], or a
/// view is not on the context's device.
pub fn class_noise(cx: &Context, redraw: &Redraw, step: Option<View<u32>>, items: View<u32>, labels: ViewMut<u32>) -> Result<()> {
    const OP: &str = "class_noise";
    let Redraw { probability, classes, decides, gives } = redraw;
    positive(OP, &[("the number of classes", *classes)])?;
    let Ok(classes) = u32::try_from(*classes) else {
        let expected = format!("at most {}", u32::MAX);
        return Err(Error::Shape { op: OP, what: "the number of classes", got: *classes, expected });
    };
    if !(0.0..=1.0).contains(probability) {
        let what = "the probability".to_owned();
        return Err(Error::Value { op: OP, what, got: *probability, expected: "a number from 0 to 1" });
    }
    exact(OP, "step", step.map_or(1, |step| step.len()), 1, "one")?;
    exact(OP, "labels", labels.len(), items.len(), "items")?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::class_noise(device, OP, redraw, classes, step, items, labels);
    }
    cx.require_cpu(OP)?;
    let step = step.map_or(Ok(0), |step| host(OP, "step", step).map(|step| step[0]))?;
    for (label, &item) in host_mut(OP, "labels", labels)?.iter_mut().zip(host(OP, "items", items)?) {
        let position = item_position(step, item);
        if decides.uniform(position) < *probability {
            *label = gives.below(position, classes);
        }
    }
    Ok(())
}
