//! AVX2 and AVX-512 variants, written once over [`Lanes`](crate::simd::Lanes).
//!
//! Both matrices are copied to rows that start on 64 bytes, in blocks of as many rows as a vector has lanes: the products of a
//! block with a vector end as one vector. What a step multiplies with the updates that are still apart is a few percent of it.

#![expect(clippy::needless_range_loop, reason = "lanes, rows and vectors count through several arrays at once")]

use super::{DELAY, Task};
use crate::activation::simd::{activation_backward, activation_forward};
use crate::simd::{Kernel, Lanes, run};
use crate::steps::{Rates, Replica};
use crate::{Context, Isa, Real};

crate::simd::compiled! {
    /// The fast variants for one number type.
    pub trait WideMlpSimd {
        fn wide_mlp_sgd(cx: &Context, isa: Isa, task: &Task<'_, Self>, live: Vec<Replica<'_, Self>>);
    }
}

fn wide_mlp_sgd<T: Real>(cx: &Context, isa: Isa, task: &Task<'_, T>, live: Vec<Replica<'_, T>>) {
    let shape = task.shape;
    let [inputs, hidden, outputs] = [shape.inputs, shape.hidden, shape.outputs].map(padded::<T>);
    let sizes = [
        hidden * inputs,
        outputs * hidden,
        DELAY * inputs,
        DELAY * hidden,
        DELAY * hidden,
        DELAY * outputs,
        hidden,
        hidden,
        hidden.max(outputs),
        outputs,
    ];
    let mut scratch = cx.scratch::<T>(sizes.iter().sum());
    for Replica { order, lr, params, diverged } in live {
        scratch.fill(T::ZERO);
        let mut rest = &mut *scratch;
        let [w1, w2, x, delta, a, e, z, da, correction, y] = sizes.map(|size| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(size);
            rest = after;
            part
        });
        let (from1, from2) = params.split_at_mut(shape.hidden * shape.inputs);
        copy_rows(from1, shape.inputs, w1, inputs);
        copy_rows(from2, shape.hidden, w2, hidden);
        let first = Layer { w: &mut *w1, inputs: x, deltas: delta, stride: inputs, rows: hidden };
        let second = Layer { w: &mut *w2, inputs: a, deltas: e, stride: hidden, rows: outputs };
        *diverged = run(isa, Training { isa, task, order, lr, first, second, z, da, correction, y });
        copy_rows(w1, inputs, from1, shape.inputs);
        copy_rows(w2, hidden, from2, shape.hidden);
    }
}

/// Elements in whole 64-byte lines, whole vectors of every instruction set.
fn padded<T>(elements: usize) -> usize {
    elements.next_multiple_of(64 / size_of::<T>())
}

/// The rows of one matrix to those of another, as many as the smaller one has.
fn copy_rows<T: Real>(from: &[T], from_stride: usize, to: &mut [T], to_stride: usize) {
    let width = from_stride.min(to_stride);
    for (from, to) in from.chunks_exact(from_stride).zip(to.chunks_exact_mut(to_stride)) {
        to[..width].copy_from_slice(&from[..width]);
    }
}

/// A matrix W = W' - Σ_k δ_k v_kᵀ whose last updates are still apart. All lengths are whole 64-byte lines.
struct Layer<'a, T> {
    /// W', rows x stride.
    w: &'a mut [T],
    /// v_k, DELAY x stride.
    inputs: &'a mut [T],
    /// δ_k, DELAY x rows.
    deltas: &'a mut [T],
    stride: usize,
    rows: usize,
}

/// All steps of a replica; the public function checked all lengths.
struct Training<'a, T> {
    isa: Isa,
    task: &'a Task<'a, T>,
    order: &'a [u32],
    lr: Rates<'a, T>,
    first: Layer<'a, T>,
    second: Layer<'a, T>,
    z: &'a mut [T],
    /// ∂L/∂a.
    da: &'a mut [T],
    /// Σ_k ⟨v_k, v⟩ δ_k.
    correction: &'a mut [T],
    /// Targets, then residuals.
    y: &'a mut [T],
}

