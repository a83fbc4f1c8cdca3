//! Vectors of one instruction set behind one set of operations, so that a kernel is written once and compiled for each.
//!
//! Every method is `#[inline(always)]` and must be called from a function that enables the vector's instruction set;
//! the operators' `simd.rs` files do that at their entry points.
#![allow(clippy::missing_safety_doc, reason = "one contract for all methods, stated on the trait")]

use std::arch::x86_64::*;

use crate::{Isa, Real};

mod functions;
mod slices;

pub use functions::Functions;
pub(crate) use slices::{for_lanes, load, load_from, store, store_to};

/// The vector types of a number type.
pub trait Vectors: Sized + Copy + 'static {
    /// 256-bit vectors.
    type Avx2: Lanes<Element = Self>;
    /// 512-bit vectors.
    type Avx512: Lanes<Element = Self>;
}

impl Vectors for f32 {
    type Avx2 = F32x8;
    type Avx512 = F32x16;
}

impl Vectors for f64 {
    type Avx2 = F64x4;
    type Avx512 = F64x8;
}

/// Work that is written once over [`Lanes`] and compiled for every instruction set.
pub(crate) trait Kernel<T: Real> {
    type Output;

    /// Implementations are `#[inline(always)]`, so that they take on the instruction set of [`run`].
    ///
    /// # Safety
    /// The processor has the instruction set of `V`.
    unsafe fn run<V: Lanes<Element = T>>(self) -> Self::Output;
}

/// Runs a kernel with the vectors of `isa`, which must come from a context: that is the proof that the processor has it.
pub(crate) fn run<T: Real, K: Kernel<T>>(isa: Isa, kernel: K) -> K::Output {
    #[target_feature(enable = "avx2,fma")]
    fn avx2<T: Real, K: Kernel<T>>(kernel: K) -> K::Output {
        // SAFETY: AVX2 and FMA are enabled on this function.
        unsafe { kernel.run::<T::Avx2>() }
    }
    #[target_feature(enable = "avx512f,avx2,fma")]
    fn avx512<T: Real, K: Kernel<T>>(kernel: K) -> K::Output {
        // SAFETY: AVX-512F is enabled on this function.
        unsafe { kernel.run::<T::Avx512>() }
    }
    match isa {
        Isa::Scalar => unreachable!("operators run their scalar variant themselves"),
        // SAFETY: Context::cpu_with checked that the processor has it.
        Isa::Avx2 => unsafe { avx2(kernel) },
        // SAFETY: as above.
        Isa::Avx512 => unsafe { avx512(kernel) },
    }
}

