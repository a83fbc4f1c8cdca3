//! One hidden layer on I inputs. A vector of hidden units is one record: I weights, a bias if B, the weight of the output and
//! the activation. One pass over the records applies the pending update and predicts the next sample.

use super::{Width, floor};
use crate::mlp::{Bias, Task};
use crate::simd::{Kernel, Lanes, run};
use crate::steps::Replica;
use crate::{Context, Isa, Real};

/// Independent sums of a prediction; record k goes to sum k mod 4.
const SUMS: usize = 4;

/// Replicas that take turns; their records alternate.
pub(super) const TURNS: usize = 2;

/// Where a replica's parameters are: fields of a hidden unit are its I weights, its bias if it has one, and its output's weight.
#[derive(Clone, Copy)]
struct Places {
    inputs: usize,
    hidden: usize,
    fields: usize,
    lanes: usize,
    turns: usize,
}

impl Places {
    /// In scratch memory, for replica g.
    fn record(&self, g: usize, field: usize, unit: usize) -> usize {
        ((unit / self.lanes * self.turns + g) * (self.fields + 1) + field) * self.lanes + unit % self.lanes
    }

    /// Among the replica's parameters.
    fn parameter(&self, field: usize, unit: usize) -> usize {
        if field < self.inputs { unit * self.inputs + field } else { field * self.hidden + unit }
    }

    /// Elements of scratch memory.
    fn size(&self) -> usize {
        self.hidden.div_ceil(self.lanes) * self.lanes * (self.fields + 1) * self.turns
    }
}

/// As [`super::group`], for a network of I inputs whose hidden layer has a bias if B.
pub(super) fn train<T: Real, const I: usize, const B: bool, const REGULARISED: bool>(
    cx: &Context,
    isa: Isa,
    task: &Task<'_, T>,
    group: &mut [&mut Replica<'_, T>],
    from: usize,
) -> usize {
    let (hidden, fields) = (task.shape.widths[1], I + usize::from(B) + 1);
    let places = Places { inputs: I, hidden, fields, lanes: run(isa, Width::<T>::default()).lanes, turns: group.len() };
    let mut scratch = cx.scratch(places.size());
    scratch.fill(T::ZERO);
    for (g, replica) in group.iter().enumerate() {
        for field in 0..fields {
            for unit in 0..hidden {
                scratch[places.record(g, field, unit)] = replica.params[places.parameter(field, unit)];
            }
        }
    }
    let stop = match group {
        [a] => run(isa, Descent::<T, I, B, 1, REGULARISED> { task, scratch: &mut scratch, group: [a], from }),
        [a, b] => run(isa, Descent::<T, I, B, 2, REGULARISED> { task, scratch: &mut scratch, group: [a, b], from }),
        _ => unreachable!("groups have one or TURNS replicas"),
    };
    for (g, replica) in group.iter_mut().enumerate() {
        for field in 0..fields {
            for unit in 0..hidden {
                replica.params[places.parameter(field, unit)] = scratch[places.record(g, field, unit)];
            }
        }
    }
    stop
}

/// [`descend`] as a function of its own for every instruction set, which keeps them short enough to compile fast.
struct Descent<'a, 'b, 'c, T, const I: usize, const B: bool, const G: usize, const REGULARISED: bool> {
    task: &'a Task<'a, T>,
    /// The records of every replica.
    scratch: &'a mut [T],
    group: [&'b mut Replica<'c, T>; G],
    from: usize,
}

impl<T: Real, const I: usize, const B: bool, const G: usize, const REGULARISED: bool> Kernel<T>
    for Descent<'_, '_, '_, T, I, B, G, REGULARISED>
{
    type Output = usize;
    #[inline(always)]
    unsafe fn run<V: Lanes<Element = T>>(self) -> usize {
        let Descent { task, scratch, group, from } = self;
        // SAFETY: the caller enables V, the public function checked all lengths and indices, and `train` laid the records out.
        unsafe { descend::<V, I, B, G, REGULARISED>(task, scratch, group, from) }
    }
}

/// What a group carries from one step to the next.
#[derive(Clone, Copy)]
struct Pending<T, const I: usize, const G: usize> {
    /// Step size times derivative of the loss by the prediction.
    rates: [T; G],
    /// What weight decay leaves of a weight.
    keep: [T; G],
    /// The samples.
    inputs: [[T; I]; G],
}

