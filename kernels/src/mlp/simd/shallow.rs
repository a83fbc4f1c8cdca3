//! One hidden layer on I inputs. A vector of hidden units is one record: I weights, a bias if B, the weight of the output and
//! the activation. One pass over the records applies the pending update and predicts the next sample.

use super::floor;
use crate::mlp::{Bias, Replica, Task, coefficient};
use crate::simd::Lanes;
use crate::{Context, Real};

/// Independent sums of a prediction; record k goes to sum k mod 4.
const SUMS: usize = 4;

/// Where parameter `field` of hidden unit `unit` is in scratch memory: the weights, the bias if there is one, the output's weight.
fn place(fields: usize, lanes: usize, field: usize, unit: usize) -> usize {
    (unit / lanes * (fields + 1) + field) * lanes + unit % lanes
}

/// Where parameter `field` of hidden unit `unit` is among `hidden` units' parameters.
fn source(inputs: usize, hidden: usize, field: usize, unit: usize) -> usize {
    if field < inputs { unit * inputs + field } else { field * hidden + unit }
}

/// As [`super::Group`], for a network of I inputs whose hidden layer has a bias if B.
///
/// # Safety
/// V is enabled, and the public function checked all lengths and indices.
#[inline(always)]
pub(super) unsafe fn train<V: Lanes, const I: usize, const B: bool, const REGULARISED: bool>(
    cx: &Context,
    task: &Task<'_, V::Element>,
    group: &mut [&mut Replica<'_, V::Element>],
    from: usize,
) -> usize
where
    V::Element: Real,
{
    let (hidden, fields) = (task.shape.widths[1], I + usize::from(B) + 1);
    let size = hidden.div_ceil(V::LANES) * V::LANES * (fields + 1);
    let mut scratch = cx.scratch(group.len() * size);
    scratch.fill(V::Element::ZERO);
    for (replica, scratch) in group.iter().zip(scratch.chunks_exact_mut(size)) {
        for field in 0..fields {
            for unit in 0..hidden {
                scratch[place(fields, V::LANES, field, unit)] = replica.params[source(I, hidden, field, unit)];
            }
        }
    }
    // SAFETY: the caller's contract; the scratch memory has the records of every replica.
    let stop = unsafe {
        match group {
            [a] => descend::<V, I, B, 1, REGULARISED>(task, size, &mut scratch, [a], from),
            [a, b] => descend::<V, I, B, 2, REGULARISED>(task, size, &mut scratch, [a, b], from),
            [a, b, c, d] => descend::<V, I, B, 4, REGULARISED>(task, size, &mut scratch, [a, b, c, d], from),
            _ => unreachable!("groups have one, two or four replicas"),
        }
    };
    for (replica, scratch) in group.iter_mut().zip(scratch.chunks_exact(size)) {
        for field in 0..fields {
            for unit in 0..hidden {
                replica.params[source(I, hidden, field, unit)] = scratch[place(fields, V::LANES, field, unit)];
            }
        }
    }
    stop
}

/// [`train`] on G replicas whose records are in `scratch`, `size` elements each.
///
/// # Safety
/// V is enabled, `size` belongs to the hidden width, and the public function checked all lengths and indices.
#[inline(always)]
unsafe fn descend<V: Lanes, const I: usize, const B: bool, const G: usize, const REGULARISED: bool>(
    task: &Task<'_, V::Element>,
    size: usize,
    scratch: &mut [V::Element],
    group: [&mut Replica<'_, V::Element>; G],
    from: usize,
) -> usize
where
    V::Element: Real,
{
    let (steps, scale) = (task.lr.len(), task.loss.scale.factor::<V::Element>());
    let biased = task.shape.bias == Bias::All;
    // SAFETY: all pointers lie within the records of a replica, a row of x, y, or the replica's order, as long as `lr`.
    unsafe {
        let mut base = [scratch.as_mut_ptr(); G];
        let mut orders = [group[0].order.as_ptr(); G];
        let mut bias = [V::Element::ZERO; G];
        for g in 0..G {
            base[g] = base[g].wrapping_add(g * size);
            orders[g] = group[g].order.as_ptr();
            if biased {
                bias[g] = group[g].params[group[g].params.len() - 1];
            }
        }
        let (mut rates, mut inputs) = ([V::Element::ZERO; G], [[V::Element::ZERO; I]; G]);
        let mut keep = V::Element::ONE;
        let limit = V::splat(floor(task.shape.activation));
        let mut stop = steps;
        for t in from..=steps {
            // After the last step, one more pass applies its update; what it predicts does not matter.
            let position = t.min(steps - 1);
            let (mut residuals, mut squares) = ([V::Element::ZERO; G], [V::Element::ZERO; G]);
            let mut finite = true;
            for g in 0..G {
                let sample = *orders[g].wrapping_add(position) as usize;
                let mut row = [V::Element::ZERO; I];
                for i in 0..I {
                    row[i] = *task.x.as_ptr().wrapping_add(sample * task.shape.stride + i);
                }
                let sums = pass::<V, I, B, REGULARISED>([base[g], base[g].wrapping_add(size)], rates[g], keep, limit, inputs[g], row);
                if biased {
                    bias[g] = bias[g] * keep - rates[g];
                }
                residuals[g] = sums[0].sum() + bias[g] - *task.y.as_ptr().wrapping_add(sample);
                finite &= residuals[g].is_finite();
                if REGULARISED {
                    squares[g] = sums[1].sum() + if biased { V::Element::ONE } else { V::Element::ZERO };
                }
                inputs[g] = row;
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
            let lr = *task.lr.as_ptr().wrapping_add(t);
            for g in 0..G {
                let dy = scale * residuals[g];
                rates[g] = lr * dy;
                if REGULARISED {
                    rates[g] = coefficient(task.loss.clip, dy.abs() * squares[g].sqrt()) * rates[g];
                }
            }
            keep = V::Element::ONE - lr * task.loss.weight_decay;
        }
        if biased {
            for (replica, bias) in group.into_iter().zip(bias) {
                let last = replica.params.len() - 1;
                replica.params[last] = bias;
            }
        }
        stop
    }
}

/// The pending update of every record with the step before's `rate`, `keep` and inputs `x`; then the partial sums of the
/// prediction for `next` and, if REGULARISED, of the squared norm of its gradient but for the output's bias.
///
/// # Safety
/// V is enabled, and the records lie between the two pointers.
#[inline(always)]
unsafe fn pass<V: Lanes, const I: usize, const B: bool, const REGULARISED: bool>(
    [mut at, end]: [*mut V::Element; 2],
    rate: V::Element,
    keep: V::Element,
    limit: V,
    x: [V::Element; I],
    next: [V::Element; I],
) -> [V; 2]
where
    V::Element: Real,
{
    // SAFETY: the caller's contract.
    unsafe {
        let (rate, keep) = (V::splat(rate), V::splat(keep));
        let (mut before, mut now, mut length) = ([V::zero(); I], [V::zero(); I], V::Element::ZERO);
        for i in 0..I {
            (before[i], now[i]) = (V::splat(x[i]), V::splat(next[i]));
            length += next[i] * next[i];
        }
        if B {
            length += V::Element::ONE;
        }
        let length = V::splat(length);
        let (mut sums, mut squares) = ([V::zero(); SUMS], [V::zero(); SUMS]);
        macro_rules! record {
            ($sum:expr) => {
                let (output_at, a_at) = (I + B as usize, I + B as usize + 1);
                let field = |index: usize| at.wrapping_add(index * V::LANES);
                let kept = |field: *mut V::Element| field;
                let _ = kept;
                let (output, a) = (V::load(field(output_at)), V::load(field(a_at)));
                let change = output.where_above(a, limit).mul(rate);
                let mut z = V::zero();
                if B {
                    let b = V::load(field(I));
                    z = if REGULARISED { b.mul(keep).sub(change) } else { b.sub(change) };
                    z.store(field(I));
                }
                for i in 0..I {
                    let w = V::load(field(i));
                    let w = change.mul_subtract_from(before[i], if REGULARISED { w.mul(keep) } else { w });
                    w.store(field(i));
                    z = if i == 0 && !B { w.mul(now[i]) } else { w.mul_add(now[i], z) };
                }
                let output = rate.mul_subtract_from(a, if REGULARISED { output.mul(keep) } else { output });
                output.store(field(output_at));
                let a = limit.max(z);
                a.store(field(a_at));
                sums[$sum] = output.mul_add(a, sums[$sum]);
                if REGULARISED {
                    let delta = output.where_above(a, limit);
                    squares[$sum] = a.mul_add(a, delta.mul(delta).mul_add(length, squares[$sum]));
                }
                at = field(I + B as usize + 2);
            };
        }
        let record = (I + B as usize + 2) * V::LANES;
        while at.wrapping_add(3 * record) < end {
            for sum in 0..SUMS {
                record!(sum);
            }
        }
        for sum in 0..SUMS - 1 {
            if at < end {
                record!(sum);
            }
        }
        let total = |[a, b, c, d]: [V; SUMS]| a.add(b).add(c.add(d));
        [total(sums), total(squares)]
    }
}
