//! Logistic loss of real-valued predictions y against targets t of -1 and 1.
//!
//! With the logistic sigmoid σ and margins `z_i = t_i y_i`:
//!
//! - `loss = 1/n Σ_i ln(1 + e^(-z_i))`
//! - `dy_i = -t_i σ(-z_i) / n`
//! - its derivative along a tangent of y: `σ(z_i) σ(-z_i) / n` times the tangent
//!
//! Nothing overflows however large |y| is. Each element is computed in `f64` and rounded once; the loss is summed in `f64`, in
//! order.

#[cfg(feature = "cuda")]
mod cuda;
mod scalar;

use crate::context::{host, host_mut};
use crate::error::{exact, positive};
use crate::{Context, Error, Isa, Real, Result, Variants, View, ViewMut};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "logistic", isas: &[Isa::Scalar] };

/// `1/n Σ_i ln(1 + e^(-t_i y_i))`.
///
/// # Errors
/// If the lengths differ or are zero, a target is neither -1 nor 1 (on a CUDA device targets are not looked at: they would have
/// to travel), or a view is not on the context's device.
pub fn logistic_forward<T: Real>(cx: &Context, y: View<T>, target: View<T>) -> Result<T> {
    const OP: &str = "logistic_forward";
    check(OP, &[("y", y.len()), ("target", target.len())])?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::logistic_forward(device, OP, y, target);
    }
    cx.require_cpu(OP)?;
    let (y, target) = (host(OP, "y", y)?, targets(OP, target)?);
    Ok(scalar::logistic_forward(y, target))
}

/// `dy_i = -t_i σ(-t_i y_i) / n`.
///
/// # Errors
/// As [`logistic_forward`].
pub fn logistic_backward<T: Real>(cx: &Context, y: View<T>, target: View<T>, dy: ViewMut<T>) -> Result<()> {
    const OP: &str = "logistic_backward";
    check(OP, &[("y", y.len()), ("target", target.len()), ("dy", dy.len())])?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::logistic_backward(device, OP, y, target, dy);
    }
    cx.require_cpu(OP)?;
    let (y, target, dy) = (host(OP, "y", y)?, targets(OP, target)?, host_mut(OP, "dy", dy)?);
    scalar::logistic_backward(y, target, dy);
    Ok(())
}

/// Derivative of [`logistic_backward`] along a tangent of y: `dy_tangent_i = σ(t_i y_i) σ(-t_i y_i) / n y_tangent_i`.
///
/// # Errors
/// As [`logistic_forward`].
pub fn logistic_backward_tangent<T: Real>(
    cx: &Context,
    y: View<T>,
    target: View<T>,
    y_tangent: View<T>,
    dy_tangent: ViewMut<T>,
) -> Result<()> {
    const OP: &str = "logistic_backward_tangent";
    let lengths = [("y", y.len()), ("target", target.len()), ("y_tangent", y_tangent.len()), ("dy_tangent", dy_tangent.len())];
    check(OP, &lengths)?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::logistic_backward_tangent(device, OP, y, target, y_tangent, dy_tangent);
    }
    cx.require_cpu(OP)?;
    // The derivative is the same for both targets.
    targets(OP, target)?;
    let (y, y_tangent) = (host(OP, "y", y)?, host(OP, "y_tangent", y_tangent)?);
    let dy_tangent = host_mut(OP, "dy_tangent", dy_tangent)?;
    scalar::logistic_backward_tangent(y, y_tangent, dy_tangent);
    Ok(())
}

/// All are as long as the first, which is not empty.
fn check(op: &'static str, lengths: &[(&'static str, usize)]) -> Result<()> {
    let predictions = lengths[0].1;
    positive(op, &[("batch", predictions)])?;
    lengths.iter().try_for_each(|&(argument, got)| exact(op, argument, got, predictions, "as many as predictions"))
}

