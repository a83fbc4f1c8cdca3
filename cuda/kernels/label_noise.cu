// Gaussian noise in targets: kernels/src/label_noise.
//
// Any grid of one dimension, blocks of at most 256 threads, no shared memory; `count` targets, `width` of each item. `items`: null
// for 0, 1, ... `step`: one number, or null for 0.
#include "uniform.cuh"

#define LABEL_NOISE(T, suffix)                                                                                                   \
    KERNEL(label_noise_##suffix, 256, const u32* items, const u32* step, T* targets, u64 count, u64 width, u64 period,           \
           double deviation, u64 key, u32 upper0, u32 upper1) {                                                                  \
        Words words{key, upper0, upper1};                                                                                        \
        u64 first = step ? step[0] * period : 0;                                                                                 \
        FOR_ELEMENTS(i, count) {                                                                                                 \
            u64 row = i / width, item = items ? items[row] : row;                                                                \
            targets[i] += T(deviation * normal_of(words, first + item * width + i % width));                                     \
        }                                                                                                                        \
    }
FOR_REALS(LABEL_NOISE)
