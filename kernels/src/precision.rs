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
/// | f32x3 | sums of two tf32 | at most 2⁻²³ | tensor cores |
/// | tf32 | 10 bits after the point, ties away from zero | at most 2⁻¹¹ | tensor cores |
/// | bf16 | 7 bits after the point, ties to even | at most 2⁻⁸ | tensor cores |
///
/// A sum of K products of random numbers with root mean squares a and b is off by about 0.5 ε a b √K, where ε is the largest error
/// of a factor; in f32x3, where the rounding of sums counts too, by about 0.8 ε a b √(K + (K/16)²). Sums have an order that depends on
/// nothing but K: the same bits on every run.
///
/// # f32x3
/// A factor is x = h + l with h = tf32(x) and l = tf32(x - h), and a product h_a h_b + (h_a l_b + l_a h_b): off by at most
/// 2⁻²¹ |a b|, as the smallest of four is left out (Ootomo and Yokota 2022, "Recovering single precision accuracy from Tensor Cores
/// while surpassing the FP32 theoretical peak performance"). Tensor cores cut off where f32 rounds; they therefore sum 16 products
/// only, and the sums of these are added up outside: of thousands of products a sum is several times closer than f32's one chain.
///
/// Infinities and NaN come out as in f32, but factors and products beyond 1 - 2⁻¹⁰ of f32's largest number may count as infinite.
/// A factor below 2⁻¹¹⁴ is off by up to 2⁻¹³⁷, and where a card takes numbers below 2⁻¹²⁶ for 0, one below 2⁻¹⁰³ by up to 2⁻¹²⁶.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Factors as they are.
    #[default]
    F32,
    /// Factors as sums of two tf32, and three products of these.
    F32x3,
    /// Factors rounded to tf32, with f32's range.
    Tf32,
    /// Factors rounded to bf16, with f32's range.
    Bf16,
}

impl Precision {
    /// `"f32"`, `"f32x3"`, `"tf32"` or `"bf16"`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F32x3 => "f32x3",
            Precision::Tf32 => "tf32",
            Precision::Bf16 => "bf16",
        }
    }
}