/// The targets, each of them -1 or 1.
fn targets<'a, T: Real>(op: &'static str, target: View<'a, T>) -> Result<&'a [T]> {
    let target = host(op, "target", target)?;
    match target.iter().position(|t| t.abs() != T::ONE) {
        None => Ok(target),
        Some(position) => {
            let (what, got) = (format!("`target[{position}]`"), target[position].to_f64());
            Err(Error::Value { op, what, got, expected: "-1 or 1; recode the labels" })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Cases, assert_close, contexts, on, on_mut, variant};

    const Y: [f64; 5] = [0.3, 0.8, -40.0, -2.5, 800.0];
    const TARGET: [f64; 5] = [1.0, -1.0, 1.0, -1.0, 1.0];
    const TANGENT: [f64; 5] = [1.0, -2.0, 0.5, 0.25, 3.0];

    fn round<T: Real>(values: &[f64]) -> Vec<T> {
        values.iter().map(|&value| T::from_f64(value)).collect()
    }

    fn values<T: Real>(tolerance: f64) {
        for cx in contexts() {
            let [y, target, tangent] = [Y, TARGET, TANGENT].map(|values| round::<T>(&values));
            let loss = logistic_forward(&cx, on(&cx, &y).view(), on(&cx, &target).view()).unwrap();
            assert_close("loss", &[loss], &[8.360869128941772], tolerance);
            let mut dy = vec![T::NAN; 5];
            logistic_backward(&cx, on(&cx, &y).view(), on(&cx, &target).view(), on_mut(&cx, &mut dy).view_mut()).unwrap();
            let want = [-0.08511149663766822, 0.1379948962255225, -0.2, 0.015171636004248715, 0.0];
            assert_close("dy", &dy, &want, tolerance);
            let mut got = vec![T::NAN; 5];
            logistic_backward_tangent(
                &cx,
                on(&cx, &y).view(),
                on(&cx, &target).view(),
                on(&cx, &tangent).view(),
                on_mut(&cx, &mut got).view_mut(),
            )
            .unwrap();
            let want = [0.04889166233814917, -0.08556387860811776, 0.0, 0.003505185827255408, 0.0];
            assert_close("dy_tangent", &got, &want, tolerance);
        }
    }

    /// torch.nn.functional.softplus of -t·y, and automatic differentiation of its mean twice, PyTorch 2.15 in f64.
    #[test]
    fn values_of_pytorch() {
        values::<f64>(1e-15);
        values::<f32>(1e-7);
    }

    #[test]
    fn derivatives_are_those_of_central_differences() {
        for cx in contexts() {
            let (y, target, tangent) = ([1.3, -0.2, 0.7], [1.0, 1.0, -1.0], [0.5, -1.0, 3.0]);
            let loss = |y: &[f64; 3]| logistic_forward::<f64>(&cx, on(&cx, y).view(), on(&cx, &target).view()).unwrap();
            let gradient = |y: &[f64; 3]| {
                let mut dy = [f64::NAN; 3];
                logistic_backward(&cx, on(&cx, y).view(), on(&cx, &target).view(), on_mut(&cx, &mut dy).view_mut()).unwrap();
                dy
            };
            let moved = |by: f64, along: &[f64; 3]| -> [f64; 3] { std::array::from_fn(|i| y[i] + by * along[i]) };
            let numeric: [f64; 3] = std::array::from_fn(|i| {
                let along = std::array::from_fn(|k| if k == i { 1.0 } else { 0.0 });
                (loss(&moved(1e-5, &along)) - loss(&moved(-1e-5, &along))) / 2e-5
            });
            assert_close("dy", &gradient(&y), &numeric, 1e-10);
            let mut got = [f64::NAN; 3];
            logistic_backward_tangent(
                &cx,
                on(&cx, &y).view(),
                on(&cx, &target).view(),
                on(&cx, &tangent).view(),
                on_mut(&cx, &mut got).view_mut(),
            )
            .unwrap();
            let (up, down) = (gradient(&moved(1e-5, &tangent)), gradient(&moved(-1e-5, &tangent)));
            let numeric: [f64; 3] = std::array::from_fn(|i| (up[i] - down[i]) / 2e-5);
            assert_close("dy_tangent", &got, &numeric, 1e-10);
        }
    }

    #[test]
    fn far_margins_keep_their_digits() {
        for cx in contexts() {
            let loss = |y: f64| logistic_forward(&cx, on(&cx, &[y]).view(), on(&cx, &[1.0]).view()).unwrap();
            // ln(1 + e^-50) = e^-50 to twenty digits.
            assert!((loss(50.0) / (-50f64).exp() - 1.0).abs() <= 1e-15);
            assert_eq!(loss(-1e300), 1e300);
            assert_eq!(loss(f64::INFINITY), 0.0);
            assert!(loss(f64::NAN).is_nan());
            let mut dy = [f64::NAN];
            logistic_backward(&cx, on(&cx, &[50.0]).view(), on(&cx, &[1.0]).view(), on_mut(&cx, &mut dy).view_mut()).unwrap();
            assert!((-dy[0] / (-50f64).exp() - 1.0).abs() <= 1e-15);
        }
    }

    fn against_the_oracle<T: Real>(tolerance: f64) {
        for len in [1, 2, 31, 33, 257, 4095, 4096, 4097, 10_000] {
            let mut cases = Cases::new(len as u64);
            let y: Vec<T> = cases.reals::<T>(len).iter().map(|&y| y * T::from_f64(30.0)).collect();
            let target: Vec<T> = cases.reals::<T>(len).iter().map(|&t| if t < T::ZERO { -T::ONE } else { T::ONE }).collect();
            let tangent: Vec<T> = cases.reals(len);
            let wide = |values: &[T]| values.iter().map(|value| value.to_f64()).collect::<Vec<f64>>();
            let loss = scalar::logistic_forward(&wide(&y), &wide(&target));
            let (mut want, mut want_tangent) = (vec![f64::NAN; len], vec![f64::NAN; len]);
            scalar::logistic_backward(&wide(&y), &wide(&target), &mut want);
            scalar::logistic_backward_tangent(&wide(&y), &wide(&tangent), &mut want_tangent);
            for cx in contexts() {
                let what = format!("{} {} {len}", variant(&cx), T::DTYPE.name());
                let (y, target, tangent) = (on(&cx, &y), on(&cx, &target), on(&cx, &tangent));
                let got = logistic_forward(&cx, y.view(), target.view()).unwrap();
                assert_close(&what, &[got], &[loss], tolerance * loss.max(1.0));
                let mut dy = vec![T::NAN; len];
                logistic_backward(&cx, y.view(), target.view(), on_mut(&cx, &mut dy).view_mut()).unwrap();
                assert_close(&what, &dy, &want, tolerance);
                let mut out = vec![T::NAN; len];
                let (y, target, tangent) = (y.view(), target.view(), tangent.view());
                logistic_backward_tangent(&cx, y, target, tangent, on_mut(&cx, &mut out).view_mut()).unwrap();
                assert_close(&what, &out, &want_tangent, tolerance);
            }
        }
    }

    #[test]
    fn every_variant_matches_the_oracle() {
        against_the_oracle::<f32>(1e-7);
        against_the_oracle::<f64>(1e-14);
    }

    #[test]
    fn wrong_arguments_are_refused() {
        let cx = Context::cpu().unwrap();
        let attempt = |y: &[f32], target: &[f32], dy: usize| {
            let mut dy = vec![0.0; dy];
            logistic_backward(&cx, y.into(), target.into(), (&mut dy).into()).unwrap_err().to_string()
        };
        let error = attempt(&[0.0; 2], &[1.0, 0.0], 2);
        assert!(error.contains("logistic_backward: `target[1]` is 0, expected -1 or 1; recode the labels"), "{error}");
        assert!(attempt(&[0.0; 1], &[f32::NAN], 1).contains("`target[0]` is NaN"));
        assert!(attempt(&[], &[], 0).contains("batch is 0, expected at least 1"));
        assert!(attempt(&[0.0; 2], &[1.0], 2).contains("`target` has 1 elements, expected 2"));
        assert!(attempt(&[0.0; 2], &[1.0; 2], 3).contains("`dy` has 3 elements, expected 2"));
        let (two, mut three) = ([1.0f32; 2], [0.0f32; 3]);
        let two = (&two).into();
        let error = logistic_backward_tangent(&cx, two, two, two, (&mut three).into()).unwrap_err().to_string();
        assert!(error.contains("`dy_tangent` has 3 elements, expected 2"), "{error}");
    }
}
