// Weight normalisation, w = g v/|v|: kernels/src/weightnorm. norm.cu computes `norm`, |v|, and `product`, <dw, v>, before.
//
// Any grid of one dimension, blocks of at most 256 threads, no shared memory. `g`: one number, or null where it is `g_number`.
// `dg`: one number, or null where nobody asks for it. `add`: 1 accumulates, 0 sets and does not read.
#include "dev.cuh"

template <class T> DEVICE T length_of(const T* g, T g_number) { return g ? g[0] : g_number; }

#define FORWARD(T, suffix)                                                                                                       \
    KERNEL(weightnorm_forward_##suffix, 256, const T* v, const T* norm, const T* g, T g_number, T* w, u64 n) {                   \
        T alpha = length_of(g, g_number) / norm[0];                                                                              \
        FOR_ELEMENTS(i, n) w[i] = alpha * v[i];                                                                                  \
    }
FOR_REALS(FORWARD)

#define BACKWARD(T, suffix)                                                                                                      \
    KERNEL(weightnorm_backward_##suffix, 256, const T* v, const T* norm, const T* g, T g_number, const T* dw, const T* product,  \
           T* dv, T* dg, u64 n, u32 add) {                                                                                       \
        T size = norm[0], gain = product[0] / size, alpha = length_of(g, g_number) / size, beta = alpha * gain / size;           \
        FOR_ELEMENTS(i, n) put(dv + i, alpha * dw[i] - beta * v[i], add);                                                        \
        if (dg && blockIdx.x == 0 && threadIdx.x == 0) put(dg, gain, add);                                                       \
    }
FOR_REALS(BACKWARD)
