// The inner product of a and b, and its root, the norm, where they are the same: kernels/src/norm.
//
// Two launches (sums.cuh), of 256 threads and with 8 elements of shared memory: norm_partial with n/4096 blocks, rounded up,
// norm_total with one, which writes out[0], the root of the sum if `take_root`. `add`: 1 accumulates, 0 sets and does not read.
#include "sums.cuh"

#define PARTIAL(T, suffix)                                                                                                       \
    KERNEL(norm_partial_##suffix, SUM_THREADS, const T* a, const T* b, T* partial, u64 n) {                                      \
        sum_chunk<T>(partial, n, [&](u64 i) { return a[i] * b[i]; });                                                            \
    }
FOR_REALS(PARTIAL)

#define TOTAL(T, suffix)                                                                                                         \
    KERNEL(norm_total_##suffix, SUM_THREADS, const T* partial, T* out, u64 chunks, u32 take_root, u32 add) {                     \
        T sum = sum_partials(partial, chunks);                                                                                   \
        if (threadIdx.x == 0) put(out, take_root ? root(sum) : sum, add);                                                        \
    }
FOR_REALS(TOTAL)
