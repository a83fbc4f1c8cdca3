//! Any number of layers. Weights lie by columns, padded with zeros to whole blocks of N vectors; those of the middle layers
//! lie by rows too, updated alike, so that `Wᵀδ` needs no sums over lanes. All but the current block stays in the cache.

use super::{Width, floor};
use crate::mlp::{MlpShape, Task};
use crate::simd::{Kernel, Lanes, run};
use crate::steps::Replica;
use crate::{Context, Isa, Real};

/// Bytes of a group's weights that stay in the first-level cache beside everything else.
const CACHE_BYTES: usize = 24 << 10;

/// Vectors of a block, and whether a layer is one block.
fn blocks(shape: &MlpShape<'_>, lanes: usize) -> (usize, bool) {
    // The inputs are read one by one, unless they go to the output at once.
    let hidden = if shape.widths.len() == 2 { shape.widths } else { &shape.widths[1..] };
    match hidden.iter().max().map_or(1, |widest| widest.div_ceil(lanes)) {
        1 => (1, true),
        2 => (2, true),
        vectors => (4, vectors <= 4),
    }
}

/// How many replicas take turns. Their blocks alternate, so that all addresses are one base and constants.
pub(super) fn turns<T: Real>(shape: &MlpShape<'_>, width: Width<T>) -> usize {
    let (vectors, single) = blocks(shape, width.lanes);
    let bytes = places(shape, vectors * width.lanes).1 * size_of::<T>();
    // A replica needs four sums and as many temporaries for every vector of a block.
    let registers = width.registers / (8 * vectors);
    if single { (CACHE_BYTES / bytes).min(registers).max(1) } else { 1 }
}

/// One layer in the scratch memory of one replica alone, in elements from its start.
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

/// As [`super::group`].
pub(super) fn train<T: Real, const REGULARISED: bool>(
    cx: &Context,
    isa: Isa,
    task: &Task<'_, T>,
    group: &mut [&mut Replica<'_, T>],
    from: usize,
) -> usize {
    let lanes = run(isa, Width::<T>::default()).lanes;
    let (vectors, _) = blocks(&task.shape, lanes);
    let block = vectors * lanes;
    let (places, size) = places(&task.shape, block);
    let turns = group.len();
    let mut scratch = cx.scratch((turns + 1) * size);
    let (alone, scratch) = scratch.split_at_mut(size);
    for (g, replica) in group.iter().enumerate() {
        pack(&places, block, replica.params, alone);
        for (to, from) in scratch.chunks_exact_mut(block).skip(g).step_by(turns).zip(alone.chunks_exact(block)) {
            to.copy_from_slice(from);
        }
    }
    let stop = match (vectors, &mut *group) {
        (1, [a]) => run(isa, Descent::<T, 1, 1, REGULARISED> { task, places: &places, scratch, group: [a], from }),
        (1, [a, b]) => run(isa, Descent::<T, 1, 2, REGULARISED> { task, places: &places, scratch, group: [a, b], from }),
        (1, [a, b, c, d]) => {
            run(isa, Descent::<T, 1, 4, REGULARISED> { task, places: &places, scratch, group: [a, b, c, d], from })
        }
        (2, [a]) => run(isa, Descent::<T, 2, 1, REGULARISED> { task, places: &places, scratch, group: [a], from }),
        (2, [a, b]) => run(isa, Descent::<T, 2, 2, REGULARISED> { task, places: &places, scratch, group: [a, b], from }),
        (_, [a]) => run(isa, Descent::<T, 4, 1, REGULARISED> { task, places: &places, scratch, group: [a], from }),
        _ => unreachable!("turns() gives four replicas only of blocks of one vector, two only of up to two"),
    };
    for (g, replica) in group.iter_mut().enumerate() {
        for (from, to) in scratch.chunks_exact(block).skip(g).step_by(turns).zip(alone.chunks_exact_mut(block)) {
            to.copy_from_slice(from);
        }
        unpack(&places, block, alone, replica.params);
    }
    stop
}

/// [`descend`] as a function of its own for every instruction set, which keeps them short enough to compile fast.
struct Descent<'a, 'b, 'c, T, const N: usize, const G: usize, const REGULARISED: bool> {
    task: &'a Task<'a, T>,
    places: &'a [Place],
    /// The places of every replica, block by block in turn.
    scratch: &'a mut [T],
    group: [&'b mut Replica<'c, T>; G],
    from: usize,
}

