// Adam, one update: kernels/src/adam.
//
// Any grid of one dimension, blocks of at most 256 threads, no shared memory. The scalars are those of `Factors`, rounded by
// the caller: fresh1 = 1 - beta1, fresh2 = 1 - beta2. `corrected`: lr/(1 - beta1^t) and sqrt(1 - beta2^t).
#include "dev.cuh"

template <class T>
DEVICE void update(const T* gradient, const T* corrected, T* m, T* v, T* params, u64 n, T fresh1, T beta2, T fresh2, T epsilon,
                   T weight_decay) {
    T rate = corrected[0], bias_root = corrected[1];
    FOR_ELEMENTS(i, n) {
        T w = params[i], d = gradient[i] + weight_decay * w;
        T mean = m[i] + fresh1 * (d - m[i]);
        T square = beta2 * v[i] + fresh2 * d * d;
        m[i] = mean;
        v[i] = square;
        params[i] = w - rate * (mean / (root(square) / bias_root + epsilon));
    }
}

#define UPDATE(T, suffix)                                                                                                        \
    KERNEL(adam_update_##suffix, 256, const T* gradient, const T* corrected, T* m, T* v, T* params, u64 n, T fresh1, T beta2,    \
           T fresh2, T epsilon, T weight_decay) {                                                                                \
        update(gradient, corrected, m, v, params, n, fresh1, beta2, fresh2, epsilon, weight_decay);                              \
    }
FOR_REALS(UPDATE)
