//! The matrices of one network and their products with vectors.
//!
//! Every matrix that is multiplied from both sides lies in memory twice, by rows and by columns, so that both `Wᵀb` and `Wf`
//! are sums of whole lines, each times one number. A step of descent is not applied at once but by the next product, which has
//! the line at hand: each line is loaded and stored once per step. Both copies round alike, so that they stay equal.

use std::marker::PhantomData;
use std::ops::Range;

use crate::simd::Lanes;
use crate::{Real, StepRule};

/// Independent sums of a product; line k goes to sum k mod 4. Matrices have so many times a number of lines.
const SUMS: usize = 4;
/// Vectors of a level: its b, its f of even and of odd steps, and its b times the rate of the last step.
const VECTORS: usize = 4;
/// Lines of 64 bytes up to which all vectors of a network have the length of its longest one.
const NARROW: usize = 2;

/// Where the parts of a network lie in its memory. Lines and vectors start on 64 bytes and are zero from their width on.
pub(super) struct Layout {
    layers: Vec<Layer>,
    len: usize,
    /// The length of all vectors, if they have the same one.
    common_stride: Option<usize>,
}

/// W_l, but for l = L only `rows`, which is its one row.
#[derive(Clone, Copy)]
struct Layer {
    inputs: Level,
    outputs: Level,
    rows: usize,
    columns: usize,
}

/// What lies between two layers.
#[derive(Clone, Copy)]
struct Level {
    width: usize,
    /// The length of its vectors: the width, up to whole lines of 64 bytes, or more if all vectors have the same length.
    stride: usize,
    /// Where its vectors start.
    at: usize,
}

impl Layout {
    pub(super) fn new<T>(widths: &[usize]) -> Layout {
        let line = 64 / size_of::<T>();
        let longest = widths.iter().map(|width| width.next_multiple_of(line)).max();
        let common_stride = longest.filter(|&stride| stride <= NARROW * line);
        let mut len = 0;
        let mut take = |count: usize| {
            len += count;
            len - count
        };
        let levels: Vec<Level> = widths
            .iter()
            .map(|&width| {
                let stride = common_stride.unwrap_or(width.next_multiple_of(line));
                Level { width, stride, at: take(VECTORS * stride) }
            })
            .collect();
        let mut layers = Vec::new();
        for (l, pair) in levels.windows(2).enumerate() {
            let (inputs, outputs) = (pair[0], pair[1]);
            let layer = if l + 2 == levels.len() {
                Layer { inputs, outputs, rows: take(inputs.stride), columns: 0 }
            } else {
                let rows = take(outputs.width.next_multiple_of(SUMS) * inputs.stride);
                Layer { inputs, outputs, rows, columns: take(inputs.width.next_multiple_of(SUMS) * outputs.stride) }
            };
            layers.push(layer);
        }
        Layout { layers, len, common_stride }
    }

    /// Elements of a network's memory.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// L.
    pub(super) fn depth(&self) -> usize {
        self.layers.len()
    }

    /// Vectors of V in each vector of the network, if they are as many in all; else 0.
    pub(super) fn common_length<V: Lanes>(&self) -> usize {
        self.common_stride.map_or(0, |stride| stride / V::LANES)
    }

    /// Each layer with its place among the parameters, W_L last.
    fn parameters(&self) -> impl Iterator<Item = (&Layer, Range<usize>)> {
        self.layers.iter().scan(0, |from, layer| {
            let range = *from..*from + layer.inputs.width * layer.outputs.width;
            *from = range.end;
            Some((layer, range))
        })
    }
}

/// One network in its memory. Layers count from 1, as in the formulas. `S` is [`Layout::common_length`], or 0 for any lengths.
pub(super) struct Network<'a, V: Lanes, const S: usize> {
    layout: &'a Layout,
    /// As many elements as the layout has, borrowed for as long.
    memory: *mut V::Element,
    /// `1 - lr·weight_decay` of the last step.
    keep: V::Element,
    /// Of the current step's number: which of the two f it writes.
    parity: usize,
    borrow: PhantomData<&'a mut [V::Element]>,
}

