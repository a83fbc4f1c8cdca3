//! Any number of layers. Weights lie by columns, padded with zeros to whole blocks of N vectors; those of the middle layers
//! lie by rows too, updated alike, so that `Wᵀδ` needs no sums over lanes. All but the current block stays in the cache.

use super::floor;
use crate::mlp::{MlpShape, Replica, Task, coefficient};
use crate::simd::Lanes;
use crate::{Context, Real};

/// One layer in a replica's scratch memory, in elements from its start.
#[derive(Clone, Copy, Debug)]
struct Place {
    inputs: usize,
    outputs: usize,
    bias: bool,
    /// Inputs and outputs, padded to whole blocks.
    padded: [usize; 2],
    /// The inputs at this step.
    now: usize,
    /// The inputs at the step before.
    before: usize,
    /// `∂h/∂(pre-activation)` of the inputs.
    delta: usize,
    /// The same at the step before, times that step's rate.
    change: usize,
    /// W by columns, block after block; not in the last layer.
    columns: usize,
    /// W by rows, block after block; not in the first layer, unless it is the last one too.
    rows: usize,
    biases: usize,
}

/// Where everything lies, and the elements it takes.
fn places(shape: &MlpShape<'_>, block: usize) -> (Vec<Place>, usize) {
    let mut end = 0;
    let mut reserve = |elements: usize| {
        end += elements;
        end - elements
    };
    let last = shape.widths.len() - 2;
    let place = |(index, layer): (usize, crate::mlp::Layer)| {
        let padded @ [inputs, outputs] = [layer.inputs, layer.outputs].map(|width| width.next_multiple_of(block));
        Place {
            inputs: layer.inputs,
            outputs: layer.outputs,
            bias: layer.bias,
            padded,
            now: reserve(inputs),
            before: reserve(inputs),
            delta: reserve(inputs),
            change: reserve(inputs),
            columns: reserve(if index < last { layer.inputs * outputs } else { 0 }),
            rows: reserve(if index > 0 || last == 0 { layer.outputs * inputs } else { 0 }),
            biases: reserve(outputs),
        }
    };
    (shape.layers().enumerate().map(place).collect(), end)
}

/// Where element `lane` of vector `index` is, among `count` vectors that lie block after block.
fn in_blocks(block: usize, count: usize, index: usize, lane: usize) -> usize {
    (lane / block * count + index) * block + lane % block
}

/// Copies parameters to their places; the rest of the scratch memory becomes zero.
fn pack<T: Real>(places: &[Place], block: usize, mut params: &[T], scratch: &mut [T]) {
    scratch.fill(T::ZERO);
    for (index, place) in places.iter().enumerate() {
        for i in 0..place.outputs {
            for j in 0..place.inputs {
                let w = params[i * place.inputs + j];
                if index + 1 < places.len() {
                    scratch[place.columns + in_blocks(block, place.inputs, j, i)] = w;
                }
                if index > 0 || places.len() == 1 {
                    scratch[place.rows + in_blocks(block, place.outputs, i, j)] = w;
                }
            }
        }
        params = &params[place.outputs * place.inputs..];
        let bias = params.split_off(..if place.bias { place.outputs } else { 0 }).unwrap_or_default();
        scratch[place.biases..][..bias.len()].copy_from_slice(bias);
    }
}

/// Copies parameters back.
fn unpack<T: Real>(places: &[Place], block: usize, scratch: &[T], params: &mut [T]) {
    let mut start = 0;
    for (index, place) in places.iter().enumerate() {
        for i in 0..place.outputs {
            for j in 0..place.inputs {
                params[start + i * place.inputs + j] = if index + 1 < places.len() {
                    scratch[place.columns + in_blocks(block, place.inputs, j, i)]
                } else {
                    scratch[place.rows + in_blocks(block, place.outputs, i, j)]
                };
            }
        }
        start += place.outputs * place.inputs;
        let biases = if place.bias { place.outputs } else { 0 };
        params[start..][..biases].copy_from_slice(&scratch[place.biases..][..biases]);
        start += biases;
    }
}

