//! Squared error of predictions.
//!
//! `loss = scale/(2n) Σ_i (y_i - target_i)²` and `dy_i = scale/n (y_i - target_i)`: the half mean squared error of the
//! theory papers has `scale = 1`, the mean squared error of the frameworks `scale = 2`. The derivative of dy along a tangent of
//! y, for products with the Hessian, is `scale/n` times the tangent.

#[cfg(feature = "cuda")]
mod cuda;
mod scalar;

use crate::context::{host, host_mut};
use crate::{Context, Error, Isa, Real, Result, Variants, View, ViewMut};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "mse", isas: &[Isa::Scalar] };

/// Which multiple of the half mean squared error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MseScale {
    /// `1/(2n) Σ r²`.
    Half,
    /// `1/n Σ r²`.
    Full,
}

impl MseScale {
    pub(crate) fn factor<T: Real>(self) -> T {
        match self {
            MseScale::Half => T::ONE,
            MseScale::Full => T::ONE + T::ONE,
        }
    }
}

/// `scale/(2n) Σ_i (y_i - target_i)²`, summed in order.
///
/// # Errors
/// If the lengths differ or are zero, or a view is not on the context's device.
pub fn mse_forward<T: Real>(cx: &Context, scale: MseScale, y: View<T>, target: View<T>) -> Result<T> {
    const OP: &str = "mse_forward";
    check(OP, "target", target.len(), y.len())?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::mse_forward(device, OP, scale.factor(), y, target);
    }
    cx.require_cpu(OP)?;
    let (y, target) = (host(OP, "y", y)?, host(OP, "target", target)?);
    Ok(scalar::mse_forward(scale.factor(), y, target))
}

/// `dy_i = scale/n (y_i - target_i)`.
///
/// # Errors
/// As [`mse_forward`].
pub fn mse_backward<T: Real>(cx: &Context, scale: MseScale, y: View<T>, target: View<T>, dy: ViewMut<T>) -> Result<()> {
    const OP: &str = "mse_backward";
    check(OP, "target", target.len(), y.len())?;
    check(OP, "dy", dy.len(), y.len())?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::mse_backward(device, OP, scale.factor(), y, target, dy);
    }
    cx.require_cpu(OP)?;
    let (y, target, dy) = (host(OP, "y", y)?, host(OP, "target", target)?, host_mut(OP, "dy", dy)?);
    scalar::mse_backward(scale.factor(), y, target, dy);
    Ok(())
}

/// Derivative of [`mse_backward`] along a tangent of the predictions: `dy_tangent_i = scale/n y_tangent_i`.
///
/// # Errors
/// As [`mse_forward`].
pub fn mse_backward_tangent<T: Real>(cx: &Context, scale: MseScale, y_tangent: View<T>, dy_tangent: ViewMut<T>) -> Result<()> {
    const OP: &str = "mse_backward_tangent";
    check(OP, "dy_tangent", dy_tangent.len(), y_tangent.len())?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::mse_backward_tangent(device, OP, scale.factor(), y_tangent, dy_tangent);
    }
    cx.require_cpu(OP)?;
    let (y_tangent, dy_tangent) = (host(OP, "y_tangent", y_tangent)?, host_mut(OP, "dy_tangent", dy_tangent)?);
    scalar::mse_backward_tangent(scale.factor(), y_tangent, dy_tangent);
    Ok(())
}

