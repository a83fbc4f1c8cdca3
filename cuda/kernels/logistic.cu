// Logistic loss of predictions y against targets of -1 and 1: kernels/src/logistic. Elements are computed in f64 and rounded
// once.
//
// logistic_forward: two launches (sums.cuh), of 256 threads and with 8 f64 of shared memory: logistic_partial with n/4096
// blocks, rounded up, logistic_total with one, which writes loss[0].
// The others: any grid of one dimension, blocks of at most 256 threads, no shared memory.
#include "sums.cuh"

// 1/(1 + e^-x) without overflow.
DEVICE double sigmoid(double x) {
    double t = exp(-fabs(x));
    return x < 0.0 ? t / (1.0 + t) : 1.0 / (1.0 + t);
}

#define PARTIAL(T, suffix)                                                                                                       \
    KERNEL(logistic_partial_##suffix, SUM_THREADS, const T* y, const T* target, double* partial, u64 n) {                        \
        sum_chunk<double>(partial, n, [&](u64 i) {                                                                               \
            double margin = double(target[i] * y[i]);                                                                            \
            return log1p(exp(-fabs(margin))) + (margin < 0.0 ? -margin : 0.0);                                                   \
        });                                                                                                                      \
    }
FOR_REALS(PARTIAL)

#define TOTAL(T, suffix)                                                                                                         \
    KERNEL(logistic_total_##suffix, SUM_THREADS, const double* partial, T* loss, u64 chunks, u64 n) {                            \
        double sum = sum_partials(partial, chunks);                                                                              \
        if (threadIdx.x == 0) loss[0] = T(sum / double(n));                                                                      \
    }
FOR_REALS(TOTAL)

#define BACKWARD(T, suffix)                                                                                                      \
    KERNEL(logistic_backward_##suffix, 256, const T* y, const T* target, T* dy, u64 n) {                                         \
        FOR_ELEMENTS(i, n) {                                                                                                     \
            double t = double(target[i]);                                                                                        \
            dy[i] = T(-t * sigmoid(-t * double(y[i])) / double(n));                                                              \
        }                                                                                                                        \
    }
FOR_REALS(BACKWARD)

/* The same for both targets. */
#define BACKWARD_TANGENT(T, suffix)                                                                                              \
    KERNEL(logistic_backward_tangent_##suffix, 256, const T* y, const T* y_tangent, T* dy_tangent, u64 n) {                      \
        FOR_ELEMENTS(i, n) {                                                                                                     \
            double at = double(y[i]);                                                                                            \
            dy_tangent[i] = T(sigmoid(at) * sigmoid(-at) * double(y_tangent[i]) / double(n));                                    \
        }                                                                                                                        \
    }
FOR_REALS(BACKWARD_TANGENT)
