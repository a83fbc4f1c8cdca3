// Stochastic gradient descent with momentum and weight decay: kernels/src/sgd.
//
// Any grid of one dimension, blocks of at most 256 threads, no shared memory. `momentum_state`: 0 there is no buffer (null),
// 1 the first step (the buffer is not read), 2 later. `lr`: one number. The scalars are those of `Factors`, rounded by the caller.
#include "dev.cuh"

enum MomentumState { NONE, FIRST, LATER };

template <class T>
DEVICE void update(const T* gradient, const T* lr, T* buffer, T* params, u64 n, u32 momentum_state, u32 nesterov, T momentum,
                   T undamped, T weight_decay) {
    T rate = lr[0];
    FOR_ELEMENTS(i, n) {
        T w = params[i], d = gradient[i] + weight_decay * w, step = d;
        if (momentum_state != NONE) {
            T mean = momentum_state == LATER ? momentum * buffer[i] + undamped * d : d;
            buffer[i] = mean;
            step = nesterov ? d + momentum * mean : mean;
        }
        params[i] = w - rate * step;
    }
}

#define UPDATE(T, suffix)                                                                                                        \
    KERNEL(sgd_update_##suffix, 256, const T* gradient, const T* lr, T* buffer, T* params, u64 n, u32 momentum_state,            \
           u32 nesterov, T momentum, T undamped, T weight_decay) {                                                               \
        update(gradient, lr, buffer, params, n, momentum_state, nesterov, momentum, undamped, weight_decay);                     \
    }
FOR_REALS(UPDATE)