fn check(op: &'static str, argument: &'static str, got: usize, expected: usize) -> Result<()> {
    if expected == 0 {
        return Err(Error::Shape { op, what: "the number of predictions", got: 0, expected: "at least 1".to_owned() });
    }
    if got != expected {
        return Err(Error::Length { op, argument, got, expected, formula: "as many as predictions" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;

    use super::*;
    use crate::testing::{Cases, assert_close, contexts, on, on_mut, variant};

    #[test]
    fn forward_value_by_hand() {
        for cx in contexts() {
            let (y, target) = ([1.0, 2.0, -1.0], [0.5, 4.0, -1.0]);
            let half: f64 = mse_forward(&cx, MseScale::Half, on(&cx, &y).view(), on(&cx, &target).view()).unwrap();
            let full: f64 = mse_forward(&cx, MseScale::Full, on(&cx, &y).view(), on(&cx, &target).view()).unwrap();
            assert_eq!(half, 4.25 / 6.0);
            assert_eq!(full, 4.25 / 3.0);
        }
    }

    #[test]
    fn backward_is_the_derivative_of_forward() {
        for cx in contexts() {
            let (y, target) = ([1.3, -0.2, 0.7], [0.1, 0.4, 2.0]);
            for scale in [MseScale::Half, MseScale::Full] {
                let mut dy = [f64::NAN; 3];
                mse_backward(&cx, scale, on(&cx, &y).view(), on(&cx, &target).view(), on_mut(&cx, &mut dy).view_mut()).unwrap();
                for i in 0..3 {
                    let at = |shift: f64| {
                        let mut moved = y;
                        moved[i] += shift;
                        mse_forward::<f64>(&cx, scale, on(&cx, &moved).view(), on(&cx, &target).view()).unwrap()
                    };
                    let numeric = (at(1e-4) - at(-1e-4)) / 2e-4;
                    assert_abs_diff_eq!(dy[i], numeric, epsilon = 1e-9);
                }
            }
        }
    }

    #[test]
    fn tangent_is_the_derivative_of_backward() {
        for cx in contexts() {
            let (y, target, tangent) = ([1.3, -0.2, 0.7], [0.1, 0.4, 2.0], [0.5, -1.0, 3.0]);
            for scale in [MseScale::Half, MseScale::Full] {
                let mut got = [f64::NAN; 3];
                mse_backward_tangent(&cx, scale, on(&cx, &tangent).view(), on_mut(&cx, &mut got).view_mut()).unwrap();
                let at = |shift: f64| {
                    let moved: [f64; 3] = std::array::from_fn(|i| y[i] + shift * tangent[i]);
                    let mut dy = [f64::NAN; 3];
                    mse_backward(&cx, scale, on(&cx, &moved).view(), on(&cx, &target).view(), on_mut(&cx, &mut dy).view_mut())
                        .unwrap();
                    dy
                };
                for (i, got) in got.into_iter().enumerate() {
                    assert_abs_diff_eq!(got, at(0.5)[i] - at(-0.5)[i], epsilon = 1e-14);
                }
            }
        }
    }

    fn against_the_oracle<T: Real>(tolerance: f64) {
        for len in [1, 2, 31, 33, 257, 4095, 4096, 4097, 10_000] {
            let mut cases = Cases::new(len as u64);
            let (y, target): (Vec<T>, Vec<T>) = (cases.reals(len), cases.reals(len));
            let wide = |values: &[T]| values.iter().map(|value| value.to_f64()).collect::<Vec<f64>>();
            let (wide_y, wide_target) = (wide(&y), wide(&target));
            let loss = scalar::mse_forward(2.0, &wide_y, &wide_target);
            let mut want = vec![f64::NAN; len];
            scalar::mse_backward(2.0, &wide_y, &wide_target, &mut want);
            for cx in contexts() {
                let what = format!("{} {} {len}", variant(&cx), T::DTYPE.name());
                let got = mse_forward(&cx, MseScale::Full, on(&cx, &y).view(), on(&cx, &target).view()).unwrap();
                // The scalar sum is in the number type.
                assert_close(&what, &[got], &[loss], tolerance * len as f64);
                let mut dy = vec![T::NAN; len];
                let (y, target) = (on(&cx, &y), on(&cx, &target));
                mse_backward(&cx, MseScale::Full, y.view(), target.view(), on_mut(&cx, &mut dy).view_mut()).unwrap();
                assert_close(&what, &dy, &want, tolerance);
                let mut tangent = vec![T::NAN; len];
                mse_backward_tangent(&cx, MseScale::Full, y.view(), on_mut(&cx, &mut tangent).view_mut()).unwrap();
                let want: Vec<f64> = wide_y.iter().map(|y| 2.0 / len as f64 * y).collect();
                assert_close(&what, &tangent, &want, tolerance);
            }
        }
    }

    #[test]
    fn every_variant_matches_the_oracle() {
        against_the_oracle::<f32>(4e-7);
        against_the_oracle::<f64>(1e-15);
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let cx = Context::cpu().unwrap();
        let (three, two, none) = ([0.0f32; 3], [0.0f32; 2], [0.0f32; 0]);
        let error = mse_forward::<f32>(&cx, MseScale::Half, (&three).into(), (&two).into()).unwrap_err();
        assert!(error.to_string().contains("`target` has 2 elements, expected 3"), "{error}");
        assert!(mse_forward::<f32>(&cx, MseScale::Half, (&none).into(), (&none).into()).is_err());
        let mut dy = [0.0f32; 2];
        assert!(mse_backward::<f32>(&cx, MseScale::Half, (&three).into(), (&three).into(), (&mut dy).into()).is_err());
        assert!(mse_backward_tangent::<f32>(&cx, MseScale::Half, (&three).into(), (&mut dy).into()).is_err());
        assert!(mse_backward_tangent::<f32>(&cx, MseScale::Half, (&none).into(), (&mut dy[..0]).into()).is_err());
    }
}
