use super::{Choice, MistakesShape};
use crate::Real;

pub(super) fn mistakes<T: Real>(shape: &MistakesShape, y: &[T], labels: &[u32]) -> usize {
    let rows = y.chunks_exact(shape.outputs).zip(labels);
    rows.filter(|(y, label)| chosen(shape.choice, y) != Some(**label as usize)).count()
}

fn chosen<T: Real>(choice: Choice, y: &[T]) -> Option<usize> {
    if y.iter().any(|y| y.to_f64().is_nan()) {
        return None;
    }
    match choice {
        Choice::Sign if y[0] > T::ZERO => Some(1),
        Choice::Sign if y[0] < T::ZERO => Some(0),
        Choice::Sign => None,
        Choice::Largest => {
            let above = |a: T, b: T| a.to_f64().total_cmp(&b.to_f64()).is_gt();
            Some((0..y.len()).fold(0, |best, place| if above(y[place], y[best]) { place } else { best }))
        }
    }
}