/// # Safety
/// Every method: V is enabled. Offsets and widths come from the layout, whose length the memory has.
impl<'a, V: Lanes, const S: usize> Network<'a, V, S>
where
    V::Element: Real,
{
    /// A network before its first step: the last one changed nothing.
    pub(super) fn load(layout: &'a Layout, params: &[V::Element], memory: &'a mut [V::Element]) -> Self {
        assert!(memory.len() >= layout.len() && (S == 0 || S == layout.common_length::<V>()), "memory is as the layout has it");
        memory.fill(V::Element::ZERO);
        for (l, (layer, range)) in layout.parameters().enumerate() {
            for (o, row) in params[range].chunks_exact(layer.inputs.width).enumerate() {
                memory[layer.rows + o * layer.inputs.stride..][..row.len()].copy_from_slice(row);
                if l + 1 < layout.depth() {
                    for (i, &weight) in row.iter().enumerate() {
                        memory[layer.columns + i * layer.outputs.stride + o] = weight;
                    }
                }
            }
        }
        let memory = memory.as_mut_ptr();
        let network = Network { layout, memory, keep: V::Element::ONE, parity: 0, borrow: PhantomData };
        // SAFETY: the first element of b_L.
        unsafe { *network.b(network.layer(layout.depth()).outputs) = V::Element::ONE };
        network
    }

    /// The parameters, from the copies that every kind of step keeps up to date: columns, and W_L.
    pub(super) fn store(&self, params: &mut [V::Element]) {
        for (l, (layer, range)) in self.layout.parameters().enumerate() {
            let (from, stride) =
                if l + 1 == self.layout.depth() { (layer.rows, 1) } else { (layer.columns, layer.outputs.stride) };
            for (o, row) in params[range].chunks_exact_mut(layer.inputs.width).enumerate() {
                for (i, weight) in row.iter_mut().enumerate() {
                    // SAFETY: an element of the layer's matrix.
                    *weight = unsafe { *self.memory.add(from + i * stride + o) };
                }
            }
        }
    }

    /// Applies the last step to the copies that [`Network::store`] reads.
    #[inline(always)]
    pub(super) unsafe fn settle(&mut self) {
        // Products that nobody reads.
        // SAFETY: the caller's contract.
        unsafe {
            for l in 1..self.layout.depth() {
                self.forward(l);
            }
            self.top();
        }
    }

    /// `b_{L-1} = W_Lᵀ`, after the last step.
    #[inline(always)]
    pub(super) unsafe fn top(&mut self) {
        let Layer { inputs, outputs, rows, .. } = self.layer(self.layout.depth());
        // SAFETY: the caller's contract.
        unsafe {
            let (keep, left) = (V::splat(self.keep), *self.scaled(outputs));
            for at in (0..Self::stride(inputs)).step_by(V::LANES) {
                let right = V::load(self.f(inputs, 1).add(at));
                visit(self.memory.add(rows + at), keep, left, right).store(self.b(inputs).add(at));
            }
        }
    }

    /// `b_{l-1} = W_lᵀ b_l` by rows, after the last step; l < L.
    #[inline(always)]
    pub(super) unsafe fn backward(&mut self, l: usize) {
        let Layer { inputs, outputs, rows, .. } = self.layer(l);
        // SAFETY: the caller's contract.
        unsafe {
            let lines = Lines { first: self.memory.add(rows), count: outputs.width, stride: Self::stride(inputs) };
            let change = Change { keep: self.keep, left: self.scaled(outputs), right: self.f(inputs, 1) };
            product::<V>(lines, change, self.b(outputs), self.b(inputs));
        }
    }

    /// `f_l = W_l f_{l-1}` by columns, after the last step; l < L.
    #[inline(always)]
    pub(super) unsafe fn forward(&mut self, l: usize) {
        let Layer { inputs, outputs, columns, .. } = self.layer(l);
        // SAFETY: the caller's contract.
        unsafe {
            let lines = Lines { first: self.memory.add(columns), count: inputs.width, stride: Self::stride(outputs) };
            let change = Change { keep: self.keep, left: self.f(inputs, 1), right: self.scaled(outputs) };
            product::<V>(lines, change, self.f(inputs, 0), self.f(outputs, 0));
        }
    }

    /// p = b_0; zero from d on, up to a multiple of 64 bytes.
    #[inline(always)]
    pub(super) fn p(&self) -> *const V::Element {
        self.b(self.layer(1).inputs)
    }

    /// f_0, of the same length as p and zero from d on too.
    #[inline(always)]
    pub(super) fn input(&mut self) -> *mut V::Element {
        self.f(self.layer(1).inputs, 0)
    }

    /// `f_0 = x`; d elements are there.
    #[inline(always)]
    pub(super) unsafe fn set_input(&mut self, x: *const V::Element) {
        let level = self.layer(1).inputs;
        // SAFETY: the caller's contract; lanes beyond d are not read, and are zero when written.
        unsafe {
            for at in (0..Self::stride(level)).step_by(V::LANES) {
                let lanes = level.width.saturating_sub(at).min(V::LANES);
                V::load_first(x.wrapping_add(at), lanes).store(self.f(level, 0).add(at));
            }
        }
    }

    /// `b_{L-1}·f_{L-1} = W_L f_{L-1}`.
    #[inline(always)]
    pub(super) unsafe fn output(&self) -> V::Element {
        let level = self.layer(self.layout.depth()).inputs;
        // SAFETY: the caller's contract.
        unsafe { dot::<V>(self.b(level), self.f(level, 0), Self::stride(level)).sum() }
    }

    /// `Σ_l |b_l|² |f_{l-1}|²`.
    #[inline(always)]
    unsafe fn squared_norm(&self) -> V::Element {
        // SAFETY: the caller's contract.
        unsafe {
            let mut total = V::zero();
            for &Layer { inputs, outputs, .. } in &self.layout.layers {
                let (b, f) = (self.b(outputs), self.f(inputs, 0));
                let factor = V::splat(dot::<V>(b, b, Self::stride(outputs)).sum());
                total = dot::<V>(f, f, Self::stride(inputs)).mul_add(factor, total);
            }
            total.sum()
        }
    }

    /// Makes the step with gradient `factor · b_l f_{l-1}ᵀ` the last one.
    #[inline(always)]
    pub(super) unsafe fn descend(&mut self, rule: &StepRule<V::Element>, lr: V::Element, factor: V::Element) {
        // SAFETY: the caller's contract.
        unsafe {
            let mut rate = lr * factor;
            if rule.clip.is_some() {
                rate *= rule.coefficient(factor.abs() * self.squared_norm().sqrt());
            }
            let rate = V::splat(rate);
            for &Layer { outputs, .. } in &self.layout.layers {
                for at in (0..Self::stride(outputs)).step_by(V::LANES) {
                    V::load(self.b(outputs).add(at)).mul(rate).store(self.scaled(outputs).add(at));
                }
            }
        }
        self.keep = V::Element::ONE - lr * rule.weight_decay;
        self.parity = 1 - self.parity;
    }

    #[inline(always)]
    fn layer(&self, l: usize) -> Layer {
        self.layout.layers[l - 1]
    }

    /// b_l of the level after layer l.
    #[inline(always)]
    fn b(&self, level: Level) -> *mut V::Element {
        self.memory.wrapping_add(level.at)
    }

    /// f_l of the current step, or of the one before (`back` = 1).
    #[inline(always)]
    fn f(&self, level: Level, back: usize) -> *mut V::Element {
        self.memory.wrapping_add(level.at + (1 + (self.parity ^ back)) * Self::stride(level))
    }

    /// b_l times the rate of the last step.
    #[inline(always)]
    fn scaled(&self, level: Level) -> *mut V::Element {
        self.memory.wrapping_add(level.at + 3 * Self::stride(level))
    }

    #[inline(always)]
    fn stride(level: Level) -> usize {
        if S > 0 { S * V::LANES } else { level.stride }
    }
}