/// As [`super::Group`].
///
/// # Safety
/// V is enabled, and the public function checked all lengths and indices.
#[inline(always)]
pub(super) unsafe fn train<V: Lanes, const REGULARISED: bool>(
    cx: &Context,
    task: &Task<'_, V::Element>,
    group: &mut [&mut Replica<'_, V::Element>],
    from: usize,
) -> usize
where
    V::Element: Real,
{
    // The inputs are read one by one, unless they go to the output at once.
    let vectors = task.shape.widths.iter().skip(1).max().copied().unwrap_or(1).div_ceil(V::LANES);
    // SAFETY: the caller's contract.
    unsafe {
        match if task.shape.widths.len() == 2 { 4 } else { vectors } {
            1 => train_in_blocks::<V, 1, REGULARISED>(cx, task, group, from),
            2 => train_in_blocks::<V, 2, REGULARISED>(cx, task, group, from),
            _ => train_in_blocks::<V, 4, REGULARISED>(cx, task, group, from),
        }
    }
}

/// [`train`] with blocks of N vectors; only blocks of four may be more than one in a layer.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn train_in_blocks<V: Lanes, const N: usize, const REGULARISED: bool>(
    cx: &Context,
    task: &Task<'_, V::Element>,
    group: &mut [&mut Replica<'_, V::Element>],
    from: usize,
) -> usize
where
    V::Element: Real,
{
    let block = N * V::LANES;
    let (places, size) = places(&task.shape, block);
    let mut scratch = cx.scratch(group.len() * size);
    for (replica, scratch) in group.iter().zip(scratch.chunks_exact_mut(size)) {
        pack(&places, block, replica.params, scratch);
    }
    // SAFETY: the caller's contract; the scratch memory has the places of every replica.
    let stop = unsafe {
        match group {
            [a] => descend::<V, N, 1, REGULARISED>(task, &places, size, &mut scratch, [a], from),
            [a, b] => descend::<V, N, 2, REGULARISED>(task, &places, size, &mut scratch, [a, b], from),
            [a, b, c, d] => descend::<V, N, 4, REGULARISED>(task, &places, size, &mut scratch, [a, b, c, d], from),
            _ => unreachable!("groups have one, two or four replicas"),
        }
    };
    for (replica, scratch) in group.iter_mut().zip(scratch.chunks_exact(size)) {
        unpack(&places, block, scratch, replica.params);
    }
    stop
}

/// [`train`] on G replicas whose parameters are in `scratch`, `size` elements each.
///
/// # Safety
/// V is enabled, `places` and `size` belong to the task's shape and blocks of N vectors, and the public function checked all
/// lengths and indices.
#[inline(always)]
unsafe fn descend<V: Lanes, const N: usize, const G: usize, const REGULARISED: bool>(
    task: &Task<'_, V::Element>,
    places: &[Place],
    size: usize,
    scratch: &mut [V::Element],
    group: [&mut Replica<'_, V::Element>; G],
    from: usize,
) -> usize
where
    V::Element: Real,
{
    let (first, last, steps) = (&places[0], &places[places.len() - 1], task.lr.len());
    let (hidden, scale) = (&places[1..], task.loss.scale.factor::<V::Element>());
    // SAFETY: all pointers lie within the places of a replica, a row of x, y, or the replica's order, as long as `lr`.
    unsafe {
        let mut base = [scratch.as_mut_ptr(); G];
        let mut orders = [group[0].order.as_ptr(); G];
        for g in 0..G {
            base[g] = base[g].wrapping_add(g * size);
            orders[g] = group[g].order.as_ptr();
        }
        let mut rates = [V::Element::ZERO; G];
        let mut rows = [base[0].wrapping_add(first.before).cast_const(); G];
        let mut step = Step { keep: V::splat(V::Element::ONE), limit: V::splat(floor(task.shape.activation)) };
        for t in from..=steps {
            // After the last step, one more forward pass applies its update; what it predicts does not matter.
            let position = t.min(steps - 1);
            let mut targets = [V::Element::ZERO; G];
            for g in 0..G {
                let sample = *orders[g].wrapping_add(position) as usize;
                targets[g] = *task.y.as_ptr().wrapping_add(sample);
                let row = task.x.as_ptr().wrapping_add(sample * task.shape.stride);
                if let [second, ..] = hidden {
                    step.forward::<N, REGULARISED>(first, second, base[g], [rows[g], row], rates[g]);
                } else {
                    take::<V>(first, base[g], row);
                }
                rows[g] = row;
            }
            for (place, next) in hidden.iter().zip(hidden.iter().skip(1)) {
                for g in 0..G {
                    let inputs = [base[g].wrapping_add(place.before).cast_const(), base[g].wrapping_add(place.now)];
                    step.forward::<N, REGULARISED>(place, next, base[g], inputs, rates[g]);
                }
            }
            let mut residuals = [V::Element::ZERO; G];
            let mut finite = true;
            for g in 0..G {
                residuals[g] = step.output::<N, REGULARISED>(last, base[g], rates[g]) - targets[g];
                finite &= residuals[g].is_finite();
            }
            if t == steps {
                break;
            }
            if !finite {
                for g in 0..G {
                    if !residuals[g].is_finite() {
                        *group[g].diverged = Some(t);
                    }
                }
                return t;
            }
            for (place, next) in hidden.iter().zip(hidden.iter().skip(1)).rev() {
                for g in 0..G {
                    step.backward::<N, REGULARISED>(place, next, base[g]);
                }
            }
            let lr = *task.lr.as_ptr().wrapping_add(t);
            for g in 0..G {
                let dy = scale * residuals[g];
                rates[g] = lr * dy;
                if REGULARISED && task.loss.clip.is_some() {
                    let norm = dy.abs() * step.squared_norm(places, base[g], rows[g]).sqrt();
                    rates[g] = coefficient(task.loss.clip, norm) * rates[g];
                }
            }
            step.keep = V::splat(V::Element::ONE - lr * task.loss.weight_decay);
        }
    }
    steps
}

/// A single layer's inputs at this step and the step before.
///
/// # Safety
/// V is enabled; `row` has the place's inputs; the place is a replica's whose memory begins at `base`.
#[inline(always)]
unsafe fn take<V: Lanes>(place: &Place, base: *mut V::Element, row: *const V::Element) {
    for lane in (0..place.inputs).step_by(V::LANES) {
        let at = base.wrapping_add(lane);
        // SAFETY: the caller's contract.
        unsafe {
            V::load(at.wrapping_add(place.now)).store(at.wrapping_add(place.before));
            V::load_first(row.wrapping_add(lane), V::LANES.min(place.inputs - lane)).store(at.wrapping_add(place.now));
        }
    }
}

/// The end of a padded width; a constant unless the blocks may be several.
#[inline(always)]
fn end<V: Lanes, const N: usize>(padded: usize) -> usize {
    if N < 4 { N * V::LANES } else { padded }
}

/// What the passes of one step share.
#[derive(Clone, Copy)]
struct Step<V> {
    /// What weight decay leaves of a weight in the pending update.
    keep: V,
    /// The activation's [`floor`].
    limit: V,
}

/// # Safety
/// All methods: V is enabled, the places are those of a replica whose memory begins at `base`.
impl<V: Lanes> Step<V>
where
    V::Element: Real,
{
    /// The pending update of a layer that is not the last, and its outputs from its inputs [before, now].
    #[inline(always)]
    unsafe fn forward<const N: usize, const REGULARISED: bool>(
        self,
        place: &Place,
        next: &Place,
        base: *mut V::Element,
        inputs: [*const V::Element; 2],
        rate: V::Element,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            let rate = V::splat(rate);
            let mut columns = base.wrapping_add(place.columns);
            for block in (0..end::<V, N>(place.padded[1])).step_by(N * V::LANES) {
                let at = base.wrapping_add(block);
                let mut change = [V::zero(); N];
                let mut bias = [V::zero(); N];
                for k in 0..N {
                    let at = at.wrapping_add(k * V::LANES);
                    change[k] = V::load(at.wrapping_add(next.delta)).mul(rate);
                    change[k].store(at.wrapping_add(next.change));
                    if place.bias {
                        bias[k] = self.kept::<REGULARISED>(V::load(at.wrapping_add(place.biases))).sub(change[k]);
                        bias[k].store(at.wrapping_add(place.biases));
                    }
                }
                let z = self.pass::<N, REGULARISED>(columns, place.inputs, change, inputs, bias);
                for k in 0..N {
                    let at = at.wrapping_add(k * V::LANES);
                    V::load(at.wrapping_add(next.now)).store(at.wrapping_add(next.before));
                    self.limit.max(z[k]).store(at.wrapping_add(next.now));
                }
                columns = columns.wrapping_add(place.inputs * N * V::LANES);
            }
        }
    }

    /// The pending update of the last layer, its output, and δ of its inputs.
    #[inline(always)]
    unsafe fn output<const N: usize, const REGULARISED: bool>(
        self,
        place: &Place,
        base: *mut V::Element,
        rate: V::Element,
    ) -> V::Element {
        // SAFETY: the caller's contract.
        unsafe {
            let (mut sum, factor) = (V::zero(), V::splat(rate));
            for lane in (0..end::<V, N>(place.padded[0])).step_by(V::LANES) {
                let at = base.wrapping_add(lane);
                let (row, a) = (at.wrapping_add(place.rows), V::load(at.wrapping_add(place.now)));
                let before = V::load(at.wrapping_add(place.before));
                let w = factor.mul_subtract_from(before, self.kept::<REGULARISED>(V::load(row)));
                w.store(row);
                sum = w.mul_add(a, sum);
                w.where_above(a, self.limit).store(at.wrapping_add(place.delta));
            }
            let mut h = sum.sum();
            if place.bias {
                let bias = base.wrapping_add(place.biases);
                self.kept::<REGULARISED>(V::load_first(bias, 1)).sub(factor).store_first(bias, 1);
                h += *bias;
            }
            h
        }
    }

    /// The pending update of a middle layer's rows, and δ of its inputs.
    #[inline(always)]
    unsafe fn backward<const N: usize, const REGULARISED: bool>(self, place: &Place, next: &Place, base: *mut V::Element) {
        // SAFETY: the caller's contract.
        unsafe {
            let mut rows = base.wrapping_add(place.rows);
            let deltas = [base.wrapping_add(next.change).cast_const(), base.wrapping_add(next.delta)];
            for block in (0..end::<V, N>(place.padded[0])).step_by(N * V::LANES) {
                let at = base.wrapping_add(block);
                let mut before = [V::zero(); N];
                for k in 0..N {
                    before[k] = V::load(at.wrapping_add(place.before + k * V::LANES));
                }
                let below = self.pass::<N, REGULARISED>(rows, place.outputs, before, deltas, [V::zero(); N]);
                for k in 0..N {
                    let at = at.wrapping_add(k * V::LANES);
                    below[k].where_above(V::load(at.wrapping_add(place.now)), self.limit).store(at.wrapping_add(place.delta));
                }
                rows = rows.wrapping_add(place.outputs * N * V::LANES);
            }
        }
    }

    /// With `count` columns c_j, N vectors each: `c_j -= u s_j`, then `init + Σ_j c_j t_j`.
    #[inline(always)]
    unsafe fn pass<const N: usize, const REGULARISED: bool>(
        self,
        mut columns: *mut V::Element,
        count: usize,
        u: [V; N],
        [mut s, mut t]: [*const V::Element; 2],
        init: [V; N],
    ) -> [V; N] {
        // SAFETY: the caller's contract; `s` and `t` have `count` elements.
        unsafe {
            let mut sums = [[V::zero(); N]; 4];
            sums[0] = init;
            // Straight code for eight, four, two and one columns: addresses are constants there.
            macro_rules! next {
                ($columns:expr) => {
                    for j in 0..$columns {
                        // Four sums in flight, whatever N is.
                        let part = j % (4 / N);
                        let (s, t) = (V::splat(*s.wrapping_add(j)), V::splat(*t.wrapping_add(j)));
                        for k in 0..N {
                            let column = columns.wrapping_add((j * N + k) * V::LANES);
                            let w = u[k].mul_subtract_from(s, self.kept::<REGULARISED>(V::load(column)));
                            w.store(column);
                            sums[part][k] = w.mul_add(t, sums[part][k]);
                        }
                    }
                    (s, t) = (s.wrapping_add($columns), t.wrapping_add($columns));
                    columns = columns.wrapping_add($columns * N * V::LANES);
                };
            }
            for _ in 0..count / 8 {
                next!(8);
            }
            if count & 4 != 0 {
                next!(4);
            }
            if count & 2 != 0 {
                next!(2);
            }
            if count & 1 != 0 {
                next!(1);
            }
            let _ = (s, t, columns);
            for k in 0..N {
                sums[0][k] = match N {
                    1 => sums[0][k].add(sums[1][k]).add(sums[2][k].add(sums[3][k])),
                    2 => sums[0][k].add(sums[1][k]),
                    _ => sums[0][k],
                };
            }
            sums[0]
        }
    }

    /// `w` after the pending decay.
    #[inline(always)]
    unsafe fn kept<const REGULARISED: bool>(self, w: V) -> V {
        // SAFETY: the caller's contract.
        if REGULARISED { unsafe { w.mul(self.keep) } } else { w }
    }

    /// ‖∇h‖², the sum over layers of `‖δ_l‖² (‖a_{l-1}‖² + [bias])`.
    #[inline(always)]
    unsafe fn squared_norm(self, places: &[Place], base: *mut V::Element, row: *const V::Element) -> V::Element {
        // SAFETY: the caller's contract; `row` has as many elements as the first place's inputs.
        unsafe {
            let mut total = V::zero();
            let mut input = row;
            for (index, place) in places.iter().enumerate() {
                let mut squares = V::zero();
                for lane in (0..place.inputs).step_by(V::LANES) {
                    let a = V::load_first(input.wrapping_add(lane), V::LANES.min(place.inputs - lane));
                    squares = a.mul_add(a, squares);
                }
                let factor = squares.sum() + if place.bias { V::Element::ONE } else { V::Element::ZERO };
                let Some(next) = places.get(index + 1) else {
                    return total.sum() + factor;
                };
                for lane in (0..place.padded[1]).step_by(V::LANES) {
                    let delta = V::load(base.wrapping_add(next.delta + lane));
                    total = delta.mul(delta).mul_add(V::splat(factor), total);
                }
                input = base.wrapping_add(next.now);
            }
            total.sum()
        }
    }
}
