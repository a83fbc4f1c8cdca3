use std::fmt::{Debug, Display};
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

/// Which of the two number types a [`Real`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// 32-bit floating point.
    F32,
    /// 64-bit floating point.
    F64,
}

impl Dtype {
    /// `"f32"` or `"f64"`.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::F64 => "f64",
        }
    }
}

/// The numbers that kernels compute with: `f32` and `f64`, no others.
pub trait Real:
    crate::Element
    + crate::simd::Vectors
    + crate::conv2d::Conv2dSimd
    + crate::deep_diagonal::DeepDiagonalSimd
    + crate::gemm::GemmSimd
    + crate::tile::RegisterTiles
    + crate::deep_linear::DeepLinearSimd
    + crate::mlp::MlpSimd
    + crate::wide_mlp::WideMlpSimd
    + Send
    + Sync
    + Default
    + Debug
    + Display
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + std::iter::Sum
{
    /// Which type this is.
    const DTYPE: Dtype;
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Not a number.
    const NAN: Self;

    /// Rounded from `f64`.
    fn from_f64(value: f64) -> Self;
    /// Widened to `f64`, exactly.
    fn to_f64(self) -> f64;
    /// |self|.
    fn abs(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;
}

macro_rules! real {
    ($type:ty, $dtype:expr, $widen:expr, $round:expr) => {
        impl Real for $type {
            const DTYPE: Dtype = $dtype;
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const NAN: Self = <$type>::NAN;
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                $round(value)
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                $widen(self)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                self.abs()
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                self.sqrt()
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                self.is_finite()
            }
        }
    };
}

real!(f32, Dtype::F32, f64::from, |value: f64| value as f32);
real!(f64, Dtype::F64, std::convert::identity, std::convert::identity);
