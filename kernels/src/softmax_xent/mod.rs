//! Cross-entropy of the softmax of logits against class labels.
//!
//! With logits y of n samples and c classes, labels l and `p_ij = e^(y_ij) / Σ_k e^(y_ik)`:
//!
//! - `loss = 1/n Σ_i (ln Σ_k e^(y_ik) - y_i,l_i)`
//! - `dy_ij = (p_ij - [j = l_i]) / n`
//! - its derivative along a tangent ẏ of y: `p_ij (ẏ_ij - Σ_k p_ik ẏ_ik) / n`
//!
//! The largest logit of each sample is subtracted first, so that nothing overflows. Sums are in `f64`, in order, and results
//! are rounded once.

#[cfg(feature = "cuda")]
mod cuda;
mod scalar;

use crate::context::{host, host_mut};
use crate::error::{exact, positive};
use crate::{Context, Error, Isa, Real, Result, Variants, View, ViewMut};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "softmax_xent", isas: &[Isa::Scalar] };

/// Sizes of a batch of logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftmaxShape {
    /// Samples: rows of y.
    pub n: usize,
    /// Classes: columns of y.
    pub classes: usize,
}

impl SoftmaxShape {
    /// `n` samples of as many logits as classes.
    pub fn new(n: usize, classes: usize) -> SoftmaxShape {
        SoftmaxShape { n, classes }
    }

    fn check(&self, op: &'static str, argument: &'static str, got: usize) -> Result<()> {
        positive(op, &[("batch", self.n), ("classes", self.classes)])?;
        exact(op, argument, got, self.n.saturating_mul(self.classes), "n * classes")
    }

    /// The labels on the host, all of them classes.
    fn labels<'a>(&self, op: &'static str, labels: View<'a, u32>) -> Result<&'a [u32]> {
        let labels = host(op, "labels", labels)?;
        match labels.iter().position(|&label| label as usize >= self.classes) {
            None => Ok(labels),
            Some(position) => {
                let got = labels[position] as usize;
                Err(Error::Index { op, argument: "labels", position, got, limit: self.classes })
            }
        }
    }
}

/// `1/n Σ_i (ln Σ_k e^(y_ik) - y_i,l_i)`.
///
/// `y`: n x classes; `labels`: n, each below the number of classes. On a CUDA device, where labels cannot be looked at before,
/// one that is no class makes the loss NaN, and the derivatives of its sample.
///
/// # Errors
/// If a size is zero, a length disagrees with the shape, a label is no class, or a view is not on the context's device.
pub fn softmax_xent_forward<T: Real>(cx: &Context, shape: &SoftmaxShape, y: View<T>, labels: View<u32>) -> Result<T> {
    const OP: &str = "softmax_xent_forward";
    shape.check(OP, "y", y.len())?;
    exact(OP, "labels", labels.len(), shape.n, "n")?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::softmax_xent_forward(device, OP, shape, y, labels);
    }
    cx.require_cpu(OP)?;
    let (y, labels) = (host(OP, "y", y)?, shape.labels(OP, labels)?);
    Ok(scalar::softmax_xent_forward(shape, y, labels))
}

/// `dy_ij = (p_ij - [j = l_i]) / n`.
///
/// `y`, `dy`: n x classes; `labels`: n.
///
/// # Errors
/// As [`softmax_xent_forward`].
pub fn softmax_xent_backward<T: Real>(
    cx: &Context,
    shape: &SoftmaxShape,
    y: View<T>,
    labels: View<u32>,
    dy: ViewMut<T>,
) -> Result<()> {
    const OP: &str = "softmax_xent_backward";
    shape.check(OP, "y", y.len())?;
    shape.check(OP, "dy", dy.len())?;
    exact(OP, "labels", labels.len(), shape.n, "n")?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::softmax_xent_backward(device, OP, shape, y, labels, dy);
    }
    cx.require_cpu(OP)?;
    let (y, labels, dy) = (host(OP, "y", y)?, shape.labels(OP, labels)?, host_mut(OP, "dy", dy)?);
    scalar::softmax_xent_backward(shape, y, labels, dy);
    Ok(())
}

