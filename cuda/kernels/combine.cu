// Linear combinations of vectors: kernels/src/combine. Of combine's terms, out = c0 x0 + c1 x1 + ..., `terms` (1 to 4) are there;
// the pointers of the others are null.
//
// Any grid of one dimension, blocks of at most 256 threads, no shared memory. `add`: 1 accumulates, 0 sets and does not read.
#include "dev.cuh"

#define COMBINE(T, suffix)                                                                                                       \
    KERNEL(combine_##suffix, 256, const T* x0, const T* x1, const T* x2, const T* x3, T* out, u64 n, u32 terms,       \
           u32 add, T c0, T c1, T c2, T c3) {                                                                                    \
        FOR_ELEMENTS(i, n) {                                                                                                     \
            T sum = c0 * x0[i];                                                                                                  \
            if (terms > 1) sum += c1 * x1[i];                                                                                    \
            if (terms > 2) sum += c2 * x2[i];                                                                                    \
            if (terms > 3) sum += c3 * x3[i];                                                                                    \
            put(out + i, sum, add);                                                                                              \
        }                                                                                                                        \
    }
FOR_REALS(COMBINE)

// `c`: one number.
#define SCALE_BY(T, suffix)                                                                                                      \
    KERNEL(scale_by_##suffix, 256, const T* c, const T* x, T* out, u64 n, u32 add) {                                             \
        T factor = c[0];                                                                                                         \
        FOR_ELEMENTS(i, n) put(out + i, factor * x[i], add);                                                                     \
    }
FOR_REALS(SCALE_BY)

#define SCALE_ADD(T, suffix)                                                                                                     \
    KERNEL(scale_add_##suffix, 256, const T* x, T* out, u64 n, T factor, T c) {                                                  \
        FOR_ELEMENTS(i, n) out[i] = fused(c, x[i], factor * out[i]);                                                             \
    }
FOR_REALS(SCALE_ADD)
