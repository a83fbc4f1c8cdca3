// How many numbers are positive: kernels/src/positives.
//
// The first of two launches (sums.cuh), with n/4096 blocks, rounded up, of 256 threads and 8 f64 of shared memory; counts are
// whole numbers in f64. The second is norm.cu's norm_total_f64.
#include "sums.cuh"

#define PARTIAL(T, suffix)                                                                                                       \
    KERNEL(positives_partial_##suffix, SUM_THREADS, const T* x, double* partial, u64 n) {                                        \
        sum_chunk<double>(partial, n, [&](u64 i) { return x[i] > T(0) ? 1.0 : 0.0; });                                           \
    }
FOR_REALS(PARTIAL)