/// An operator's trait of fast variants, implemented for both number types by the generic functions of the same names. A method
/// of a concrete type is compiled in this crate; a generic function would be compiled again in every crate that calls it.
macro_rules! compiled {
    ($(#[$doc:meta])* pub trait $name:ident { $($methods:tt)* }) => {
        $(#[$doc])*
        pub trait $name: Sized {
            $($methods)*
        }
        $crate::simd::compiled!(@ f32, $name, $($methods)*);
        $crate::simd::compiled!(@ f64, $name, $($methods)*);
    };
    (@ $real:ty, $name:ident, $(fn $method:ident($($argument:ident: $type:ty),* $(,)?);)*) => {
        impl $name for $real {
            $(fn $method($($argument: $type),*) {
                $method::<$real>($($argument),*);
            })*
        }
    };
}
pub(crate) use compiled;

/// Asks for the cache line of an address that will be read soon; the address need not be readable.
#[inline(always)]
pub(crate) fn prefetch<T>(at: *const T) {
    // SAFETY: every x86-64 processor has it, and it never faults.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
}

/// One vector register.
///
/// # Safety
/// All methods: the processor has the vector's instruction set. `load` and `store`: `LANES` elements at the pointer are
/// readable or writable. `load_first` and `store_first`: the first `count <= LANES` elements are; no others are touched.
pub trait Lanes: Functions {
    /// Number type of a lane.
    type Element: Copy;
    /// Lanes per vector.
    const LANES: usize;
    /// Registers of this width.
    const REGISTERS: usize;
    unsafe fn zero() -> Self;
    unsafe fn splat(value: Self::Element) -> Self;
    unsafe fn load(from: *const Self::Element) -> Self;
    unsafe fn store(self, to: *mut Self::Element);
    /// Lanes from `count` on are zero.
    unsafe fn load_first(from: *const Self::Element, count: usize) -> Self;
    unsafe fn store_first(self, to: *mut Self::Element, count: usize);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// `self * factor + addend`, rounded once.
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// `minuend - self * factor`, rounded once.
    unsafe fn mul_subtract_from(self, factor: Self, minuend: Self) -> Self;
    /// The larger of the two; `other` where either is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// Itself in the lanes where `by > limit`, zero elsewhere; also where either is NaN.
    unsafe fn where_above(self, by: Self, limit: Self) -> Self;
    /// Sum over lanes, halving the vector each time.
    unsafe fn sum(self) -> Self::Element;
    /// Sums of neighbouring lanes: those of `self` in the lower half, those of `other` in the upper one. Applied to LANES
    /// vectors as a tree, it leaves the sum of vector k in lane k.
    unsafe fn add_neighbours(self, other: Self) -> Self;
    /// Of a power of two below LANES: the lanes l of `other` with `l & DISTANCE == 0` change places with lanes l + DISTANCE of
    /// `self`.
    unsafe fn exchange<const DISTANCE: usize>(self, other: Self) -> (Self, Self);
}

/// Lanes of the two vectors that [`Lanes::exchange`] makes, those of `other` from `lanes` on.
const fn exchanged<const COUNT: usize>(lanes: usize, distance: usize) -> [[i32; COUNT]; 2] {
    let mut places = [[0; COUNT]; 2];
    let mut lane = 0;
    while lane < lanes {
        let upper = lane & distance != 0;
        places[0][lane] = (if upper { lanes + lane - distance } else { lane }) as i32;
        places[1][lane] = (if upper { lanes + lane } else { lane + distance }) as i32;
        lane += 1;
    }
    places
}

/// Eight `f32`, AVX2.
#[derive(Clone, Copy)]
pub struct F32x8(__m256);
/// Four `f64`, AVX2.
#[derive(Clone, Copy)]
pub struct F64x4(__m256d);
/// Sixteen `f32`, AVX-512F.
#[derive(Clone, Copy)]
pub struct F32x16(__m512);
/// Eight `f64`, AVX-512F.
#[derive(Clone, Copy)]
pub struct F64x8(__m512d);

/// `MASK[8 - count..]` starts with `count` all-ones lanes.
static MASK: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

macro_rules! arithmetic {
    ($zero:ident, $splat:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $mul:ident, $fma:ident, $fnma:ident, $max:ident) => {
        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: the trait's contract, as for every method below.
            unsafe { Self($zero()) }
        }
        #[inline(always)]
        unsafe fn splat(value: Self::Element) -> Self {
            // SAFETY: see zero.
            unsafe { Self($splat(value)) }
        }
        #[inline(always)]
        unsafe fn load(from: *const Self::Element) -> Self {
            // SAFETY: see zero.
            unsafe { Self($load(from)) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut Self::Element) {
            // SAFETY: see zero.
            unsafe { $store(to, self.0) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: see zero.
            unsafe { Self($add(self.0, other.0)) }
        }
        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: see zero.
            unsafe { Self($sub(self.0, other.0)) }
        }
        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            // SAFETY: see zero.
            unsafe { Self($mul(self.0, other.0)) }
        }
        #[inline(always)]
        unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
            // SAFETY: see zero.
            unsafe { Self($fma(self.0, factor.0, addend.0)) }
        }
        #[inline(always)]
        unsafe fn mul_subtract_from(self, factor: Self, minuend: Self) -> Self {
            // SAFETY: see zero.
            unsafe { Self($fnma(self.0, factor.0, minuend.0)) }
        }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            // SAFETY: see zero.
            unsafe { Self($max(self.0, other.0)) }
        }
    };
}