/// Derivative of [`softmax_xent_backward`] along a tangent of y: `dy_tangent_ij = p_ij (ẏ_ij - Σ_k p_ik ẏ_ik) / n`, which
/// does not depend on the labels.
///
/// `y`, `y_tangent`, `dy_tangent`: n x classes.
///
/// # Errors
/// If a size is zero, a length disagrees with the shape or a view is not on the context's device.
pub fn softmax_xent_backward_tangent<T: Real>(
    cx: &Context,
    shape: &SoftmaxShape,
    y: View<T>,
    y_tangent: View<T>,
    dy_tangent: ViewMut<T>,
) -> Result<()> {
    const OP: &str = "softmax_xent_backward_tangent";
    shape.check(OP, "y", y.len())?;
    shape.check(OP, "y_tangent", y_tangent.len())?;
    shape.check(OP, "dy_tangent", dy_tangent.len())?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::softmax_xent_backward_tangent(device, OP, shape, y, y_tangent, dy_tangent);
    }
    cx.require_cpu(OP)?;
    let (y, y_tangent) = (host(OP, "y", y)?, host(OP, "y_tangent", y_tangent)?);
    let dy_tangent = host_mut(OP, "dy_tangent", dy_tangent)?;
    scalar::softmax_xent_backward_tangent(shape, y, y_tangent, dy_tangent);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Cases, assert_close, contexts, on, on_mut, variant};

    const Y: [f64; 6] = [0.2, -1.0, 3.0, 1000.0, 999.0, -1000.0];
    const TANGENT: [f64; 6] = [1.0, -2.0, 0.5, 0.25, 3.0, -1.0];

    fn values<T: Real>(tolerance: f64) {
        for cx in contexts() {
            let shape = SoftmaxShape::new(2, 3);
            let [y, tangent] = [Y, TANGENT].map(|values| values.map(T::from_f64));
            let loss = softmax_xent_forward(&cx, &shape, on(&cx, &y).view(), on(&cx, &[0, 1]).view()).unwrap();
            assert_close("loss", &[loss], &[2.0947064325840996], tolerance);
            let mut dy = [T::NAN; 6];
            softmax_xent_backward(&cx, &shape, on(&cx, &y).view(), on(&cx, &[0, 1]).view(), on_mut(&cx, &mut dy).view_mut())
                .unwrap();
            let want =
                [-0.47182438406392097, 0.008486332437008207, 0.4633380516269128, 0.36552928931500245, -0.36552928931500245, 0.0];
            assert_close("dy", &dy, &want, tolerance);
            let mut got = [T::NAN; 6];
            softmax_xent_backward_tangent(
                &cx,
                &shape,
                on(&cx, &y).view(),
                on(&cx, &tangent).view(),
                on_mut(&cx, &mut got).view_mut(),
            )
            .unwrap();
            let want =
                [0.01448948085191726, -0.02109484954481446, 0.006605368692897202, -0.2703414082070375, 0.27034140820703756, 0.0];
            assert_close("dy_tangent", &got, &want, tolerance);
        }
    }

    /// torch.nn.functional.cross_entropy and automatic differentiation of it twice, PyTorch 2.15 in f64.
    #[test]
    fn values_of_pytorch() {
        values::<f64>(1e-15);
        values::<f32>(1e-7);
    }

    #[test]
    fn derivatives_are_those_of_central_differences() {
        for cx in contexts() {
            let (shape, labels) = (SoftmaxShape::new(3, 5), [4, 0, 2]);
            let mut cases = Cases::new(1);
            let [y, tangent] = [0; 2].map(|_| cases.reals::<f64>(15));
            let loss = |y: &[f64]| softmax_xent_forward::<f64>(&cx, &shape, on(&cx, y).view(), on(&cx, &labels).view()).unwrap();
            let gradient = |y: &[f64]| {
                let mut dy = vec![f64::NAN; 15];
                softmax_xent_backward(&cx, &shape, on(&cx, y).view(), on(&cx, &labels).view(), on_mut(&cx, &mut dy).view_mut())
                    .unwrap();
                dy
            };
            let moved = |by: f64, along: &[f64]| -> Vec<f64> { y.iter().zip(along).map(|(y, along)| y + by * along).collect() };
            let numeric: Vec<f64> = (0..15)
                .map(|i| {
                    let along: Vec<f64> = (0..15).map(|k| if k == i { 1.0 } else { 0.0 }).collect();
                    (loss(&moved(1e-5, &along)) - loss(&moved(-1e-5, &along))) / 2e-5
                })
                .collect();
            assert_close("dy", &gradient(&y), &numeric, 1e-10);
            let mut got = vec![f64::NAN; 15];
            softmax_xent_backward_tangent(
                &cx,
                &shape,
                on(&cx, &y).view(),
                on(&cx, &tangent).view(),
                on_mut(&cx, &mut got).view_mut(),
            )
            .unwrap();
            let (up, down) = (gradient(&moved(1e-5, &tangent)), gradient(&moved(-1e-5, &tangent)));
            let numeric: Vec<f64> = up.iter().zip(&down).map(|(up, down)| (up - down) / 2e-5).collect();
            assert_close("dy_tangent", &got, &numeric, 1e-10);
        }
    }

    #[test]
    fn far_logits_stay_finite_and_nan_stays_nan() {
        for cx in contexts() {
            let shape = SoftmaxShape::new(1, 2);
            let loss = |y: [f64; 2]| softmax_xent_forward(&cx, &shape, on(&cx, &y).view(), on(&cx, &[0]).view()).unwrap();
            assert_eq!(loss([1e300, -1e300]), 0.0);
            assert_eq!(loss([-1e300, 1e300]), 2e300);
            assert!((loss([50.0, 0.0]) / (-50f64).exp() - 1.0).abs() <= 1e-15, "{}", loss([50.0, 0.0]));
            assert_eq!(loss([0.0, f64::NEG_INFINITY]), 0.0);
            assert!(loss([0.0, f64::NAN]).is_nan() && loss([f64::NAN, 0.0]).is_nan());
        }
    }

    #[test]
    fn a_label_that_is_no_class_is_refused_or_nan() {
        for cx in contexts() {
            let (shape, mut dy) = (SoftmaxShape::new(2, 3), [0.0; 6]);
            let y = on(&cx, &Y);
            let loss = softmax_xent_forward(&cx, &shape, y.view(), on(&cx, &[1, 3]).view());
            let done = softmax_xent_backward(&cx, &shape, y.view(), on(&cx, &[1, 3]).view(), on_mut(&cx, &mut dy).view_mut());
            if cx.device() == crate::Device::Cpu {
                assert!(loss.is_err() && done.is_err());
            } else {
                assert!(loss.unwrap().is_nan());
                assert!(dy[..3].iter().all(|dy| dy.is_finite()) && dy[3..].iter().all(|dy| dy.is_nan()), "{dy:?}");
            }
        }
    }

    #[test]
    fn equal_logits_are_counted_once_each() {
        for cx in contexts() {
            let y = [0.5; 40];
            let loss = softmax_xent_forward(&cx, &SoftmaxShape::new(1, 40), on(&cx, &y).view(), on(&cx, &[7]).view()).unwrap();
            assert_close(&variant(&cx), &[loss], &[40f64.ln()], 1e-15);
        }
    }

    fn against_the_oracle<T: Real>(tolerance: f64) {
        for (n, classes) in [(1, 1), (2, 31), (7, 32), (8, 33), (9, 2), (63, 10), (64, 3), (65, 5), (200, 70)] {
            let (shape, mut cases) = (SoftmaxShape::new(n, classes), Cases::new(n as u64));
            let y: Vec<T> = cases.reals::<T>(n * classes).iter().map(|&y| y * T::from_f64(8.0)).collect();
            let (tangent, labels): (Vec<T>, _) = (cases.reals(n * classes), cases.indices(n, classes));
            let wide = |values: &[T]| values.iter().map(|value| value.to_f64()).collect::<Vec<f64>>();
            let loss = scalar::softmax_xent_forward(&shape, &wide(&y), &labels);
            let (mut want, mut want_tangent) = (vec![f64::NAN; n * classes], vec![f64::NAN; n * classes]);
            scalar::softmax_xent_backward(&shape, &wide(&y), &labels, &mut want);
            scalar::softmax_xent_backward_tangent(&shape, &wide(&y), &wide(&tangent), &mut want_tangent);
            for cx in contexts() {
                let what = format!("{} {} {n} x {classes}", variant(&cx), T::DTYPE.name());
                let (y, tangent) = (on(&cx, &y), on(&cx, &tangent));
                let got = softmax_xent_forward(&cx, &shape, y.view(), on(&cx, &labels).view()).unwrap();
                assert_close(&what, &[got], &[loss], tolerance);
                let mut dy = vec![T::NAN; n * classes];
                softmax_xent_backward(&cx, &shape, y.view(), on(&cx, &labels).view(), on_mut(&cx, &mut dy).view_mut()).unwrap();
                assert_close(&what, &dy, &want, tolerance);
                let mut out = vec![T::NAN; n * classes];
                softmax_xent_backward_tangent(&cx, &shape, y.view(), tangent.view(), on_mut(&cx, &mut out).view_mut()).unwrap();
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
        let attempt = |n: usize, classes: usize, y: usize, labels: &[u32], dy: usize| {
            let (y, mut dy) = (vec![0.0f32; y], vec![0.0; dy]);
            let shape = SoftmaxShape::new(n, classes);
            softmax_xent_backward(&cx, &shape, (&y).into(), labels.into(), (&mut dy).into()).unwrap_err().to_string()
        };
        let error = attempt(2, 3, 6, &[2, 3], 6);
        assert!(error.contains("`labels[1]` is 3, but indices must be below 3"), "{error}");
        assert!(attempt(0, 3, 0, &[], 0).contains("batch is 0, expected at least 1"));
        assert!(attempt(2, 0, 0, &[0, 0], 0).contains("classes is 0, expected at least 1"));
        assert!(attempt(2, 3, 5, &[0, 0], 6).contains("`y` has 5 elements, expected 6 (n * classes)"));
        assert!(attempt(2, 3, 6, &[0], 6).contains("`labels` has 1 elements, expected 2"));
        assert!(attempt(2, 3, 6, &[0, 0], 7).contains("`dy` has 7 elements, expected 6"));
        let (y, mut short) = ([0.0f32; 6], [0.0f32; 5]);
        let y = (&y).into();
        let error = softmax_xent_backward_tangent(&cx, &SoftmaxShape::new(2, 3), y, y, (&mut short).into());
        assert!(error.unwrap_err().to_string().contains("`dy_tangent` has 5 elements"));
    }
}
