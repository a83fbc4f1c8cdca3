// How many samples' outputs choose another class than their labels: kernels/src/mistakes. y n x outputs; labels n.
//
// The first of two launches (sums.cuh), with n/4096 blocks, rounded up, of 256 threads and 8 f64 of shared memory; counts are
// whole numbers in f64. The second is norm.cu's norm_total_f64.
#include "sums.cuh"

// Whether a comes after b in the order of numbers, in which -0 is below 0.
DEVICE bool is_above(double a, double b) { return a > b || (a == b && copysign(1.0, a) > copysign(1.0, b)); }

template <class T> DEVICE bool is_largest(const T* row, u64 outputs, u32 label) {
    u64 chosen = 0;
    for (u64 k = 0; k < outputs; k++) {
        if (row[k] != row[k]) return false;
        if (is_above(row[k], row[chosen])) chosen = k;
    }
    return chosen == label;
}

template <class T> DEVICE bool has_sign(T y, u32 label) { return label == 1 ? y > T(0) : label == 0 && y < T(0); }

#define PARTIAL(T, suffix)                                                                                                       \
    KERNEL(mistakes_partial_##suffix, SUM_THREADS, const T* y, const u32* labels, double* partial, u64 n, u64 outputs,           \
           u32 by_sign) {                                                                                                        \
        sum_chunk<double>(partial, n, [&](u64 i) {                                                                               \
            bool right = by_sign ? has_sign(y[i], labels[i]) : is_largest(y + i * outputs, outputs, labels[i]);                  \
            return right ? 0.0 : 1.0;                                                                                            \
        });                                                                                                                      \
    }
FOR_REALS(PARTIAL)