/// A matrix by rows or by columns.
#[derive(Clone, Copy)]
struct Lines<T> {
    first: *mut T,
    /// The lines up to a multiple of SUMS are there, and are zero.
    count: usize,
    /// A multiple of LANES.
    stride: usize,
}

/// What a step makes of line k: `keep·line - left[k]·right`.
#[derive(Clone, Copy)]
struct Change<T> {
    keep: T,
    left: *const T,
    right: *const T,
}

/// Applies a change to lines and writes `Σ_k coefficients[k]·line_k`.
///
/// # Safety
/// V is enabled; the lines are there, `left` and `coefficients` have an element for each and zeros up to a multiple of SUMS,
/// `right` and `out` have `stride` elements; `out` overlaps none of the others.
#[inline(always)]
unsafe fn product<V: Lanes>(
    lines: Lines<V::Element>,
    change: Change<V::Element>,
    coefficients: *const V::Element,
    out: *mut V::Element,
) {
    for at in (0..lines.stride).step_by(V::LANES) {
        // SAFETY: the caller's contract.
        unsafe {
            let lines = Lines { first: lines.first.add(at), ..lines };
            one_vector(lines, change, V::load(change.right.add(at)), coefficients).store(out.add(at));
        }
    }
}

/// One vector of [`product`].
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn one_vector<V: Lanes>(
    lines: Lines<V::Element>,
    change: Change<V::Element>,
    right: V,
    coefficients: *const V::Element,
) -> V {
    // SAFETY: the caller's contract.
    unsafe {
        let keep = V::splat(change.keep);
        let mut sums = [V::zero(); SUMS];
        for k in (0..lines.count).step_by(SUMS) {
            let line = lines.first.add(k * lines.stride);
            for (m, sum) in sums.iter_mut().enumerate() {
                let changed = visit(line.add(m * lines.stride), keep, *change.left.add(k + m), right);
                *sum = V::splat(*coefficients.add(k + m)).mul_add(changed, *sum);
            }
        }
        let [a, b, c, d] = sums;
        a.add(b).add(c.add(d))
    }
}

/// `line = keep·line - left·right`.
///
/// # Safety
/// V is enabled; LANES elements are there.
#[inline(always)]
unsafe fn visit<V: Lanes>(line: *mut V::Element, keep: V, left: V::Element, right: V) -> V {
    // SAFETY: the caller's contract.
    unsafe {
        let changed = V::splat(left).mul_subtract_from(right, V::load(line).mul(keep));
        changed.store(line);
        changed
    }
}

/// Partial sums of `Σ a_j b_j` over `len` elements, a multiple of LANES.
///
/// # Safety
/// V is enabled; the elements are there.
#[inline(always)]
unsafe fn dot<V: Lanes>(a: *const V::Element, b: *const V::Element, len: usize) -> V {
    // SAFETY: the caller's contract.
    unsafe {
        let mut sum = V::zero();
        for at in (0..len).step_by(V::LANES) {
            sum = V::load(a.add(at)).mul_add(V::load(b.add(at)), sum);
        }
        sum
    }
}
