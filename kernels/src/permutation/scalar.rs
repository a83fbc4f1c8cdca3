use super::{Permutation, add_modulo, mix};

pub(super) fn permutation_fill(permutation: &Permutation, first: u32, out: &mut [u32]) {
    let mut place = first % permutation.n;
    for item in out {
        *item = at(permutation, place);
        place = if place + 1 == permutation.n { 0 } else { place + 1 };
    }
}

/// The item in a place below n.
pub(super) fn at(permutation: &Permutation, place: u32) -> u32 {
    below(permutation, once(permutation, place))
}

/// The item below n that a number leads to, after as many more passes as that takes.
pub(super) fn below(permutation: &Permutation, mut number: u32) -> u32 {
    while number >= permutation.n {
        number = once(permutation, number);
    }
    number
}

/// One pass of the network.
fn once(permutation: &Permutation, number: u32) -> u32 {
    let Permutation { rows, columns, ref keys, .. } = *permutation;
    let (mut row, mut column) = (number % rows, number / rows);
    for keys in keys.chunks_exact(2) {
        row = add_modulo(row, mix(column, keys[0]), rows);
        column = add_modulo(column, mix(row, keys[1]), columns);
    }
    row + rows * column
}
