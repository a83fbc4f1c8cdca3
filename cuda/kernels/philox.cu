// Integers below n from Philox4x32-10, bit for bit those of the CPU: kernels/src/philox.
//
// Any grid of one dimension, blocks of at most 256 threads, no shared memory; writes out[0 .. count), the draws at the positions
// from `start` on.
#include "uniform.cuh"

KERNEL(philox_below, 256, u32* out, u64 count, u64 start, u32 n, u64 key, u32 upper0, u32 upper1) {
    Words words{key, upper0, upper1};
    FOR_ELEMENTS(i, count) out[i] = scaled(word_of(words, start + i), n);
}
