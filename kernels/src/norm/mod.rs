//! The Euclidean norm `‖x‖ = √(Σ_i x_i²)` and the inner product `⟨a, b⟩ = Σ_i a_i b_i` that it comes from.
//!
//! Sums are in the number type itself: `‖x‖` of `f32` overflows beyond 1.8e19 and is 0 below 3.7e-23.

#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod scalar;
mod simd;

use crate::combine::combine;
use crate::context::host;
use crate::error::{exact, positive};
use crate::{Acc, Context, Isa, Real, Result, Variants, View, ViewMut};

/// The instruction sets with a variant of their own.
pub const VARIANTS: Variants = Variants { op: "norm", isas: &[Isa::Scalar, Isa::Avx2, Isa::Avx512] };

/// `‖x‖`.
///
/// # Errors
/// If x is empty or not on the context's device.
pub fn norm<T: Real>(cx: &Context, x: View<T>) -> Result<T> {
    const OP: &str = "norm";
    positive(OP, &[("the number of elements", x.len())])?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        let x = crate::device::on(device, OP, "x", x)?;
        return cuda::sum_of_products(device, x, x, cuda::Take::Root);
    }
    let x = host(OP, "x", x)?;
    Ok(sum_of_products(cx, x, x).sqrt())
}

/// `⟨a, b⟩`.
///
/// # Errors
/// If the lengths differ or are zero, or a view is not on the context's device.
pub fn inner_product<T: Real>(cx: &Context, a: View<T>, b: View<T>) -> Result<T> {
    const OP: &str = "inner_product";
    check(OP, a, b)?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        let (a, b) = (crate::device::on(device, OP, "a", a)?, crate::device::on(device, OP, "b", b)?);
        return cuda::sum_of_products(device, a, b, cuda::Take::Sum);
    }
    let (a, b) = (host(OP, "a", a)?, host(OP, "b", b)?);
    Ok(sum_of_products(cx, a, b))
}

/// `⟨a, b⟩`, set or accumulated in the one element of `out`, for which nobody waits on a device.
///
/// # Errors
/// As [`inner_product`], and if `out` has another number of elements than one.
pub fn inner_product_to<T: Real>(cx: &Context, a: View<T>, b: View<T>, out: ViewMut<T>, acc: Acc) -> Result<()> {
    const OP: &str = "inner_product_to";
    check(OP, a, b)?;
    exact(OP, "out", out.len(), 1, "one number")?;
    #[cfg(feature = "cuda")]
    if let Some(device) = cx.cuda() {
        let (a, b) = (crate::device::on(device, OP, "a", a)?, crate::device::on(device, OP, "b", b)?);
        return cuda::put(device, a, b, cuda::Take::Sum, crate::device::on_mut(device, OP, "out", out)?, acc);
    }
    let product = sum_of_products(cx, host(OP, "a", a)?, host(OP, "b", b)?);
    combine(cx, [(T::ONE, (&[product]).into())], out, acc)
}

fn check<T: Real>(op: &'static str, a: View<T>, b: View<T>) -> Result<()> {
    positive(op, &[("the number of elements", a.len())])?;
    exact(op, "b", b.len(), a.len(), "as many as a")
}

/// `Σ_i a_i b_i` of slices of the same length.
pub(crate) fn sum_of_products<T: Real>(cx: &Context, a: &[T], b: &[T]) -> T {
    match VARIANTS.runs_under(cx.isa()) {
        Isa::Scalar => scalar::inner_product(a, b),
        isa => simd::inner_product(isa, a, b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Cases, assert_close, contexts, on, on_mut, variant};

    #[test]
    fn values_by_hand() {
        for cx in contexts() {
            assert_eq!(norm(&cx, on(&cx, &[3.0, -4.0]).view()).unwrap(), 5.0);
            assert_eq!(inner_product(&cx, on(&cx, &[3.0, -4.0, 2.0]).view(), on(&cx, &[1.0f32, 0.5, 8.0]).view()).unwrap(), 17.0);
            assert!(norm(&cx, on(&cx, &[1.0, f64::NAN]).view()).unwrap().is_nan());
            let (a, b, mut out) = (on(&cx, &[3.0, -4.0, 2.0]), on(&cx, &[1.0f64, 0.5, 8.0]), [f64::NAN]);
            inner_product_to(&cx, a.view(), b.view(), on_mut(&cx, &mut out).view_mut(), Acc::Set).unwrap();
            inner_product_to(&cx, a.view(), a.view(), on_mut(&cx, &mut out).view_mut(), Acc::Add).unwrap();
            assert_eq!(out, [17.0 + 29.0]);
        }
    }

    fn against_the_oracle<T: Real>(tolerance: f64) {
        for len in [1, 2, 3, 7, 8, 9, 16, 31, 33, 63, 65, 127, 129, 1000, 4096, 4097, 9001] {
            let mut cases = Cases::new(len as u64);
            let (a, b): (Vec<T>, Vec<T>) = (cases.reals(len), cases.reals(len));
            let wide = |values: &[T]| values.iter().map(|value| value.to_f64()).collect::<Vec<f64>>();
            let want = [scalar::inner_product(&wide(&a), &wide(&a)).sqrt(), scalar::inner_product(&wide(&a), &wide(&b))];
            for cx in contexts() {
                let got =
                    [norm(&cx, on(&cx, &a).view()).unwrap(), inner_product(&cx, on(&cx, &a).view(), on(&cx, &b).view()).unwrap()];
                assert_close(&format!("{} {} {len}", variant(&cx), T::DTYPE.name()), &got, &want, tolerance * len as f64);
            }
        }
    }

    #[test]
    fn every_variant_matches_the_oracle() {
        against_the_oracle::<f32>(1e-7);
        against_the_oracle::<f64>(2e-16);
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let cx = Context::cpu().unwrap();
        let error = norm::<f32>(&cx, (&[]).into()).unwrap_err().to_string();
        assert!(error.contains("the number of elements is 0, expected at least 1"), "{error}");
        let error = inner_product(&cx, (&[1.0f32; 2]).into(), (&[1.0f32; 3]).into()).unwrap_err().to_string();
        assert!(error.contains("`b` has 3 elements, expected 2"), "{error}");
        let two = View::from(&[1.0f32; 2]);
        let error = inner_product_to(&cx, two, two, (&mut [0.0; 2]).into(), Acc::Set).unwrap_err().to_string();
        assert!(error.contains("`out` has 2 elements, expected 1 (one number)"), "{error}");
    }
}
