//! Convolution of images in two dimensions, with square windows, without bias.
//!
//! With x n x h x w x c and y n x y.h x y.w x k (both NHWC), weights k x size x size x c, and zeros around the image:
//!
//! - forward: `y[n,i,j,o] = Σ_{r,s,q} x[n, i·stride + r - pad, j·stride + s - pad, q] w[o,r,s,q]`
//! - backward: `dx` and `dw` are the adjoints of that map, by x and by w.
//!
//! The vector variant sums products in registers over windows that lie side by side. Samples are grouped by the shape alone, groups
//! run side by side on rayon's threads, and sums over groups are in their order: bits do not depend on the number of threads.

#[cfg(feature = "cuda")]
mod cuda;
mod scalar;
mod simd;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use simd::Conv2dSimd;

use crate::context::{host, host_mut};
use crate::error::{exact, positive};
use crate::{Acc, Context, Error, Isa, Real, Result, Variants, View, ViewMut};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "conv2d", isas: &[Isa::Scalar, Isa::Avx2, Isa::Avx512] };

/// How convolutions are computed on the CPU by its vector variants.
///
/// Winograd's minimal filtering F(m x m, 3 x 3) takes (m+2)² products per pair of channels where the definition takes 9 m². It
/// applies to windows of 3 x 3 with stride 1; others are computed directly whatever is asked for. The price is rounding: of uniform
/// numbers on (-1, 1) in f32, 64 to 512 channels, results differ from f64's by this much of their root mean square:
///
/// | | root mean square | largest |
/// | --- | --- | --- |
/// | direct, y and dx (dw) | 4e-7 (3e-7) | 4e-6 (3e-6) |
/// | m = 2 | 3e-7 (3e-7) | 2e-6 (2e-6) |
/// | m = 4 | 2e-6 (1e-6) | 4e-5 (2e-5) |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Convolution {
    /// Minimal filtering in f32 where it is quicker, with the m of fewer products; directly elsewhere.
    #[default]
    Auto,
    /// The sums of the definition.
    Direct,
    /// F(2 x 2, 3 x 3).
    Winograd2,
    /// F(4 x 4, 3 x 3).
    Winograd4,
}

/// Sizes of a batch of images and of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dShape {
    /// Images.
    pub n: usize,
    /// Rows of x.
    pub h: usize,
    /// Columns of x.
    pub w: usize,
    /// Channels of x.
    pub c: usize,
    /// Channels of y.
    pub k: usize,
    /// Rows and columns of the window.
    pub size: usize,
    /// Distance between windows.
    pub stride: usize,
    /// Zeros on each side of x.
    pub pad: usize,
}

impl Conv2dShape {
    /// Rows and columns of y; 0 where the window is larger than the image with its zeros.
    pub fn out(&self) -> [usize; 2] {
        [self.h, self.w].map(|extent| match (extent + 2 * self.pad).checked_sub(self.size) {
            Some(room) => room / self.stride.max(1) + 1,
            None => 0,
        })
    }

    /// Numbers in one image of x.
    fn image(&self) -> usize {
        self.h * self.w * self.c
    }

    /// Numbers in a window.
    fn window(&self) -> usize {
        self.size * self.size * self.c
    }

    /// Windows in an image.
    fn windows(&self) -> usize {
        let [rows, columns] = self.out();
        rows * columns
    }

    /// Lengths of x, w and y; refuses sizes that make no convolution.
    fn lengths(&self, op: &'static str) -> Result<[usize; 3]> {
        let &Conv2dShape { n, h, w, c, k, size, stride, pad } = self;
        positive(op, &[("n", n), ("h", h), ("w", w), ("c", c), ("k", k), ("size", size), ("stride", stride)])?;
        let refuse = |what, got, expected: &str| Err(Error::Shape { op, what, got, expected: expected.to_owned() });
        if pad >= size {
            return refuse("pad", pad, &format!("less than the window's size {size}: every window must see some of the image"));
        }
        let smaller = h.min(w);
        if smaller.saturating_add(2 * pad) < size {
            return refuse("size", size, &format!("at most {}, the image with its zeros", smaller + 2 * pad));
        }
        let [rows, columns] = self.out();
        let product = |factors: &[usize]| factors.iter().try_fold(1_usize, |product, &factor| product.checked_mul(factor));
        match [product(&[n, h, w, c]), product(&[k, size, size, c]), product(&[n, rows, columns, k])] {
            [Some(x), Some(w), Some(y)] => Ok([x, w, y]),
            _ => refuse("n", n, "sizes whose products fit into memory"),
        }
    }
}

