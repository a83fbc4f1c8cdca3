//! Changes of basis along one direction, for points 0, ±1 (and ±2 for m = 4) and ∞. Both directions are changed one after the
//! other.

use crate::Real;
use crate::simd::Lanes;

/// The longest vector that changes its basis.
pub(in crate::conv2d::simd) const MOST: usize = 6;

/// A matrix of OUT x IN that is applied to the rows of a square and to its columns.
pub(in crate::conv2d::simd) trait Basis {
    const IN: usize;
    const OUT: usize;

    /// The matrix times the first IN of `d`: the first OUT are set.
    ///
    /// # Safety
    /// V is enabled.
    unsafe fn change<V: Lanes>(d: [V; MOST]) -> [V; MOST]
    where
        V::Element: Real;
}

/// Vectors of a square by row and column.
pub(super) trait Square<V> {
    /// # Safety
    /// V is enabled; the vector is there.
    unsafe fn load(&self, i: usize, j: usize) -> V;
}

/// A square whose rows and columns lie so far apart.
#[derive(Clone, Copy)]
pub(super) struct Apart<T> {
    pub(super) first: *const T,
    pub(super) row: usize,
    pub(super) column: usize,
}

impl<V: Lanes> Square<V> for Apart<V::Element> {
    #[inline(always)]
    unsafe fn load(&self, i: usize, j: usize) -> V {
        // SAFETY: the caller's contract.
        unsafe { V::load(self.first.wrapping_add(i * self.row + j * self.column)) }
    }
}

/// The first lanes of a square, of which some rows and columns are zeros that lie nowhere.
pub(super) struct Cut<T> {
    pub(super) apart: Apart<T>,
    pub(super) rows: std::ops::Range<usize>,
    pub(super) columns: std::ops::Range<usize>,
    pub(super) lanes: usize,
}

impl<V: Lanes> Square<V> for Cut<V::Element> {
    #[inline(always)]
    unsafe fn load(&self, i: usize, j: usize) -> V {
        let Apart { first, row, column } = self.apart;
        // SAFETY: the caller's contract, for what is not zero.
        unsafe {
            match self.rows.contains(&i) && self.columns.contains(&j) {
                true => V::load_first(first.wrapping_add(i * row + j * column), self.lanes),
                false => V::zero(),
            }
        }
    }
}

/// A square in another basis.
pub(super) struct Changed<V>([[V; MOST]; MOST]);

/// Changes the columns of a square and then, when they are asked for, its rows.
///
/// # Safety
/// V is enabled; the IN x IN vectors of the square are there.
#[inline(always)]
pub(super) unsafe fn change_columns<V: Lanes, B: Basis>(square: &impl Square<V>) -> Changed<V>
where
    V::Element: Real,
{
    // SAFETY: the caller's contract.
    unsafe {
        let mut changed = Changed([[V::zero(); MOST]; MOST]);
        for j in 0..B::IN {
            let mut column = [V::zero(); MOST];
            for (i, vector) in column.iter_mut().enumerate().take(B::IN) {
                *vector = square.load(i, j);
            }
            // Columns lie together until their rows are changed.
            changed.0[j] = B::change(column);
        }
        changed
    }
}

impl<V: Lanes> Changed<V>
where
    V::Element: Real,
{
    /// Row i of the square.
    ///
    /// # Safety
    /// V is enabled.
    #[inline(always)]
    pub(super) unsafe fn row<B: Basis>(&self, i: usize) -> [V; MOST] {
        // SAFETY: the caller enables V.
        unsafe {
            let mut row = [V::zero(); MOST];
            for (vector, column) in row.iter_mut().zip(&self.0).take(B::IN) {
                *vector = column[i];
            }
            B::change(row)
        }
    }
}

/// F(M x M, 3 x 3).
pub(in crate::conv2d::simd) trait Filtering: Send + Sync {
    const M: usize;
    /// Bᵀ: images, (m+2) x (m+2).
    type Images: Basis;
    /// Aᵀ: results, m x (m+2).
    type Results: Basis;
    /// A: gradients by results, (m+2) x m.
    type Gradients: Basis;
    /// G: windows, (m+2) x 3.
    type Windows: Basis;
    /// Gᵀ: gradients by windows, 3 x (m+2).
    type WeightGradients: Basis;
}

/// F(2 x 2, 3 x 3).
pub(in crate::conv2d::simd) struct F2;
/// F(4 x 4, 3 x 3).
pub(in crate::conv2d::simd) struct F4;

macro_rules! filtering {
    ($name:ident, $m:literal) => {
        impl Filtering for $name {
            const M: usize = $m;
            type Images = Images<$m>;
            type Results = Results<$m>;
            type Gradients = Gradients<$m>;
            type Windows = Windows<$m>;
            type WeightGradients = WeightGradients<$m>;
        }
    };
}

filtering!(F2, 2);
filtering!(F4, 4);

pub(in crate::conv2d::simd) struct Images<const M: usize>;
pub(in crate::conv2d::simd) struct Results<const M: usize>;
pub(in crate::conv2d::simd) struct Gradients<const M: usize>;
pub(in crate::conv2d::simd) struct Windows<const M: usize>;
pub(in crate::conv2d::simd) struct WeightGradients<const M: usize>;

