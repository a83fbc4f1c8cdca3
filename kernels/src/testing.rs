//! What tests of kernels share: comparison that NaN fails, reproducible cases, and every variant present on this machine.

use crate::{Context, Isa, Real};

/// One context per instruction set that this processor has. What is missing is printed; with `HANDGRAD_REQUIRE_ISA` naming
/// an instruction set, its absence is an error instead, so that a machine chosen for it cannot skip it silently.
///
/// # Panics
/// If the required instruction set is missing.
pub fn contexts() -> Vec<Context> {
    let required = std::env::var("HANDGRAD_REQUIRE_ISA").ok();
    Isa::ALL
        .into_iter()
        .filter_map(|isa| {
            let context = Context::cpu_with(isa).ok();
            if context.is_none() {
                assert!(required.as_deref() != Some(isa.name()), "{isa} is required, but this processor lacks it");
                println!("SKIP {isa}: this processor lacks it");
            }
            context
        })
        .collect()
}

/// The largest of `|got - want| / max(1, |want|)`; NaN if any difference is NaN (equal infinities differ by NaN too).
///
/// # Panics
/// If the lengths differ.
pub fn largest_error<T: Real>(got: &[T], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len(), "lengths differ");
    let errors = got.iter().zip(want).map(|(got, want)| (got.to_f64() - want).abs() / want.abs().max(1.0));
    errors.fold(0.0, |worst: f64, error| if worst.is_nan() || error <= worst { worst } else { error })
}

/// Panics unless every element is within `tolerance`, relative to `max(1, |want|)`.
///
/// # Panics
/// If one is not, NaN included.
pub fn assert_close<T: Real>(what: &str, got: &[T], want: &[f64], tolerance: f64) {
    let error = largest_error(got, want);
    assert!(error <= tolerance, "{what}: largest error {error:e}, tolerance {tolerance:e}");
}

/// Reproducible numbers for test cases: uniform on (-1, 1) by SplitMix64, never zero.
#[derive(Clone, Debug)]
pub struct Cases(u64);

impl Cases {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Cases {
        Cases(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One number.
    pub fn real<T: Real>(&mut self) -> T {
        let magnitude = ((self.next() >> 41) + 1) as f64 / (1u64 << 23) as f64;
        T::from_f64(if self.next() & 1 == 0 { magnitude } else { -magnitude })
    }

    /// `len` numbers.
    pub fn reals<T: Real>(&mut self, len: usize) -> Vec<T> {
        (0..len).map(|_| self.real()).collect()
    }

    /// `len` indices below `limit`.
    pub fn indices(&mut self, len: usize, limit: usize) -> Vec<u32> {
        (0..len).map(|_| (self.next() % limit as u64) as u32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_never_close() {
        assert!(largest_error(&[1.0, f64::NAN, 1.0], &[1.0, 1.0, 1.0]).is_nan());
        assert!(largest_error(&[f64::NAN, 5.0], &[1.0, 1.0]).is_nan());
        assert_eq!(largest_error(&[1.0f32, 3.0], &[1.0, 2.0]), 0.5);
    }
}