/// `y = x * w`, set or accumulated.
///
/// `x`: n x h x w x c; `w`: k x size x size x c; `y`: n x [`out`](Conv2dShape::out) x k.
///
/// # Errors
/// If a size is zero, the window does not fit, a length disagrees with the shape, or a view is not on the context's device.
pub fn conv2d_forward<T: Real>(cx: &Context, shape: &Conv2dShape, x: View<T>, w: View<T>, y: ViewMut<T>, acc: Acc) -> Result<()> {
    const OP: &str = "conv2d_forward";
    check(OP, shape, [x.len(), w.len(), y.len()], ["x", "w", "y"])?;
    #[cfg(feature = "cuda")]
    if let Some(multiplier) = cx.multiplier() {
        return cuda::conv2d_forward(multiplier, OP, shape, [x, w], y, acc);
    }
    let (x, w, y) = (host(OP, "x", x)?, host(OP, "w", w)?, host_mut(OP, "y", y)?);
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::conv2d_forward(shape, x, w, y, acc),
        isa => T::conv2d_forward(cx, isa, shape, x, w, y, acc),
    }
    Ok(())
}

/// `dx`, the gradient by x, set or accumulated.
///
/// # Errors
/// As [`conv2d_forward`].
pub fn conv2d_backward_data<T: Real>(
    cx: &Context,
    shape: &Conv2dShape,
    w: View<T>,
    dy: View<T>,
    dx: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    const OP: &str = "conv2d_backward_data";
    check(OP, shape, [dx.len(), w.len(), dy.len()], ["dx", "w", "dy"])?;
    #[cfg(feature = "cuda")]
    if let Some(multiplier) = cx.multiplier() {
        return cuda::conv2d_backward_data(multiplier, OP, shape, [w, dy], dx, acc);
    }
    let (w, dy, dx) = (host(OP, "w", w)?, host(OP, "dy", dy)?, host_mut(OP, "dx", dx)?);
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::conv2d_backward_data(shape, w, dy, dx, acc),
        isa => T::conv2d_backward_data(cx, isa, shape, w, dy, dx, acc),
    }
    Ok(())
}

/// `dw`, the gradient by w summed over the batch, set or accumulated.
///
/// # Errors
/// As [`conv2d_forward`].
pub fn conv2d_backward_weight<T: Real>(
    cx: &Context,
    shape: &Conv2dShape,
    x: View<T>,
    dy: View<T>,
    dw: ViewMut<T>,
    acc: Acc,
) -> Result<()> {
    const OP: &str = "conv2d_backward_weight";
    check(OP, shape, [x.len(), dw.len(), dy.len()], ["x", "dw", "dy"])?;
    #[cfg(feature = "cuda")]
    if let Some(multiplier) = cx.multiplier() {
        return cuda::conv2d_backward_weight(multiplier, OP, shape, [x, dy], dw, acc);
    }
    let (x, dy, dw) = (host(OP, "x", x)?, host(OP, "dy", dy)?, host_mut(OP, "dw", dw)?);
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::conv2d_backward_weight(shape, x, dy, dw, acc),
        isa => T::conv2d_backward_weight(cx, isa, shape, x, dy, dw, acc),
    }
    Ok(())
}

fn check(op: &'static str, shape: &Conv2dShape, got: [usize; 3], names: [&'static str; 3]) -> Result<()> {
    let formulas = ["n * h * w * c", "k * size * size * c", "n * windows * k"];
    let lengths = shape.lengths(op)?;
    (0..3).try_for_each(|index| exact(op, names[index], got[index], lengths[index], formulas[index]))
}
