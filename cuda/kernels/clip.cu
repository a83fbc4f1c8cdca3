// A gradient shortened to a largest norm: kernels/src/clip. norm.cu computes norm[0] before.
//
// Any grid of one dimension, blocks of at most 256 threads, no shared memory.
#include "dev.cuh"

#define BY_NORM(T, suffix)                                                                                                       \
    KERNEL(clip_by_norm_##suffix, 256, const T* norm, T* gradient, u64 n, T max_norm) {                                          \
        T factor = clip_factor(max_norm, norm[0]);                                                                               \
        if (!(factor < T(1))) return;                                                                                            \
        FOR_ELEMENTS(i, n) gradient[i] *= factor;                                                                                \
    }
FOR_REALS(BY_NORM)
