//! Tanh, swish and their derivatives from one vector exponential: e^x = 2^n e^r with |r| <= ln 2 / 2, n a whole number.

use std::f64::consts::{LN_2, LOG2_E};

use super::{Activation, Point};
use crate::simd::{Kernel, Lanes, for_lanes, load, run, store};
use crate::{Dtype, Isa, Real};

pub(crate) fn activation_forward<T: Real>(isa: Isa, kind: Activation, x: &[T], y: &mut [T]) {
    struct Forward<'a, T>(Activation, &'a [T], &'a mut [T]);
    impl<T: Real> Kernel<T> for Forward<'_, T> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes<Element = T>>(self) {
            let Forward(kind, x, y) = self;
            macro_rules! each {
                (|$x:ident| $value:expr) => {
                    for_lanes!(V, x.len(), |at, lanes| {
                        let $x = load::<V>(x, at, lanes);
                        store::<V>($value, y, at, lanes);
                    })
                };
            }
            // SAFETY: the caller enables V; the operator checked that all slices have one length.
            unsafe {
                match kind {
                    Activation::Identity => y.copy_from_slice(x),
                    Activation::Relu => each!(|x| value(Activation::Relu, x)),
                    Activation::Tanh => each!(|x| value(Activation::Tanh, x)),
                    Activation::Swish => each!(|x| value(Activation::Swish, x)),
                }
            }
        }
    }
    run(isa, Forward(kind, x, y));
}

pub(crate) fn activation_backward<T: Real>(isa: Isa, kind: Activation, x: &[T], dy: &[T], dx: &mut [T]) {
    struct Backward<'a, T>(Activation, &'a [T], &'a [T], &'a mut [T]);
    impl<T: Real> Kernel<T> for Backward<'_, T> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes<Element = T>>(self) {
            let Backward(kind, x, dy, dx) = self;
            macro_rules! each {
                (|$x:ident, $dy:ident| $value:expr) => {
                    for_lanes!(V, x.len(), |at, lanes| {
                        let ($x, $dy) = (load::<V>(x, at, lanes), load::<V>(dy, at, lanes));
                        store::<V>($value, dx, at, lanes);
                    })
                };
            }
            // SAFETY: as for activation_forward.
            unsafe {
                match kind {
                    Activation::Identity => dx.copy_from_slice(dy),
                    Activation::Relu => each!(|x, dy| derivative_times(Activation::Relu, x, dy)),
                    Activation::Tanh => each!(|x, dy| derivative_times(Activation::Tanh, x, dy)),
                    Activation::Swish => each!(|x, dy| derivative_times(Activation::Swish, x, dy)),
                }
            }
        }
    }
    run(isa, Backward(kind, x, dy, dx));
}

pub(super) fn activation_backward_tangent<T: Real>(isa: Isa, kind: Activation, point: Point<'_, T>, dx_tangent: &mut [T]) {
    struct Tangent<'a, T>(Activation, Point<'a, T>, &'a mut [T]);
    impl<T: Real> Kernel<T> for Tangent<'_, T> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes<Element = T>>(self) {
            let Tangent(kind, point, dx_tangent) = self;
            macro_rules! each {
                (|$x:ident, $bend:ident, $dy_tangent:ident| $value:expr) => {
                    for_lanes!(V, point.x.len(), |at, lanes| {
                        let ($x, $dy_tangent) = (load::<V>(point.x, at, lanes), load::<V>(point.dy_tangent, at, lanes));
                        let $bend = load::<V>(point.x_tangent, at, lanes).mul(load::<V>(point.dy, at, lanes));
                        store::<V>($value, dx_tangent, at, lanes);
                    })
                };
            }
            // SAFETY: as for activation_forward.
            unsafe {
                match kind {
                    Activation::Identity => dx_tangent.copy_from_slice(point.dy_tangent),
                    Activation::Relu => each!(|x, _bend, dy_tangent| where_on(x, dy_tangent)),
                    Activation::Tanh => each!(|x, bend, dy_tangent| {
                        let [head, tail] = sech_squared(x);
                        let slope = constant::<V>(-2.0).mul(tanh(x));
                        head.mul(slope.mul_add(bend, dy_tangent)).mul(tail)
                    }),
                    Activation::Swish => each!(|x, bend, dy_tangent| {
                        let sigmoid = Sigmoid::at(x);
                        let sum = sigmoid.second().mul_add(bend, sigmoid.first().mul(dy_tangent));
                        sigmoid.head.mul(sum).mul(sigmoid.tail)
                    }),
                }
            }
        }
    }
    run(isa, Tangent(kind, point, dx_tangent));
}