impl<T: Real> Kernel<T> for Training<'_, T> {
    type Output = Option<usize>;
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) -> Option<usize> {
        let Training { isa, task, order, lr, mut first, mut second, z, da, correction, y } = self;
        let (mut pending, mut diverged) = (0, None);
        for (step, (&sample, lr)) in order.iter().zip(lr.iter()).enumerate() {
            let (inputs, targets) = task.sample(sample);
            first.inputs[pending * first.stride..][..inputs.len()].copy_from_slice(inputs);
            y[..targets.len()].copy_from_slice(targets);
            // SAFETY: the caller enables V; all lengths are whole vectors.
            unsafe {
                first.correct::<V>(pending, correction);
                first.forward::<V>(pending, correction, z);
                activation_forward(isa, task.shape.activation, z, &mut second.inputs[pending * second.stride..][..z.len()]);
                second.correct::<V>(pending, correction);
                second.residuals::<V>(pending, correction, y, da);
                if !y.iter().all(|residual| residual.is_finite()) {
                    diverged = Some(step);
                    break;
                }
                second.correct_back::<V>(pending, y, da);
                let delta = &mut first.deltas[pending * first.rows..][..first.rows];
                activation_backward(isa, task.shape.activation, z, da, delta);
                scaled::<V>(lr * task.gain, delta);
                let delta = &mut second.deltas[pending * second.rows..][..second.rows];
                delta.copy_from_slice(y);
                scaled::<V>(lr * task.gain, delta);
                pending += 1;
                if pending == DELAY {
                    first.apply::<V>(pending);
                    second.apply::<V>(pending);
                    pending = 0;
                }
            }
        }
        // SAFETY: as above.
        unsafe {
            first.apply::<V>(pending);
            second.apply::<V>(pending);
        }
        diverged
    }
}

/// Rows, and vectors of each, that [`Layer::apply`] keeps in registers.
const ROWS: usize = 4;
/// See [`ROWS`].
const VECTORS: usize = 4;

/// Lanes of the longest vector.
const MOST: usize = 16;

impl<T: Real> Layer<'_, T> {
    /// v_k.
    #[inline(always)]
    fn input(&self, k: usize) -> &[T] {
        &self.inputs[k * self.stride..][..self.stride]
    }

    /// δ_k.
    #[inline(always)]
    fn delta(&self, k: usize) -> &[T] {
        &self.deltas[k * self.rows..][..self.rows]
    }

    /// `out = Σ_k ⟨v_k, v⟩ δ_k` over the `pending` updates that are apart, v the input after them.
    ///
    /// # Safety
    /// V is enabled, as for all below; all lengths are whole vectors.
    #[inline(always)]
    unsafe fn correct<V: Lanes<Element = T>>(&self, pending: usize, out: &mut [T]) {
        let out = &mut out[..self.rows];
        out.fill(T::ZERO);
        for k in 0..pending {
            // SAFETY: the caller's contract.
            unsafe { add_scaled::<V>(dot::<V>(self.input(k), self.input(pending)), self.delta(k), out) }
        }
    }

    /// `out = W v`, v the input after the `pending` updates.
    ///
    /// # Safety
    /// As [`Layer::correct`], which has left `correction`.
    #[inline(always)]
    unsafe fn forward<V: Lanes<Element = T>>(&self, pending: usize, correction: &[T], out: &mut [T]) {
        for row in (0..self.rows).step_by(V::LANES) {
            // SAFETY: the caller's contract.
            unsafe {
                let product = self.products::<V>(row, self.input(pending)).sub(V::load(correction.as_ptr().add(row)));
                product.store(out.as_mut_ptr().add(row));
            }
        }
    }

    /// Turns targets y into residuals r = W v - y, and leaves W'ᵀ r in `back`, in one pass over W'.
    ///
    /// # Safety
    /// As [`Layer::forward`].
    #[inline(always)]
    unsafe fn residuals<V: Lanes<Element = T>>(&self, pending: usize, correction: &[T], y: &mut [T], back: &mut [T]) {
        back.fill(T::ZERO);
        for row in (0..self.rows).step_by(V::LANES) {
            let block = &self.w[row * self.stride..][..V::LANES * self.stride];
            // SAFETY: the caller's contract.
            unsafe {
                let product = self.products::<V>(row, self.input(pending)).sub(V::load(correction.as_ptr().add(row)));
                product.sub(V::load(y.as_ptr().add(row))).store(y.as_mut_ptr().add(row));
                let mut residuals = [V::zero(); MOST];
                for lane in 0..V::LANES {
                    residuals[lane] = V::splat(y[row + lane]);
                }
                for at in (0..self.stride).step_by(V::LANES) {
                    let mut sums = [V::load(back.as_ptr().add(at)), V::zero()];
                    for lane in 0..V::LANES {
                        let w = V::load(block.as_ptr().add(lane * self.stride + at));
                        sums[lane % 2] = w.mul_add(residuals[lane], sums[lane % 2]);
                    }
                    sums[0].add(sums[1]).store(back.as_mut_ptr().add(at));
                }
            }
        }
    }

    /// Takes `back` from W'ᵀ r to Wᵀ r.
    ///
    /// # Safety
    /// As [`Layer::correct`].
    #[inline(always)]
    unsafe fn correct_back<V: Lanes<Element = T>>(&self, pending: usize, r: &[T], back: &mut [T]) {
        for k in 0..pending {
            // SAFETY: the caller's contract.
            unsafe { add_scaled::<V>(-dot::<V>(self.delta(k), r), self.input(k), back) }
        }
    }

    /// The products W' v of as many rows as V has lanes.
    ///
    /// # Safety
    /// As [`Layer::correct`].
    #[inline(always)]
    unsafe fn products<V: Lanes<Element = T>>(&self, row: usize, v: &[T]) -> V {
        let block = &self.w[row * self.stride..][..V::LANES * self.stride];
        // SAFETY: the caller's contract.
        unsafe {
            let mut sums = [V::zero(); MOST];
            for at in (0..self.stride).step_by(V::LANES) {
                let v = V::load(v.as_ptr().add(at));
                for lane in 0..V::LANES {
                    sums[lane] = V::load(block.as_ptr().add(lane * self.stride + at)).mul_add(v, sums[lane]);
                }
            }
            let mut count = V::LANES;
            while count > 1 {
                count /= 2;
                for k in 0..count {
                    sums[k] = sums[2 * k].add_neighbours(sums[2 * k + 1]);
                }
            }
            sums[0]
        }
    }

    /// Subtracts the `pending` updates from W'.
    ///
    /// # Safety
    /// As [`Layer::correct`].
    #[inline(always)]
    unsafe fn apply<V: Lanes<Element = T>>(&mut self, pending: usize) {
        let wide = self.stride - self.stride % (VECTORS * V::LANES);
        for row in (0..self.rows).step_by(ROWS) {
            // SAFETY: the caller's contract; rows come in whole 64-byte lines, at least 8.
            unsafe {
                for at in (0..wide).step_by(VECTORS * V::LANES) {
                    self.apply_block::<V, VECTORS>(pending, row, at);
                }
                for at in (wide..self.stride).step_by(V::LANES) {
                    self.apply_block::<V, 1>(pending, row, at);
                }
            }
        }
    }

    /// # Safety
    /// V is enabled; ROWS rows from `row` and N vectors from `at` on are there.
    #[inline(always)]
    unsafe fn apply_block<V: Lanes<Element = T>, const N: usize>(&mut self, pending: usize, row: usize, at: usize) {
        // SAFETY: the caller's contract.
        unsafe {
            let w = self.w.as_mut_ptr().add(row * self.stride + at);
            let mut sums = [[V::zero(); N]; ROWS];
            for r in 0..ROWS {
                for n in 0..N {
                    sums[r][n] = V::load(w.add(r * self.stride + n * V::LANES));
                }
            }
            for k in 0..pending {
                let v = self.inputs.as_ptr().add(k * self.stride + at);
                for r in 0..ROWS {
                    let delta = V::splat(*self.deltas.as_ptr().add(k * self.rows + row + r));
                    for n in 0..N {
                        sums[r][n] = V::load(v.add(n * V::LANES)).mul_subtract_from(delta, sums[r][n]);
                    }
                }
            }
            for r in 0..ROWS {
                for n in 0..N {
                    sums[r][n].store(w.add(r * self.stride + n * V::LANES));
                }
            }
        }
    }
}

