//! A gradient shortened to a largest Euclidean norm: `g ← g · min(1, max_norm / (‖g‖ + 1e-6))`.
//!
//! Source: `torch.nn.utils.clip_grad_norm_`, PyTorch 2.

#[cfg(feature = "cuda")]
mod cuda;
mod scalar;
mod simd;

use crate::context::host_mut;
use crate::error::positive;
use crate::norm::sum_of_products;
use crate::{Context, Error, Isa, Real, Result, Variants, ViewMut};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "clip", isas: &[Isa::Scalar, Isa::Avx2, Isa::Avx512] };

/// Keeps the division defined where the norm is 0.
const EPSILON: f64 = 1e-6;

/// `min(1, max_norm / (norm + 1e-6))`; 1 for a NaN norm.
#[inline(always)]
pub(crate) fn coefficient<T: Real>(max_norm: T, norm: T) -> T {
    let norm = norm + T::from_f64(EPSILON);
    if max_norm < norm { max_norm / norm } else { T::ONE }
}

/// Scales `gradient` down to the norm `max_norm` if it is longer.
///
/// A NaN norm leaves the gradient as it is; an infinite norm scales it by 0.
///
/// # Errors
/// If the gradient is empty, `max_norm` is negative or NaN, or the view is not on the context's device.
pub fn clip_by_norm<T: Real>(cx: &Context, max_norm: T, gradient: ViewMut<T>) -> Result<()> {
    const OP: &str = "clip_by_norm";
    positive(OP, &[("the number of elements", gradient.len())])?;
    if max_norm.to_f64().is_nan() || max_norm < T::ZERO {
        return Err(Error::Value { op: OP, what: "max_norm".to_owned(), got: max_norm.to_f64(), expected: "at least 0" });
    }
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::clip_by_norm(device, OP, max_norm, gradient);
    }
    let gradient = host_mut(OP, "gradient", gradient)?;
    let norm = sum_of_products(cx, gradient, gradient).sqrt();
    let factor = coefficient(max_norm, norm);
    if factor < T::ONE {
        match VARIANTS.runs_under(cx.isa()) {
            Isa::Scalar => scalar::scale(factor, gradient),
            isa => simd::scale(isa, factor, gradient),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Cases, assert_close, contexts, on_mut, variant};

    /// Of [3, -4, 0.5] to norm 1, by torch.nn.utils.clip_grad_norm_ 2.15 in f64.
    const CLIPPED: [f64; 3] = [0.5970221953141359, -0.7960295937521813, 0.09950369921902266];

    #[test]
    fn values_of_pytorch() {
        for cx in contexts() {
            let mut gradient = [3.0, -4.0, 0.5];
            clip_by_norm(&cx, 1.0, on_mut(&cx, &mut gradient).view_mut()).unwrap();
            assert_close("clipped", &gradient, &CLIPPED, 1e-15);
            clip_by_norm(&cx, 5.0, on_mut(&cx, &mut gradient).view_mut()).unwrap();
            assert_close("short enough", &gradient, &CLIPPED, 1e-15);
        }
    }

    fn against_the_definition<T: Real>(tolerance: f64) {
        for len in [1, 3, 8, 17, 33, 300] {
            let start: Vec<T> = Cases::new(3).reals(len);
            for cx in contexts() {
                let mut got = start.clone();
                clip_by_norm(&cx, T::from_f64(0.25), on_mut(&cx, &mut got).view_mut()).unwrap();
                let norm = start.iter().map(|g| g.to_f64() * g.to_f64()).sum::<f64>().sqrt();
                let want: Vec<f64> = start.iter().map(|g| g.to_f64() * (0.25 / (norm + 1e-6)).min(1.0)).collect();
                assert_close(&format!("{} {} {len}", variant(&cx), T::DTYPE.name()), &got, &want, tolerance);
            }
        }
    }

    #[test]
    fn every_variant_scales_every_element() {
        against_the_definition::<f32>(1e-7);
        against_the_definition::<f64>(1e-15);
    }

    #[test]
    fn nan_leaves_and_infinity_zeroes_the_gradient() {
        for cx in contexts() {
            let mut gradient = [3.0f32, f32::NAN, 4.0];
            clip_by_norm(&cx, 1.0, on_mut(&cx, &mut gradient).view_mut()).unwrap();
            assert_eq!((gradient[0], gradient[1].is_nan(), gradient[2]), (3.0, true, 4.0));
            let mut gradient = [3.0, f64::INFINITY];
            clip_by_norm(&cx, 1.0, on_mut(&cx, &mut gradient).view_mut()).unwrap();
            assert_eq!((gradient[0], gradient[1].is_nan()), (0.0, true));
        }
    }

    #[test]
    fn wrong_arguments_are_refused() {
        let cx = Context::cpu().unwrap();
        let error = clip_by_norm::<f32>(&cx, 1.0, (&mut []).into()).unwrap_err().to_string();
        assert!(error.contains("the number of elements is 0"), "{error}");
        for max_norm in [-1.0, f64::NAN] {
            let error = clip_by_norm(&cx, max_norm, (&mut [1.0]).into()).unwrap_err().to_string();
            assert!(error.contains(&format!("max_norm is {max_norm}, expected at least 0")), "{error}");
        }
    }
}