/// φ(x).
///
/// # Safety
/// V is enabled, as for every function below.
#[inline(always)]
pub(crate) unsafe fn value<V: Lanes>(kind: Activation, x: V) -> V
where
    V::Element: Real,
{
    // SAFETY: the caller's contract.
    unsafe {
        match kind {
            Activation::Identity => x,
            Activation::Relu => where_on(x, x),
            Activation::Tanh => tanh(x),
            Activation::Swish => swish(x),
        }
    }
}

/// φ'(x) dy.
#[inline(always)]
pub(crate) unsafe fn derivative_times<V: Lanes>(kind: Activation, x: V, dy: V) -> V
where
    V::Element: Real,
{
    // SAFETY: the caller's contract.
    unsafe {
        match kind {
            Activation::Identity => dy,
            Activation::Relu => where_on(x, dy),
            Activation::Tanh => {
                let [head, tail] = sech_squared(x);
                head.mul(dy).mul(tail)
            }
            Activation::Swish => {
                let sigmoid = Sigmoid::at(x);
                sigmoid.head.mul(sigmoid.first()).mul(dy).mul(sigmoid.tail)
            }
        }
    }
}

/// `value` where ReLU is on, 0 where it is off, NaN where x is.
#[inline(always)]
unsafe fn where_on<V: Lanes>(x: V, value: V) -> V {
    // SAFETY: the caller's contract. The maximum is x where x is NaN; adding 0 turns -0 into 0.
    unsafe { x.where_positive(value, V::zero().max(x).add(V::zero())) }
}

#[inline(always)]
unsafe fn tanh<V: Lanes>(x: V) -> V
where
    V::Element: Real,
{
    // SAFETY: the caller's contract.
    unsafe {
        // At 22 the result rounds to 1 in both number types.
        let twice = minus_magnitude(x, -22.0).add(minus_magnitude(x, -22.0));
        let (exponent, rest) = reduced(twice);
        let power = exponent.power_of_two();
        let less_one = power.mul_add(rest, power.sub(constant(1.0)));
        less_one.div(less_one.add(constant(2.0))).with_sign_of(x)
    }
}

/// tanh' = 4t/(1 + t)² with t = e^(-2|x|), as a product of two factors.
#[inline(always)]
unsafe fn sech_squared<V: Lanes>(x: V) -> [V; 2]
where
    V::Element: Real,
{
    // SAFETY: the caller's contract.
    unsafe {
        let limit = floor::<V::Element>() / 2.0;
        let [head, tail] = exponential(minus_magnitude(x, limit).mul(constant(2.0)));
        let sum = head.mul_add(tail, constant(1.0));
        [head.mul(constant(4.0)).div(sum.mul(sum)), tail]
    }
}

#[inline(always)]
unsafe fn swish<V: Lanes>(x: V) -> V
where
    V::Element: Real,
{
    // SAFETY: the caller's contract.
    unsafe {
        let sigmoid = Sigmoid::at(x);
        // Below the floor the result is 0, also that of -∞.
        constant::<V>(floor::<V::Element>()).max(x).mul(sigmoid.head).mul(sigmoid.tail)
    }
}

/// σ(x) = head · tail, both without underflow, and 1 - σ(x).
struct Sigmoid<V> {
    /// x, no further from 0 than the floor.
    x: V,
    head: V,
    tail: V,
    complement: V,
}

