//! The operations of vectors that elementwise functions need beyond sums and products.

use std::arch::x86_64::*;

use super::{F32x8, F32x16, F64x4, F64x8};

/// Lane by lane functions.
///
/// # Safety
/// All methods: the processor has the vector's instruction set.
pub trait Functions: Copy {
    unsafe fn div(self, other: Self) -> Self;
    unsafe fn sqrt(self) -> Self;
    /// The magnitude of `self` with the sign of `other`.
    unsafe fn with_sign_of(self, other: Self) -> Self;
    /// `yes` where `self > 0`, otherwise `no` (NaN included).
    unsafe fn where_positive(self, yes: Self, no: Self) -> Self;
    /// 2^self for whole numbers within the exponents of normal numbers.
    unsafe fn power_of_two(self) -> Self;
}

macro_rules! functions {
    (
        $type:ident: $div:ident, $sqrt:ident;
        with_sign_of($magnitude:ident, $sign:ident) $copy_sign:expr;
        where_positive($value:ident, $yes:ident, $no:ident) $select:expr;
        power_of_two($exponent:ident) $power:expr;
    ) => {
        impl Functions for $type {
            #[inline(always)]
            unsafe fn div(self, other: Self) -> Self {
                // SAFETY: the trait's contract, as for every method below.
                unsafe { Self($div(self.0, other.0)) }
            }
            #[inline(always)]
            unsafe fn sqrt(self) -> Self {
                // SAFETY: see div.
                unsafe { Self($sqrt(self.0)) }
            }
            #[inline(always)]
            unsafe fn with_sign_of(self, other: Self) -> Self {
                // SAFETY: see div.
                unsafe {
                    let ($magnitude, $sign) = (self.0, other.0);
                    Self($copy_sign)
                }
            }
            #[inline(always)]
            unsafe fn where_positive(self, yes: Self, no: Self) -> Self {
                // SAFETY: see div.
                unsafe {
                    let ($value, $yes, $no) = (self.0, yes.0, no.0);
                    Self($select)
                }
            }
            #[inline(always)]
            unsafe fn power_of_two(self) -> Self {
                // SAFETY: see div.
                unsafe {
                    let $exponent = self.0;
                    Self($power)
                }
            }
        }
    };
}

/// Added to a whole number, puts it plus the exponent bias of `f32` into the lowest bits: 2^23 + 127.
const EXPONENT_F32: f32 = 8_388_735.0;
/// The same for `f64`: 2^52 + 1023.
const EXPONENT_F64: f64 = 4_503_599_627_371_519.0;
/// The truth table of "the second where the first is set, otherwise the third".
const CHOOSE: i32 = 0xca;

functions! {
    F32x8: _mm256_div_ps, _mm256_sqrt_ps;
    with_sign_of(magnitude, sign) {
        let bit = _mm256_set1_ps(-0.0);
        _mm256_or_ps(_mm256_andnot_ps(bit, magnitude), _mm256_and_ps(bit, sign))
    };
    where_positive(value, yes, no) _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_GT_OQ>(value, _mm256_setzero_ps()));
    power_of_two(exponent) {
        let bits = _mm256_castps_si256(_mm256_add_ps(exponent, _mm256_set1_ps(EXPONENT_F32)));
        _mm256_castsi256_ps(_mm256_slli_epi32::<23>(bits))
    };
}

functions! {
    F64x4: _mm256_div_pd, _mm256_sqrt_pd;
    with_sign_of(magnitude, sign) {
        let bit = _mm256_set1_pd(-0.0);
        _mm256_or_pd(_mm256_andnot_pd(bit, magnitude), _mm256_and_pd(bit, sign))
    };
    where_positive(value, yes, no) _mm256_blendv_pd(no, yes, _mm256_cmp_pd::<_CMP_GT_OQ>(value, _mm256_setzero_pd()));
    power_of_two(exponent) {
        let bits = _mm256_castpd_si256(_mm256_add_pd(exponent, _mm256_set1_pd(EXPONENT_F64)));
        _mm256_castsi256_pd(_mm256_slli_epi64::<52>(bits))
    };
}

functions! {
    F32x16: _mm512_div_ps, _mm512_sqrt_ps;
    with_sign_of(magnitude, sign) {
        let bit = _mm512_castps_si512(_mm512_set1_ps(-0.0));
        let (magnitude, sign) = (_mm512_castps_si512(magnitude), _mm512_castps_si512(sign));
        _mm512_castsi512_ps(_mm512_ternarylogic_epi32::<CHOOSE>(bit, sign, magnitude))
    };
    where_positive(value, yes, no) {
        _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(value, _mm512_setzero_ps()), no, yes)
    };
    power_of_two(exponent) {
        let bits = _mm512_castps_si512(_mm512_add_ps(exponent, _mm512_set1_ps(EXPONENT_F32)));
        _mm512_castsi512_ps(_mm512_slli_epi32::<23>(bits))
    };
}

functions! {
    F64x8: _mm512_div_pd, _mm512_sqrt_pd;
    with_sign_of(magnitude, sign) {
        let bit = _mm512_castpd_si512(_mm512_set1_pd(-0.0));
        let (magnitude, sign) = (_mm512_castpd_si512(magnitude), _mm512_castpd_si512(sign));
        _mm512_castsi512_pd(_mm512_ternarylogic_epi64::<CHOOSE>(bit, sign, magnitude))
    };
    where_positive(value, yes, no) {
        _mm512_mask_blend_pd(_mm512_cmp_pd_mask::<_CMP_GT_OQ>(value, _mm512_setzero_pd()), no, yes)
    };
    power_of_two(exponent) {
        let bits = _mm512_castpd_si512(_mm512_add_pd(exponent, _mm512_set1_pd(EXPONENT_F64)));
        _mm512_castsi512_pd(_mm512_slli_epi64::<52>(bits))
    };
}
