//! What tests of kernels share: comparison that NaN fails, reproducible cases, and every variant present on this machine.

use crate::{Buffer, Context, Element, Isa, Real, View, ViewMut};

/// The environment variable that lists what must not be skipped, separated by commas: an instruction set by its name, `cuda`
/// for a real CUDA device, `emulator` for the emulated one.
pub const REQUIRE: &str = "REQUIRE";

/// One context per instruction set that this processor has. What is missing is printed, or an error if `REQUIRE` names it.
///
/// # Panics
/// If something required is missing.
pub fn cpu_contexts() -> Vec<Context> {
    let required = std::env::var(REQUIRE).unwrap_or_default();
    let contexts = Isa::ALL.into_iter().filter_map(|isa| {
        let context = Context::cpu_with(isa).ok();
        if context.is_none() {
            let required = required.split(',').any(|name| name.trim() == isa.name());
            assert!(!required, "{isa} is required, but this processor lacks it");
            println!("SKIP {isa}: this processor lacks it");
        }
        context
    });
    contexts.collect()
}

/// [`cpu_contexts`], and one for a CUDA device: a real one, or else the emulated one.
///
/// # Panics
/// As [`cpu_contexts`].
pub fn contexts() -> Vec<Context> {
    #[cfg(all(test, feature = "cuda"))]
    if let Some(context) = crate::planted::context() {
        return vec![context];
    }
    cpu_contexts().into_iter().chain(cuda_context()).collect()
}

#[cfg(feature = "cuda")]
fn cuda_context() -> Option<Context> {
    Context::on_cuda(handgrad_cuda::testing::device()?).ok()
}

#[cfg(not(feature = "cuda"))]
fn cuda_context() -> Option<Context> {
    None
}

/// Whether a context's device is emulated, a thousand times slower than a real one: fewer and smaller cases are enough for it.
pub fn is_emulated(cx: &Context) -> bool {
    #[cfg(feature = "cuda")]
    let emulated = cx.cuda().is_some_and(|device| device.device().name == handgrad_cuda::emulated::DEVICE_NAME);
    #[cfg(not(feature = "cuda"))]
    let emulated = cx.device() != crate::Device::Cpu;
    emulated
}

/// What a context computes with, for messages: an instruction set or a device.
pub fn variant(cx: &Context) -> String {
    match cx.device() {
        crate::Device::Cpu => cx.isa().to_string(),
        device => device.to_string(),
    }
}

/// Host elements as an operand of a context: the slice itself on the CPU, so that it keeps its alignment, or a copy.
#[derive(Debug)]
pub enum Operand<'a, T: Element> {
    /// For the CPU.
    Host(&'a [T]),
    /// For a card.
    Copy(Buffer<T>),
}

/// An [`Operand`] of `values`.
///
/// # Panics
/// If the card has no room for them.
pub fn on<'a, T: Element>(cx: &Context, values: &'a (impl AsRef<[T]> + ?Sized)) -> Operand<'a, T> {
    match cx.device() {
        crate::Device::Cpu => Operand::Host(values.as_ref()),
        _ => Operand::Copy(copied(cx, values.as_ref())),
    }
}

impl<T: Element> Operand<'_, T> {
    /// Its elements.
    pub fn view(&self) -> View<'_, T> {
        match self {
            Operand::Host(slice) => View::Host(slice),
            Operand::Copy(buffer) => buffer.view(),
        }
    }
}

/// Host elements that a context writes to: the slice itself on the CPU, or a copy that is copied back when it is dropped.
#[derive(Debug)]
pub struct Outcome<'a, T: Element> {
    host: &'a mut [T],
    copy: Option<Buffer<T>>,
}

/// An [`Outcome`] of `values`.
///
/// # Panics
/// If the card has no room for them.
pub fn on_mut<'a, T: Element>(cx: &Context, values: &'a mut (impl AsMut<[T]> + ?Sized)) -> Outcome<'a, T> {
    let host = values.as_mut();
    let copy = match cx.device() {
        crate::Device::Cpu => None,
        _ => Some(copied(cx, host)),
    };
    Outcome { host, copy }
}

impl<T: Element> Outcome<'_, T> {
    /// Its elements.
    pub fn view_mut(&mut self) -> ViewMut<'_, T> {
        match &mut self.copy {
            None => ViewMut::Host(self.host),
            Some(buffer) => buffer.view_mut(),
        }
    }
}

impl<T: Element> Drop for Outcome<'_, T> {
    fn drop(&mut self) {
        // After a kernel that has failed there is nothing to copy, and a second panic would end the process.
        if std::thread::panicking() {
            return;
        }
        if let Some(values) = self.copy.as_ref().map(Buffer::to_vec) {
            let values = values.unwrap_or_else(|error| panic!("{error}"));
            self.host.copy_from_slice(&values);
        }
    }
}

fn copied<T: Element>(cx: &Context, values: &[T]) -> Buffer<T> {
    Buffer::from_slice(cx, values).unwrap_or_else(|error| panic!("{error}"))
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