impl Lanes for F32x8 {
    type Element = f32;
    const LANES: usize = 8;
    const REGISTERS: usize = 16;
    arithmetic!(
        _mm256_setzero_ps,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_mul_ps,
        _mm256_fmadd_ps,
        _mm256_fnmadd_ps,
        _mm256_max_ps
    );
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: the mask's set lanes are the first `count`, which the contract says are readable.
        unsafe { Self(_mm256_maskload_ps(from, mask32(count))) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: as for load_first.
        unsafe { _mm256_maskstore_ps(to, mask32(count), self.0) }
    }
    #[inline(always)]
    unsafe fn where_above(self, by: Self, limit: Self) -> Self {
        // SAFETY: see zero.
        unsafe { Self(_mm256_and_ps(self.0, _mm256_cmp_ps::<_CMP_GT_OQ>(by.0, limit.0))) }
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: see zero.
        unsafe {
            let half = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let quarter = _mm_add_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)))
        }
    }
    #[inline(always)]
    unsafe fn add_neighbours(self, other: Self) -> Self {
        // SAFETY: see zero. Within 128 bits the order is a, b: the middle quarters change places.
        unsafe {
            let sums = _mm256_castps_pd(_mm256_hadd_ps(self.0, other.0));
            Self(_mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(sums)))
        }
    }
    #[inline(always)]
    unsafe fn exchange<const DISTANCE: usize>(self, other: Self) -> (Self, Self) {
        // SAFETY: see zero; the places are eight numbers.
        unsafe {
            let [first, second] = const { exchanged::<8>(8, DISTANCE) };
            let [first, second] = [first, second].map(|places| _mm256_loadu_si256(places.as_ptr().cast()));
            (Self(chosen(self.0, other.0, first)), Self(chosen(self.0, other.0, second)))
        }
    }
}

impl Lanes for F64x4 {
    type Element = f64;
    const LANES: usize = 4;
    const REGISTERS: usize = 16;
    arithmetic!(
        _mm256_setzero_pd,
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_add_pd,
        _mm256_sub_pd,
        _mm256_mul_pd,
        _mm256_fmadd_pd,
        _mm256_fnmadd_pd,
        _mm256_max_pd
    );
    #[inline(always)]
    unsafe fn load_first(from: *const f64, count: usize) -> Self {
        // SAFETY: the mask's set lanes are the first `count`, which the contract says are readable.
        unsafe { Self(_mm256_maskload_pd(from, mask32(2 * count))) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f64, count: usize) {
        // SAFETY: as for load_first.
        unsafe { _mm256_maskstore_pd(to, mask32(2 * count), self.0) }
    }
    #[inline(always)]
    unsafe fn where_above(self, by: Self, limit: Self) -> Self {
        // SAFETY: see zero.
        unsafe { Self(_mm256_and_pd(self.0, _mm256_cmp_pd::<_CMP_GT_OQ>(by.0, limit.0))) }
    }
    #[inline(always)]
    unsafe fn sum(self) -> f64 {
        // SAFETY: see zero.
        unsafe {
            let half = _mm_add_pd(_mm256_castpd256_pd128(self.0), _mm256_extractf128_pd::<1>(self.0));
            _mm_cvtsd_f64(_mm_add_sd(half, _mm_unpackhi_pd(half, half)))
        }
    }
    #[inline(always)]
    unsafe fn add_neighbours(self, other: Self) -> Self {
        // SAFETY: see zero. Within 128 bits the order is a, b: the middle quarters change places.
        unsafe { Self(_mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_hadd_pd(self.0, other.0))) }
    }
    #[inline(always)]
    unsafe fn exchange<const DISTANCE: usize>(self, other: Self) -> (Self, Self) {
        // SAFETY: see zero; a number is two halves, which move together.
        unsafe {
            let (a, b) = (F32x8(_mm256_castpd_ps(self.0)), F32x8(_mm256_castpd_ps(other.0)));
            let (first, second) = if DISTANCE == 1 { a.exchange::<2>(b) } else { a.exchange::<4>(b) };
            (Self(_mm256_castps_pd(first.0)), Self(_mm256_castps_pd(second.0)))
        }
    }
}

impl Lanes for F32x16 {
    type Element = f32;
    const LANES: usize = 16;
    const REGISTERS: usize = 32;
    arithmetic!(
        _mm512_setzero_ps,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_mul_ps,
        _mm512_fmadd_ps,
        _mm512_fnmadd_ps,
        _mm512_max_ps
    );
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: the mask's set lanes are the first `count`, which the contract says are readable.
        unsafe { Self(_mm512_maskz_loadu_ps(first_bits(count) as __mmask16, from)) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: as for load_first.
        unsafe { _mm512_mask_storeu_ps(to, first_bits(count) as __mmask16, self.0) }
    }
    #[inline(always)]
    unsafe fn where_above(self, by: Self, limit: Self) -> Self {
        // SAFETY: see zero.
        unsafe { Self(_mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(by.0, limit.0), self.0)) }
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: AVX-512F includes AVX2; the upper half is moved down as four f64 pairs, bit for bit.
        unsafe {
            let upper = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(self.0)));
            F32x8(_mm256_add_ps(_mm512_castps512_ps256(self.0), upper)).sum()
        }
    }
    #[inline(always)]
    unsafe fn add_neighbours(self, other: Self) -> Self {
        // SAFETY: see zero.
        unsafe {
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_or_si512(even, _mm512_set1_epi32(1));
            let evens = _mm512_permutex2var_ps(self.0, even, other.0);
            Self(_mm512_add_ps(evens, _mm512_permutex2var_ps(self.0, odd, other.0)))
        }
    }
    #[inline(always)]
    unsafe fn exchange<const DISTANCE: usize>(self, other: Self) -> (Self, Self) {
        // SAFETY: see zero; the places are sixteen numbers.
        unsafe {
            let [first, second] = const { exchanged::<16>(16, DISTANCE) };
            let (first, second) = (_mm512_loadu_si512(first.as_ptr().cast()), _mm512_loadu_si512(second.as_ptr().cast()));
            (Self(_mm512_permutex2var_ps(self.0, first, other.0)), Self(_mm512_permutex2var_ps(self.0, second, other.0)))
        }
    }
}

