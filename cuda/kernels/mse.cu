// Squared error: kernels/src/mse. `factor`: 1 for half the mean, 2 for the mean.
//
// mse_forward: two launches (sums.cuh), of 256 threads and with 8 f64 of shared memory: mse_partial with n/4096 blocks,
// rounded up, mse_total with one, which writes loss[0]. Sums are f64 and rounded once.
// The others: any grid of one dimension, blocks of at most 256 threads, no shared memory.
#include "sums.cuh"

#define PARTIAL(T, suffix)                                                                                                       \
    KERNEL(mse_partial_##suffix, SUM_THREADS, const T* y, const T* target, double* partial, u64 n) {                             \
        sum_chunk<double>(partial, n, [&](u64 i) {                                                                               \
            double residual = double(y[i]) - double(target[i]);                                                                  \
            return residual * residual;                                                                                          \
        });                                                                                                                      \
    }
FOR_REALS(PARTIAL)

#define TOTAL(T, suffix)                                                                                                         \
    KERNEL(mse_total_##suffix, SUM_THREADS, const double* partial, T* loss, u64 chunks, u64 n, T factor) {                       \
        double sum = sum_partials(partial, chunks);                                                                              \
        if (threadIdx.x == 0) loss[0] = T(double(factor) * sum / (2.0 * double(n)));                                             \
    }
FOR_REALS(TOTAL)

#define BACKWARD(T, suffix)                                                                                                      \
    KERNEL(mse_backward_##suffix, 256, const T* y, const T* target, T* dy, u64 n, T factor) {                                    \
        FOR_ELEMENTS(i, n) dy[i] = factor * (y[i] - target[i]) / T(n);                                                           \
    }
FOR_REALS(BACKWARD)

#define BACKWARD_TANGENT(T, suffix)                                                                                              \
    KERNEL(mse_backward_tangent_##suffix, 256, const T* y_tangent, T* dy_tangent, u64 n, T factor) {                             \
        FOR_ELEMENTS(i, n) dy_tangent[i] = factor * y_tangent[i] / T(n);                                                         \
    }
FOR_REALS(BACKWARD_TANGENT)