/// A number in all lanes.
///
/// # Safety
/// V is enabled.
#[inline(always)]
unsafe fn number<V: Lanes>(value: f64) -> V
where
    V::Element: Real,
{
    // SAFETY: the caller enables V.
    unsafe { V::splat(V::Element::from_f64(value)) }
}

macro_rules! basis {
    ($name:ident<$m:literal>: $in:literal -> $out:literal, |$V:ident, $d:ident| $body:block) => {
        impl Basis for $name<$m> {
            const IN: usize = $in;
            const OUT: usize = $out;
            #[inline(always)]
            unsafe fn change<$V: Lanes>($d: [$V; MOST]) -> [$V; MOST]
            where
                $V::Element: Real,
            {
                // SAFETY: the caller enables V.
                unsafe { $body }
            }
        }
    };
}

basis!(Images<2>: 4 -> 4, |V, d| {
    let [d0, d1, d2, d3, ..] = d;
    [d0.sub(d2), d1.add(d2), d2.sub(d1), d1.sub(d3), V::zero(), V::zero()]
});
basis!(Results<2>: 4 -> 2, |V, d| {
    let [d0, d1, d2, d3, ..] = d;
    [d0.add(d1).add(d2), d1.sub(d2).sub(d3), V::zero(), V::zero(), V::zero(), V::zero()]
});
basis!(Gradients<2>: 2 -> 4, |V, d| {
    let [d0, d1, ..] = d;
    [d0, d0.add(d1), d0.sub(d1), V::zero().sub(d1), V::zero(), V::zero()]
});
basis!(Windows<2>: 3 -> 4, |V, d| {
    let ([d0, d1, d2, ..], half) = (d, number::<V>(0.5));
    let (even, odd) = (d0.add(d2).mul(half), d1.mul(half));
    [d0, even.add(odd), even.sub(odd), d2, V::zero(), V::zero()]
});
basis!(WeightGradients<2>: 4 -> 3, |V, d| {
    let ([d0, d1, d2, d3, ..], half) = (d, number::<V>(0.5));
    let (sum, difference) = (d1.add(d2).mul(half), d1.sub(d2).mul(half));
    [d0.add(sum), difference, sum.add(d3), V::zero(), V::zero(), V::zero()]
});

basis!(Images<4>: 6 -> 6, |V, d| {
    let ([d0, d1, d2, d3, d4, d5], two, four, five) = (d, number::<V>(2.0), number::<V>(4.0), number::<V>(5.0));
    let (even, odd) = (d2.mul_subtract_from(four, d4), d1.mul_subtract_from(four, d3));
    let (inner, outer) = (d4.sub(d2), d3.sub(d1));
    [
        d0.mul_add(four, d2.mul_subtract_from(five, d4)),
        even.add(odd),
        even.sub(odd),
        outer.mul_add(two, inner),
        outer.mul_subtract_from(two, inner),
        d1.mul_add(four, d3.mul_subtract_from(five, d5)),
    ]
});
basis!(Results<4>: 6 -> 4, |V, d| {
    let ([d0, d1, d2, d3, d4, d5], two, four, eight) = (d, number::<V>(2.0), number::<V>(4.0), number::<V>(8.0));
    let (sum, difference) = (d1.add(d2), d1.sub(d2));
    let (far_sum, far_difference) = (d3.add(d4), d3.sub(d4));
    [
        d0.add(sum).add(far_sum),
        far_difference.mul_add(two, difference),
        far_sum.mul_add(four, sum),
        far_difference.mul_add(eight, difference).add(d5),
        V::zero(),
        V::zero(),
    ]
});
basis!(Gradients<4>: 4 -> 6, |V, d| {
    let ([d0, d1, d2, d3, ..], two, four, eight) = (d, number::<V>(2.0), number::<V>(4.0), number::<V>(8.0));
    let (even, odd) = (d0.add(d2), d1.add(d3));
    let (far_even, far_odd) = (d2.mul_add(four, d0), d3.mul_add(eight, d1.mul(two)));
    [d0, even.add(odd), even.sub(odd), far_even.add(far_odd), far_even.sub(far_odd), d3]
});
basis!(Windows<4>: 3 -> 6, |V, d| {
    let ([d0, d1, d2, ..], sixth, twelfth) = (d, number::<V>(1.0 / 6.0), number::<V>(1.0 / 12.0));
    let (even, odd) = (V::zero().sub(d0.add(d2)).mul(sixth), d1.mul(sixth));
    let (far_even, far_odd) = (d2.mul_add(sixth, d0.mul(number::<V>(1.0 / 24.0))), d1.mul(twelfth));
    [d0.mul(number::<V>(0.25)), even.sub(odd), even.add(odd), far_even.add(far_odd), far_even.sub(far_odd), d2]
});
basis!(WeightGradients<4>: 6 -> 3, |V, d| {
    let ([d0, d1, d2, d3, d4, d5], sixth, twelfth) = (d, number::<V>(1.0 / 6.0), number::<V>(1.0 / 12.0));
    let (sum, difference) = (d1.add(d2).mul(sixth), d2.sub(d1).mul(sixth));
    let (far_sum, far_difference) = (d3.add(d4), d3.sub(d4));
    [
        d0.mul_add(number::<V>(0.25), far_sum.mul(number::<V>(1.0 / 24.0)).sub(sum)),
        far_difference.mul_add(twelfth, difference),
        far_sum.mul_add(sixth, d5.sub(sum)),
        V::zero(),
        V::zero(),
        V::zero(),
    ]
});