/// [`train`] on G replicas whose records are in `scratch`.
///
/// # Safety
/// V is enabled, `scratch` has the records of G replicas, and the public function checked all lengths and indices.
#[inline(always)]
unsafe fn descend<V: Lanes, const I: usize, const B: bool, const G: usize, const REGULARISED: bool>(
    task: &Task<'_, V::Element>,
    scratch: &mut [V::Element],
    group: [&mut Replica<'_, V::Element>; G],
    from: usize,
) -> usize
where
    V::Element: Real,
{
    let (zero, one) = (V::Element::ZERO, V::Element::ONE);
    let (steps, scale) = (group[0].lr.len(), task.rule.scale.factor::<V::Element>());
    let biased = task.shape.bias == Bias::All;
    let (mut orders, mut bias) = ([group[0].order.as_ptr(); G], [zero; G]);
    for g in 0..G {
        orders[g] = group[g].order.as_ptr();
        bias[g] = if biased { group[g].params[group[g].params.len() - 1] } else { zero };
    }
    let mut pending = Pending { rates: [zero; G], keep: [one; G], inputs: [[zero; I]; G] };
    let mut stop = steps;
    // SAFETY: all pointers lie within a row of x, y, or the replica's order and step sizes, which are as long; the rest is the
    // caller's contract.
    unsafe {
        let limit = V::splat(floor(task.shape.activation));
        for t in from..=steps {
            // After the last step, one more pass applies its update; what it predicts does not matter.
            let position = t.min(steps - 1);
            let (mut rows, mut offsets) = ([[zero; I]; G], [zero; G]);
            for g in 0..G {
                let sample = *orders[g].wrapping_add(position) as usize;
                for i in 0..I {
                    rows[g][i] = *task.x.as_ptr().wrapping_add(sample * task.shape.stride + i);
                }
                if biased {
                    bias[g] = bias[g] * pending.keep[g] - pending.rates[g];
                }
                offsets[g] = bias[g] - *task.y.as_ptr().wrapping_add(sample);
            }
            let [sums, squares] = pass::<V, I, B, G, REGULARISED>(scratch, &pending, limit, rows);
            let (mut residuals, mut finite) = ([zero; G], true);
            for g in 0..G {
                residuals[g] = sums[g].sum() + offsets[g];
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
                stop = t;
                break;
            }
            for g in 0..G {
                let lr = *group[g].lr.place(t);
                let mut rate = lr * scale;
                if REGULARISED && task.rule.clip.is_some() {
                    let square = squares[g].sum() + if biased { one } else { zero };
                    rate = task.rule.coefficient((scale * residuals[g]).abs() * square.sqrt()) * rate;
                }
                pending.rates[g] = rate * residuals[g];
                pending.keep[g] = one - lr * task.rule.weight_decay;
            }
            pending.inputs = rows;
        }
    }
    if biased {
        for (replica, bias) in group.into_iter().zip(bias) {
            let last = replica.params.len() - 1;
            replica.params[last] = bias;
        }
    }
    stop
}

/// The pending update of every record; then the partial sums of the prediction for `rows` and, if REGULARISED, of the squared
/// norm of its gradient but for the output's bias.
///
/// # Safety
/// V is enabled, and `records` are those of G replicas.
#[inline(always)]
unsafe fn pass<V: Lanes, const I: usize, const B: bool, const G: usize, const REGULARISED: bool>(
    records: &mut [V::Element],
    pending: &Pending<V::Element, I, G>,
    limit: V,
    rows: [[V::Element; I]; G],
) -> [[V; G]; 2]
where
    V::Element: Real,
{
    // SAFETY: the caller's contract.
    unsafe {
        let (mut keep, mut rates, mut lengths) = ([V::zero(); G], [V::zero(); G], [V::zero(); G]);
        let (mut before, mut now) = ([[V::zero(); I]; G], [[V::zero(); I]; G]);
        for g in 0..G {
            (keep[g], rates[g]) = (V::splat(pending.keep[g]), V::splat(pending.rates[g]));
            let mut length = if B { V::Element::ONE } else { V::Element::ZERO };
            for i in 0..I {
                (before[g][i], now[g][i]) = (V::splat(pending.inputs[g][i]), V::splat(rows[g][i]));
                length += rows[g][i] * rows[g][i];
            }
            lengths[g] = V::splat(length);
        }
        let (mut sums, mut squares) = ([[V::zero(); SUMS]; G], [[V::zero(); SUMS]; G]);
        let mut at = records.as_mut_ptr();
        let end = at.wrapping_add(records.len());
        macro_rules! records {
            ($sum:expr) => {
                for g in 0..G {
                    let bias_at = at.wrapping_add(I * V::LANES);
                    let output_at = bias_at.wrapping_add(usize::from(B) * V::LANES);
                    let a_at = output_at.wrapping_add(V::LANES);
                    let (output, a) = (V::load(output_at), V::load(a_at));
                    let change = output.where_above(a, limit).mul(rates[g]);
                    let mut z = V::zero();
                    if B {
                        let b = V::load(bias_at);
                        z = if REGULARISED { b.mul(keep[g]) } else { b }.sub(change);
                        z.store(bias_at);
                    }
                    for i in 0..I {
                        let weight_at = at.wrapping_add(i * V::LANES);
                        let w = V::load(weight_at);
                        let w = change.mul_subtract_from(before[g][i], if REGULARISED { w.mul(keep[g]) } else { w });
                        w.store(weight_at);
                        z = if i == 0 && !B { w.mul(now[g][i]) } else { w.mul_add(now[g][i], z) };
                    }
                    let output = rates[g].mul_subtract_from(a, if REGULARISED { output.mul(keep[g]) } else { output });
                    output.store(output_at);
                    let a = limit.max(z);
                    a.store(a_at);
                    sums[g][$sum] = output.mul_add(a, sums[g][$sum]);
                    if REGULARISED {
                        let delta = output.where_above(a, limit);
                        squares[g][$sum] = a.mul_add(a, delta.mul(delta).mul_add(lengths[g], squares[g][$sum]));
                    }
                    at = a_at.wrapping_add(V::LANES);
                }
            };
        }
        let turn = (I + usize::from(B) + 2) * V::LANES * G;
        while at.wrapping_add(3 * turn) < end {
            records!(0);
            records!(1);
            records!(2);
            records!(3);
        }
        if at < end {
            records!(0);
        }
        if at < end {
            records!(1);
        }
        if at < end {
            records!(2);
        }
        let mut totals = [[V::zero(); G]; 2];
        for g in 0..G {
            for (total, [a, b, c, d]) in totals.iter_mut().zip([sums[g], squares[g]]) {
                total[g] = a.add(b).add(c.add(d));
            }
        }
        totals
    }
}
