//! Global average pooling: every channel's mean over an image's pixels.
//!
//! With x n x pixels x c and y n x c: `y[n,q] = Σ_p x[n,p,q] / pixels` and `dx[n,p,q] = dy[n,q] / pixels`.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(test)]
mod tests;

use crate::context::{host, host_mut};
use crate::error::{exact, positive};
use crate::{Context, Isa, Real, Result, Variants, View, ViewMut};

/// The instruction sets with a variant of their own: the definition is fast enough for the last layers that it serves.
pub const VARIANTS: Variants = Variants { op: "avgpool", isas: &[Isa::Scalar] };

/// Sizes of a batch of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPoolShape {
    /// Images.
    pub n: usize,
    /// Pixels of an image.
    pub pixels: usize,
    /// Channels.
    pub c: usize,
}

impl AvgPoolShape {
    fn check(&self, op: &'static str, [x, y]: [usize; 2], names: [&'static str; 2]) -> Result<()> {
        let &AvgPoolShape { n, pixels, c } = self;
        positive(op, &[("n", n), ("pixels", pixels), ("c", c)])?;
        // A product beyond usize is no slice's length.
        let outputs = n.saturating_mul(c);
        exact(op, names[0], x, outputs.saturating_mul(pixels), "n * pixels * c")?;
        exact(op, names[1], y, outputs, "n * c")
    }
}

/// `y`, the means of x. `x`: n x pixels x c; `y`: n x c.
///
/// # Errors
/// If a size is zero, a length disagrees with the shape, or a view is not on the context's device.
#[cfg_attr(not(feature = "cuda"), expect(unused_variables, reason = "without CUDA there is one device"))]
pub fn avgpool_forward<T: Real>(cx: &Context, shape: &AvgPoolShape, x: View<T>, y: ViewMut<T>) -> Result<()> {
    const OP: &str = "avgpool_forward";
    shape.check(OP, [x.len(), y.len()], ["x", "y"])?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::avgpool_forward(device, OP, shape, x, y);
    }
    let (x, y, pixels) = (host(OP, "x", x)?, host_mut(OP, "y", y)?, T::from_f64(shape.pixels as f64));
    for (image, y) in x.chunks_exact(shape.pixels * shape.c).zip(y.chunks_exact_mut(shape.c)) {
        y.fill(T::ZERO);
        for pixel in image.chunks_exact(shape.c) {
            y.iter_mut().zip(pixel).for_each(|(y, &x)| *y += x);
        }
        y.iter_mut().for_each(|y| *y = *y / pixels);
    }
    Ok(())
}

/// `dx` from `dy`. `dy`: n x c; `dx`: n x pixels x c.
///
/// # Errors
/// As [`avgpool_forward`].
#[cfg_attr(not(feature = "cuda"), expect(unused_variables, reason = "without CUDA there is one device"))]
pub fn avgpool_backward<T: Real>(cx: &Context, shape: &AvgPoolShape, dy: View<T>, dx: ViewMut<T>) -> Result<()> {
    const OP: &str = "avgpool_backward";
    shape.check(OP, [dx.len(), dy.len()], ["dx", "dy"])?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        return cuda::avgpool_backward(device, OP, shape, dy, dx);
    }
    let (dy, dx, pixels) = (host(OP, "dy", dy)?, host_mut(OP, "dx", dx)?, T::from_f64(shape.pixels as f64));
    for (image, dy) in dx.chunks_exact_mut(shape.pixels * shape.c).zip(dy.chunks_exact(shape.c)) {
        for pixel in image.chunks_exact_mut(shape.c) {
            pixel.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx = dy / pixels);
        }
    }
    Ok(())
}
