// Rows of a matrix by their indices: kernels/src/gather. A row that the matrix does not have becomes all bits 1.
//
// One entry for each size of an element in bytes. Any grid of one dimension, blocks of at most 256 threads, no shared memory;
// `elements` of out, rows of `width`; x has `rows` of them, `stride` elements apart.
#include "dev.cuh"

#define GATHER(T, bytes)                                                                                                         \
    KERNEL(gather_##bytes, 256, const T* x, const u32* indices, T* out, u64 elements, u64 rows, u64 width, u64 stride) {         \
        FOR_ELEMENTS(i, elements) {                                                                                              \
            u64 row = indices[i / width];                                                                                        \
            out[i] = row < rows ? x[row * stride + i % width] : T(~T(0));                                                        \
        }                                                                                                                        \
    }
GATHER(u8, 1)
GATHER(u32, 4)
GATHER(u64, 8)