/// ⟨a, b⟩.
///
/// # Safety
/// V is enabled; both have the same whole number of vectors, as for all below.
#[inline(always)]
unsafe fn dot<V: Lanes>(a: &[V::Element], b: &[V::Element]) -> V::Element {
    // SAFETY: the caller's contract.
    unsafe {
        let mut sums = [V::zero(); 4];
        for (i, at) in (0..a.len()).step_by(V::LANES).enumerate() {
            sums[i % 4] = V::load(a.as_ptr().add(at)).mul_add(V::load(b.as_ptr().add(at)), sums[i % 4]);
        }
        sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum()
    }
}

/// `out += c x`.
///
/// # Safety
/// As [`dot`].
#[inline(always)]
unsafe fn add_scaled<V: Lanes>(c: V::Element, x: &[V::Element], out: &mut [V::Element]) {
    // SAFETY: the caller's contract.
    unsafe {
        let c = V::splat(c);
        for at in (0..out.len()).step_by(V::LANES) {
            let sum = V::load(x.as_ptr().add(at)).mul_add(c, V::load(out.as_ptr().add(at)));
            sum.store(out.as_mut_ptr().add(at));
        }
    }
}

/// `x *= c`.
///
/// # Safety
/// As [`dot`].
#[inline(always)]
unsafe fn scaled<V: Lanes>(c: V::Element, x: &mut [V::Element]) {
    // SAFETY: the caller's contract.
    unsafe {
        let c = V::splat(c);
        for at in (0..x.len()).step_by(V::LANES) {
            V::load(x.as_ptr().add(at)).mul(c).store(x.as_mut_ptr().add(at));
        }
    }
}