impl Lanes for F64x8 {
    type Element = f64;
    const LANES: usize = 8;
    const REGISTERS: usize = 32;
    arithmetic!(
        _mm512_setzero_pd,
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_add_pd,
        _mm512_sub_pd,
        _mm512_mul_pd,
        _mm512_fmadd_pd,
        _mm512_fnmadd_pd,
        _mm512_max_pd
    );
    #[inline(always)]
    unsafe fn load_first(from: *const f64, count: usize) -> Self {
        // SAFETY: the mask's set lanes are the first `count`, which the contract says are readable.
        unsafe { Self(_mm512_maskz_loadu_pd(first_bits(count) as __mmask8, from)) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f64, count: usize) {
        // SAFETY: as for load_first.
        unsafe { _mm512_mask_storeu_pd(to, first_bits(count) as __mmask8, self.0) }
    }
    #[inline(always)]
    unsafe fn where_above(self, by: Self, limit: Self) -> Self {
        // SAFETY: see zero.
        unsafe { Self(_mm512_maskz_mov_pd(_mm512_cmp_pd_mask::<_CMP_GT_OQ>(by.0, limit.0), self.0)) }
    }
    #[inline(always)]
    unsafe fn sum(self) -> f64 {
        // SAFETY: AVX-512F includes AVX2.
        unsafe {
            let upper = _mm512_extractf64x4_pd::<1>(self.0);
            F64x4(_mm256_add_pd(_mm512_castpd512_pd256(self.0), upper)).sum()
        }
    }
    #[inline(always)]
    unsafe fn add_neighbours(self, other: Self) -> Self {
        // SAFETY: see zero.
        unsafe {
            let even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
            let odd = _mm512_or_si512(even, _mm512_set1_epi64(1));
            let evens = _mm512_permutex2var_pd(self.0, even, other.0);
            Self(_mm512_add_pd(evens, _mm512_permutex2var_pd(self.0, odd, other.0)))
        }
    }
    #[inline(always)]
    unsafe fn exchange<const DISTANCE: usize>(self, other: Self) -> (Self, Self) {
        // SAFETY: see zero; a number is two halves, which move together.
        unsafe {
            let (a, b) = (F32x16(_mm512_castpd_ps(self.0)), F32x16(_mm512_castpd_ps(other.0)));
            let (first, second) = match DISTANCE {
                1 => a.exchange::<2>(b),
                2 => a.exchange::<4>(b),
                _ => a.exchange::<8>(b),
            };
            (Self(_mm512_castps_pd(first.0)), Self(_mm512_castps_pd(second.0)))
        }
    }
}

/// The lowest `count <= 16` bits.
#[inline(always)]
fn first_bits(count: usize) -> u32 {
    (1 << count) - 1
}

/// A mask whose first `count <= 8` 32-bit lanes are set.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn mask32(count: usize) -> __m256i {
    debug_assert!(count <= 8);
    // SAFETY: eight elements from index 8 - count <= 8 on are within the sixteen of MASK.
    unsafe { _mm256_loadu_si256(MASK.as_ptr().wrapping_add(8 - count).cast()) }
}

/// Lanes of two vectors by their places, those of `b` from 8 on.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn chosen(a: __m256, b: __m256, places: __m256i) -> __m256 {
    // SAFETY: AVX2 is there.
    unsafe {
        // Bit 3 of a place, moved to the sign, says which vector it is of.
        let of_b = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(places));
        _mm256_blendv_ps(_mm256_permutevar8x32_ps(a, places), _mm256_permutevar8x32_ps(b, places), of_b)
    }
}
