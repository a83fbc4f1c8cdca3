//! How a CUDA device multiplies matrices of f32.

#[cfg(test)]
mod tests;

/// How a CUDA device computes products of f32: those of [`gemm`](crate::gemm), [`linear`](crate::linear) and
/// [`conv2d`](crate::conv2d), of any sizes. Arrays are f32 whatever it is, and so are sums; the rest of the operators and the
/// kernels that train small networks whole take no notice of it. Products of f64 are always in f64. On the CPU there is f32 alone.
///
/// | | factors are rounded to | relative error of a factor | on |
/// | --- | --- | --- | --- |
/// | f32 | no other numbers | 0 | fused multiply-adds |
/// | tf32 | 10 bits after the point, ties away from zero | at most 2⁻¹¹ | tensor cores |
/// | bf16 | 7 bits after the point, ties to even | at most 2⁻⁸ | tensor cores |
///
/// A sum of K products of random numbers with root mean squares a and b is off by about 0.5 ε a b √K, where ε is the largest error
/// of a factor. Sums have an order that depends on nothing but K: the same bits on every run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Factors as they are.
    #[default]
    F32,
    /// Factors rounded to tf32, with f32's range.
    Tf32,
    /// Factors rounded to bf16, with f32's range.
    Bf16,
}

impl Precision {
    /// `"f32"`, `"tf32"` or `"bf16"`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Tf32 => "tf32",
            Precision::Bf16 => "bf16",
        }
    }
}
