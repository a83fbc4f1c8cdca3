//! Slices walked vector by vector.

use super::Lanes;

/// Runs a block for every vector of a slice of `$len` elements, with its start and its number of lanes; only the last vector
/// may have fewer than V. A macro and not a closure: a closure would be compiled without V's instruction set.
macro_rules! for_lanes {
    ($V:ident, $len:expr, |$at:ident, $lanes:ident| $body:expr) => {{
        let len = $len;
        let whole = len - len % $V::LANES;
        for $at in (0..whole).step_by($V::LANES) {
            let $lanes = $V::LANES;
            $body;
        }
        if whole < len {
            let ($at, $lanes) = (whole, len - whole);
            $body;
        }
    }};
}
pub(crate) use for_lanes;

/// # Safety
/// V is enabled; `at + lanes` is within the slice, as [`for_lanes`] gives them.
#[inline(always)]
pub(crate) unsafe fn load<V: Lanes>(from: &[V::Element], at: usize, lanes: usize) -> V {
    debug_assert!(at + lanes <= from.len());
    // SAFETY: the caller's contract.
    unsafe { load_from(from.as_ptr().wrapping_add(at), lanes) }
}

/// # Safety
/// As [`load`].
#[inline(always)]
pub(crate) unsafe fn store<V: Lanes>(value: V, to: &mut [V::Element], at: usize, lanes: usize) {
    debug_assert!(at + lanes <= to.len());
    // SAFETY: the caller's contract.
    unsafe { store_to(value, to.as_mut_ptr().wrapping_add(at), lanes) }
}

/// The first `lanes` at a pointer, all of a vector without a mask: masked stores are slow on some processors.
///
/// # Safety
/// V is enabled; these elements are readable.
#[inline(always)]
pub(crate) unsafe fn load_from<V: Lanes>(from: *const V::Element, lanes: usize) -> V {
    // SAFETY: the caller's contract.
    unsafe { if lanes == V::LANES { V::load(from) } else { V::load_first(from, lanes) } }
}

/// As [`load_from`].
///
/// # Safety
/// V is enabled; these elements are writable.
#[inline(always)]
pub(crate) unsafe fn store_to<V: Lanes>(value: V, to: *mut V::Element, lanes: usize) {
    // SAFETY: the caller's contract.
    unsafe { if lanes == V::LANES { value.store(to) } else { value.store_first(to, lanes) } }
}
