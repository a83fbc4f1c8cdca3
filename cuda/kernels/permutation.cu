// Places of a random permutation of 0 .. n, bit for bit those of the CPU: kernels/src/permutation.
//
// Any grid of one dimension, blocks of at most 256 threads, no shared memory; writes out[0 .. count), the items in the places
// from `first` on, which count modulo n. `keys`: one for each of the rounds.
#include "permutation.cuh"

KERNEL(permutation_fill, 256, u32* out, const u32* keys, u64 count, u32 n, u32 rows, u32 columns, u32 first) {
    FOR_ELEMENTS(i, count) out[i] = permuted(u32((first % n + i) % n), n, rows, columns, keys);
}
