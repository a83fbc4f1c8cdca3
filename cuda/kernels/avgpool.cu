// Every channel's mean over an image's pixels: kernels/src/avgpool. x n x pixels x c, y n x c.
//
// Any grid of one dimension, blocks of at most 256 threads, no shared memory. `outputs` = n * c.
#include "dev.cuh"

#define FORWARD(T, suffix)                                                                                                       \
    KERNEL(avgpool_forward_##suffix, 256, const T* x, T* y, u64 outputs, u32 pixels, u32 c) {                                    \
        FOR_ELEMENTS(i, outputs) {                                                                                               \
            const T* first = x + i / c * pixels * c + i % c;                                                                     \
            T sum = 0;                                                                                                           \
            for (u32 pixel = 0; pixel < pixels; pixel++) sum += first[pixel * u64(c)];                                           \
            y[i] = sum / T(pixels);                                                                                              \
        }                                                                                                                        \
    }
FOR_REALS(FORWARD)

#define BACKWARD(T, suffix)                                                                                                      \
    KERNEL(avgpool_backward_##suffix, 256, const T* dy, T* dx, u64 outputs, u32 pixels, u32 c) {                                 \
        FOR_ELEMENTS(i, outputs * pixels) dx[i] = dy[i / c / pixels * c + i % c] / T(pixels);                                    \
    }
FOR_REALS(BACKWARD)
