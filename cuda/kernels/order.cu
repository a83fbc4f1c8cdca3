// The orders of samples of many replicas, bit for bit those of the CPU: kernels/src/order.
//
// Any grid of one dimension, blocks of at most 256 threads, no shared memory; writes out[0 .. elements), `count` indices of each
// replica, those at the positions from `start` on. `sources`: of each replica the generator's key and upper words of the counter,
// two each, then the first sample. `rows`, `columns`: the sides of permutations of 0 .. n; rows = 0 draws with replacement.
#include "permutation.cuh"

constexpr u32 SOURCE = 5;

KERNEL(order_draw, 256, u32* out, const u32* sources, u64 elements, u64 count, u64 start, u32 n, u32 rows, u32 columns) {
    FOR_ELEMENTS(i, elements) {
        u64 position = start + i % count;
        const u32* source = sources + i / count * SOURCE;
        Words words{u64(source[1]) << 32 | source[0], source[2], source[3]};
        u32 index;
        if (rows == 0) {
            index = scaled(word_of(words, position), n);
        } else {
            u64 first = position / n * (ROUNDS / 4);
            u32 keys[ROUNDS];
            UNROLL
            for (u32 k = 0; k < ROUNDS / 4; k++) {
                Block block = block_of(words, first + k);
                UNROLL
                for (u32 word = 0; word < 4; word++) keys[4 * k + word] = block.at[word];
            }
            index = permuted(u32(position % n), n, rows, columns, keys);
        }
        out[i] = source[4] + index;
    }
}