impl<V: Lanes> Sigmoid<V>
where
    V::Element: Real,
{
    #[inline(always)]
    unsafe fn at(x: V) -> Self {
        // SAFETY: the caller's contract.
        unsafe {
            let bounded = minus_magnitude(x, floor::<V::Element>());
            let [head, tail] = exponential(bounded);
            let one = constant::<V>(1.0);
            let t = head.mul(tail);
            let sum = t.add(one);
            Sigmoid {
                x: bounded.with_sign_of(x),
                head: x.where_positive(one, head).div(sum),
                tail: x.where_positive(one, tail),
                complement: x.where_positive(t, one).div(sum),
            }
        }
    }

    /// swish' / σ.
    #[inline(always)]
    unsafe fn first(&self) -> V {
        // SAFETY: the caller's contract.
        unsafe { self.x.mul_add(self.complement, constant(1.0)) }
    }

    /// swish'' / σ.
    #[inline(always)]
    unsafe fn second(&self) -> V {
        // SAFETY: the caller's contract.
        unsafe {
            let slope = self.head.mul_subtract_from(self.tail, self.complement);
            self.complement.mul(self.x.mul_add(slope, constant(2.0)))
        }
    }
}

/// -|x|, at least `limit`; NaN where x is.
#[inline(always)]
unsafe fn minus_magnitude<V: Lanes>(x: V, limit: f64) -> V
where
    V::Element: Real,
{
    // SAFETY: the caller's contract. The maximum is its second argument where that is NaN.
    unsafe { constant::<V>(limit).max(x.with_sign_of(constant(-1.0))) }
}

/// e^x for x from the floor to its negative, as a product of two normal numbers: the first may be scaled before it underflows.
#[inline(always)]
unsafe fn exponential<V: Lanes>(x: V) -> [V; 2]
where
    V::Element: Real,
{
    // SAFETY: the caller's contract; half of n is within the exponents of normal numbers.
    unsafe {
        let (exponent, rest) = reduced(x);
        let half = nearest(exponent.mul(constant(0.5)));
        [rest.add(constant(1.0)).mul(half.power_of_two()), exponent.sub(half).power_of_two()]
    }
}

/// n and e^r - 1 of e^x = 2^n e^r.
#[inline(always)]
unsafe fn reduced<V: Lanes>(x: V) -> (V, V)
where
    V::Element: Real,
{
    // ln 2 as a number of the type plus what is missing; of f64, LN_2's own error.
    let (high, low, terms) = match V::Element::DTYPE {
        Dtype::F32 => (f64::from(LN_2 as f32), LN_2 - f64::from(LN_2 as f32), 8),
        Dtype::F64 => (LN_2, 2.319_046_813_846_299_6e-17, 13),
    };
    // SAFETY: the caller's contract.
    unsafe {
        let exponent = nearest(x.mul(constant(LOG2_E)));
        let r = exponent.mul_subtract_from(constant(low), exponent.mul_subtract_from(constant(high), x));
        // Taylor's series: the first term left out is below a tenth of the last digit.
        let mut series = constant::<V>(INVERSE_FACTORIAL[terms]);
        for k in (2..terms).rev() {
            series = series.mul_add(r, constant(INVERSE_FACTORIAL[k]));
        }
        (exponent, r.mul(r).mul_add(series, r))
    }
}

/// 1/k!.
const INVERSE_FACTORIAL: [f64; 14] = {
    let mut values = [1.0; 14];
    let (mut k, mut factorial) = (1, 1.0);
    while k < 14 {
        factorial *= k as f64;
        values[k] = 1.0 / factorial;
        k += 1;
    }
    values
};

/// The nearest whole number: past 1.5 · 2^(digits), no fraction is left.
#[inline(always)]
unsafe fn nearest<V: Lanes>(x: V) -> V
where
    V::Element: Real,
{
    let shift = match V::Element::DTYPE {
        Dtype::F32 => 1.5 * (1u64 << 23) as f64,
        Dtype::F64 => 1.5 * (1u64 << 52) as f64,
    };
    // SAFETY: the caller's contract.
    unsafe { x.add(constant(shift)).sub(constant(shift)) }
}

/// Where x e^x has long been 0, while half of the exponent of e^x is still that of a normal number.
#[inline(always)]
fn floor<T: Real>() -> f64 {
    match T::DTYPE {
        Dtype::F32 => -150.0,
        Dtype::F64 => -1000.0,
    }
}

#[inline(always)]
unsafe fn constant<V: Lanes>(value: f64) -> V
where
    V::Element: Real,
{
    // SAFETY: the caller's contract.
    unsafe { V::splat(V::Element::from_f64(value)) }
}