impl<T: Real, const N: usize, const G: usize, const REGULARISED: bool> Kernel<T> for Descent<'_, '_, '_, T, N, G, REGULARISED> {
    type Output = usize;
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) -> usize {
        let Descent { task, places, scratch, group, from } = self;
        // SAFETY: the caller enables V, the public function checked all lengths and indices, and `train` chose N for the shape.
        unsafe { descend::<V, N, G, REGULARISED>(task, places, scratch, group, from) }
    }
}

/// [`train`] on G replicas with their places in `scratch`, N vectors of each in turn.
///
/// # Safety
/// V is enabled, `places` belong to the task's shape and blocks of N vectors, and the public function checked all lengths and
/// indices. If G > 1 or N < 4, layers that are not the first are one block.
#[inline(always)]
unsafe fn descend<V: Lanes, const N: usize, const G: usize, const REGULARISED: bool>(
    task: &Task<'_, V::Element>,
    places: &[Place],
    scratch: &mut [V::Element],
    group: [&mut Replica<'_, V::Element>; G],
    from: usize,
) -> usize
where
    V::Element: Real,
{
    let (first, last, hidden) = (places[0], places[places.len() - 1], &places[1..]);
    let (steps, scale) = (group[0].lr.len(), task.rule.scale.factor::<V::Element>());
    let zero = V::Element::ZERO;
    // SAFETY: all pointers lie within the places, a row of x, y, or the replica's order and step sizes, which are as long.
    unsafe {
        let network: Network<V, N, G, REGULARISED> =
            Network { base: scratch.as_mut_ptr(), limit: V::splat(floor(task.shape.activation)) };
        let mut orders = [group[0].order.as_ptr(); G];
        for g in 0..G {
            orders[g] = group[g].order.as_ptr();
        }
        let mut rates = [zero; G];
        let mut keep = [V::splat(V::Element::ONE); G];
        // No step came before the first: its inputs were zero.
        let mut inputs = [[network.at(first.before, 0, 0).cast_const(); G]; 2];
        for t in from..=steps {
            // After the last step, one more forward pass applies its update; what it predicts does not matter.
            let position = t.min(steps - 1);
            let (mut targets, mut factors) = ([zero; G], [V::zero(); G]);
            for g in 0..G {
                let sample = *orders[g].wrapping_add(position) as usize;
                targets[g] = *task.y.as_ptr().wrapping_add(sample);
                inputs[1][g] = task.x.as_ptr().wrapping_add(sample * task.shape.stride);
                factors[g] = V::splat(rates[g]);
            }
            match hidden {
                [] => network.take(first, inputs[1]),
                [second, ..] => network.forward(first, *second, inputs, factors, keep),
            }
            inputs[0] = inputs[1];
            for (&place, &next) in hidden.iter().zip(hidden.iter().skip(1)) {
                network.forward(place, next, [network.each(place.before), network.each(place.now)], factors, keep);
            }
            let (sums, mut residuals, mut finite) = (network.output(last, factors, keep), [zero; G], true);
            for g in 0..G {
                residuals[g] = sums[g].sum() + (network.bias(last, g, rates[g], keep[g]) - targets[g]);
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
            for (&place, &next) in hidden.iter().zip(hidden.iter().skip(1)).rev() {
                network.backward(place, next, keep);
            }
            for g in 0..G {
                let lr = *group[g].lr.place(t);
                let mut rate = lr * scale;
                if REGULARISED && task.rule.clip.is_some() {
                    let norm = (scale * residuals[g]).abs() * network.squared_norm(places, g, inputs[1][g]).sqrt();
                    rate = task.rule.coefficient(norm) * rate;
                }
                rates[g] = rate * residuals[g];
                keep[g] = V::splat(V::Element::ONE - lr * task.rule.weight_decay);
            }
        }
    }
    steps
}

/// G replicas in scratch memory.
#[derive(Clone, Copy)]
struct Network<V: Lanes, const N: usize, const G: usize, const REGULARISED: bool> {
    base: *mut V::Element,
    /// The activation's [`floor`].
    limit: V,
}

/// # Safety
/// All methods: V is enabled; places are those of `base`; pointers to inputs have as many elements as the place says. `keep` is
/// what weight decay leaves of a weight in the pending update, `rates` are the factors of that update.
impl<V: Lanes, const N: usize, const G: usize, const REGULARISED: bool> Network<V, N, G, REGULARISED>
where
    V::Element: Real,
{
    /// Vector k of replica g, of the block that is at `offset` for a replica alone.
    #[inline(always)]
    fn at(self, offset: usize, g: usize, k: usize) -> *mut V::Element {
        self.base.wrapping_add(offset * G + (g * N + k) * V::LANES)
    }

    /// Every replica's first vector of a block.
    #[inline(always)]
    fn each(self, offset: usize) -> [*const V::Element; G] {
        let mut each = [self.base.cast_const(); G];
        for g in 0..G {
            each[g] = self.at(offset, g, 0);
        }
        each
    }

    /// The end of a padded width that is not the first; a constant unless blocks may be several.
    #[inline(always)]
    fn end(padded: usize) -> usize {
        if N < 4 || G > 1 { N * V::LANES } else { padded }
    }

    /// The inputs of a single layer; what they were at the step before.
    #[inline(always)]
    unsafe fn take(self, place: Place, rows: [*const V::Element; G]) {
        for block in (0..Self::end(place.padded[0])).step_by(N * V::LANES) {
            for g in 0..G {
                for k in 0..N {
                    let first = (block + k * V::LANES).min(place.inputs);
                    let now = self.at(place.now + block, g, k);
                    // SAFETY: the caller's contract.
                    unsafe {
                        V::load(now).store(self.at(place.before + block, g, k));
                        V::load_first(rows[g].wrapping_add(first), V::LANES.min(place.inputs - first)).store(now);
                    }
                }
            }
        }
    }

    /// The pending update of a layer that is not the last, and its outputs from its inputs [before, now].
    #[inline(always)]
    unsafe fn forward(&self, place: Place, next: Place, inputs: [[*const V::Element; G]; 2], rates: [V; G], keep: [V; G]) {
        // SAFETY: the caller's contract.
        unsafe {
            for block in (0..Self::end(place.padded[1])).step_by(N * V::LANES) {
                let (mut change, mut bias) = ([[V::zero(); N]; G], [[V::zero(); N]; G]);
                for g in 0..G {
                    for k in 0..N {
                        change[g][k] = V::load(self.at(next.delta + block, g, k)).mul(rates[g]);
                        change[g][k].store(self.at(next.change + block, g, k));
                        V::load(self.at(next.now + block, g, k)).store(self.at(next.before + block, g, k));
                    }
                }
                if place.bias {
                    for g in 0..G {
                        for k in 0..N {
                            let at = self.at(place.biases + block, g, k);
                            bias[g][k] = Self::kept(V::load(at), keep[g]).sub(change[g][k]);
                            bias[g][k].store(at);
                        }
                    }
                }
                let columns = self.at(place.columns + block * place.inputs, 0, 0);
                let z = Self::pass(columns, place.inputs, change, inputs, bias, keep);
                for g in 0..G {
                    for k in 0..N {
                        self.limit.max(z[g][k]).store(self.at(next.now + block, g, k));
                    }
                }
            }
        }
    }

    /// The pending update of the last layer's weights, the partial sums of its output, and δ of its inputs.
    #[inline(always)]
    unsafe fn output(&self, place: Place, rates: [V; G], keep: [V; G]) -> [V; G] {
        // SAFETY: the caller's contract.
        unsafe {
            let mut sums = [V::zero(); G];
            for block in (0..Self::end(place.padded[0])).step_by(N * V::LANES) {
                for g in 0..G {
                    for k in 0..N {
                        let row = self.at(place.rows + block, g, k);
                        let (before, a) = (self.at(place.before + block, g, k), self.at(place.now + block, g, k));
                        let (before, a) = (V::load(before), V::load(a));
                        let w = rates[g].mul_subtract_from(before, Self::kept(V::load(row), keep[g]));
                        w.store(row);
                        sums[g] = w.mul_add(a, sums[g]);
                        w.where_above(a, self.limit).store(self.at(place.delta + block, g, k));
                    }
                }
            }
            sums
        }
    }

    /// The pending update of the last layer's bias, and the bias; 0 if it has none.
    #[inline(always)]
    unsafe fn bias(&self, place: Place, g: usize, rate: V::Element, keep: V) -> V::Element {
        if !place.bias {
            return V::Element::ZERO;
        }
        let at = self.at(place.biases, g, 0);
        // SAFETY: the caller's contract.
        unsafe {
            let bias = Self::kept(V::splat(*at), keep).sub(V::splat(rate));
            bias.store_first(at, 1);
            *at
        }
    }

    /// The pending update of a middle layer's rows, and δ of its inputs.
    #[inline(always)]
    unsafe fn backward(&self, place: Place, next: Place, keep: [V; G]) {
        // SAFETY: the caller's contract.
        unsafe {
            let deltas = [self.each(next.change), self.each(next.delta)];
            for block in (0..Self::end(place.padded[0])).step_by(N * V::LANES) {
                let mut before = [[V::zero(); N]; G];
                for g in 0..G {
                    for k in 0..N {
                        before[g][k] = V::load(self.at(place.before + block, g, k));
                    }
                }
                let rows = self.at(place.rows + block * place.outputs, 0, 0);
                let below = Self::pass(rows, place.outputs, before, deltas, [[V::zero(); N]; G], keep);
                for g in 0..G {
                    for k in 0..N {
                        let a = V::load(self.at(place.now + block, g, k));
                        below[g][k].where_above(a, self.limit).store(self.at(place.delta + block, g, k));
                    }
                }
            }
        }
    }

    /// With `count` columns c_j of each replica: `c_j -= u s_j`, then `init + Σ_j c_j t_j`.
    #[inline(always)]
    unsafe fn pass(
        mut columns: *mut V::Element,
        count: usize,
        u: [[V; N]; G],
        [mut s, mut t]: [[*const V::Element; G]; 2],
        init: [[V; N]; G],
        keep: [V; G],
    ) -> [[V; N]; G] {
        // SAFETY: the caller's contract; every `s` and `t` has `count` elements.
        unsafe {
            if G > 1 {
                // Keeps this base in a register of its own: stores to base plus index would take the ports of the loads.
                columns = std::hint::black_box(columns);
            }
            // Four sums in flight for a replica, whatever N is; column j goes to sum j mod (4/N).
            let mut sums = [[[V::zero(); N]; 4]; G];
            for g in 0..G {
                sums[g][0] = init[g];
            }
            macro_rules! column {
                ($j:expr) => {
                    for g in 0..G {
                        let (s, t) = (V::splat(*s[g].wrapping_add($j)), V::splat(*t[g].wrapping_add($j)));
                        for k in 0..N {
                            let at = columns.wrapping_add((($j * G + g) * N + k) * V::LANES);
                            let w = u[g][k].mul_subtract_from(s, Self::kept(V::load(at), keep[g]));
                            w.store(at);
                            sums[g][$j % (4 / N)][k] = w.mul_add(t, sums[g][$j % (4 / N)][k]);
                        }
                    }
                };
            }
            for _ in 0..count / 4 {
                column!(0);
                column!(1);
                column!(2);
                column!(3);
                columns = columns.wrapping_add(4 * G * N * V::LANES);
                for g in 0..G {
                    (s[g], t[g]) = (s[g].wrapping_add(4), t[g].wrapping_add(4));
                }
            }
            if count % 4 >= 1 {
                column!(0);
            }
            if count % 4 >= 2 {
                column!(1);
            }
            if count % 4 == 3 {
                column!(2);
            }
            let mut total = init;
            for g in 0..G {
                for k in 0..N {
                    let [a, b, c, d] = sums[g];
                    total[g][k] = match N {
                        1 => a[k].add(b[k]).add(c[k].add(d[k])),
                        2 => a[k].add(b[k]),
                        _ => a[k],
                    };
                }
            }
            total
        }
    }

    /// `w` after the pending decay.
    #[inline(always)]
    unsafe fn kept(w: V, keep: V) -> V {
        // SAFETY: the caller's contract.
        if REGULARISED { unsafe { w.mul(keep) } } else { w }
    }

    /// ‖∇h‖² of replica g, the sum over layers of `‖δ_l‖² (‖a_{l-1}‖² + [bias])`.
    #[inline(always)]
    unsafe fn squared_norm(&self, places: &[Place], g: usize, row: *const V::Element) -> V::Element {
        // SAFETY: the caller's contract.
        unsafe {
            let (mut total, mut input) = (V::zero(), row);
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
                for block in (0..Self::end(place.padded[1])).step_by(N * V::LANES) {
                    for k in 0..N {
                        let delta = V::load(self.at(next.delta + block, g, k));
                        total = delta.mul(delta).mul_add(V::splat(factor), total);
                    }
                }
                input = self.at(next.now, g, 0);
            }
            total.sum()
        }
    }
}
