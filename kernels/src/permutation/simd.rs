//! Places side by side, written as loops over lanes that the compiler turns into vectors of the enabled instruction set: for one
//! place the network is a long chain of dependent operations.

use super::{Permutation, add_modulo, mix, scalar};
use crate::Isa;

/// Places side by side: four vectors of 512 bits.
const LANES: usize = 64;

pub(super) fn permutation_fill(isa: Isa, permutation: &Permutation, first: u32, out: &mut [u32]) {
    #[target_feature(enable = "avx2")]
    fn avx2(permutation: &Permutation, first: u32, out: &mut [u32]) {
        fill(permutation, first, out);
    }
    #[target_feature(enable = "avx512f,avx2")]
    fn avx512(permutation: &Permutation, first: u32, out: &mut [u32]) {
        fill(permutation, first, out);
    }
    match isa {
        Isa::Scalar => unreachable!("operators run their scalar variant themselves"),
        // SAFETY: Context::cpu_with checked that the processor has it.
        Isa::Avx2 => unsafe { avx2(permutation, first, out) },
        // SAFETY: as above.
        Isa::Avx512 => unsafe { avx512(permutation, first, out) },
    }
}

#[inline(always)]
fn fill(permutation: &Permutation, first: u32, out: &mut [u32]) {
    let Permutation { n, rows, .. } = *permutation;
    let mut place = first % n;
    let (mut row, mut column) = (place % rows, place / rows);
    for items in out.chunks_mut(LANES) {
        let (mut lane_rows, mut lane_columns) = ([0; LANES], [0; LANES]);
        for (lane_row, lane_column) in lane_rows.iter_mut().zip(&mut lane_columns).take(items.len()) {
            (*lane_row, *lane_column) = (row, column);
            (place, row) = (place + 1, row + 1);
            if place == n {
                (place, row, column) = (0, 0, 0);
            } else if row == rows {
                (row, column) = (0, column + 1);
            }
        }
        let numbers = once(permutation, lane_rows, lane_columns);
        items.iter_mut().zip(numbers).for_each(|(item, number)| *item = scalar::below(permutation, number));
    }
}

/// One pass of pairs (rows, columns).
#[inline(always)]
fn once(permutation: &Permutation, mut row: [u32; LANES], mut column: [u32; LANES]) -> [u32; LANES] {
    let Permutation { rows, columns, ref keys, .. } = *permutation;
    for keys in keys.chunks_exact(2) {
        for lane in 0..LANES {
            row[lane] = add_modulo(row[lane], mix(column[lane], keys[0]), rows);
        }
        for lane in 0..LANES {
            column[lane] = add_modulo(column[lane], mix(row[lane], keys[1]), columns);
        }
    }
    let mut numbers = [0; LANES];
    for lane in 0..LANES {
        numbers[lane] = row[lane] + rows * column[lane];
    }
    numbers
}
