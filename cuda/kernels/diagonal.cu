// The diagonal linear network h(x) = sum_j u_j v_j x_j: kernels/src/diagonal. x n rows of d by stride; params replicas x 2d, u
// then v.
//
// diagonal_forward: replicas * n / 8 blocks, rounded up, of 256 threads; no shared memory.
// diagonal_backward_weight: any grid of one dimension, blocks of at most 256 threads; no shared memory.
// diagonal_sgd: a block per replica, of any number of full warps (one where d is short and the batch small, else 256 threads);
// (3d + 32) elements and 4 bytes of shared memory. `order`: replicas x steps x batch, or null for gradient descent with
// batch = n; `lr`: as in replica.cuh; `diverged`: an element per replica, 0xffffffff if it has not.
#include "replica.cuh"

template <class T>
DEVICE void forward(const T* x, const T* params, T* y, u32 n, u32 d, u32 stride, u32 replicas) {
    u64 output = blockIdx.x * u64(warps_of_block()) + warp_of_thread();
    if (output >= u64(replicas) * n) return;
    const T *u = params + output / n * 2 * d, *v = u + d, *row = x + output % n * stride;
    T sum = 0;
    for (u32 j = lane_of_thread(); j < d; j += 32) sum = fused(row[j], u[j] * v[j], sum);
    sum = warp_sum(sum);
    if (lane_of_thread() == 0) y[output] = sum;
}

template <class T>
DEVICE void backward_weight(const T* x, const T* params, const T* dy, T* dparams, u32 n, u32 d, u32 stride, u32 replicas, u32 add) {
    FOR_ELEMENTS(element, u64(replicas) * d) {
        u64 replica = element / d, j = element % d, u = replica * 2 * d + j, v = u + d;
        T dbeta = 0;
        for (u32 i = 0; i < n; i++) dbeta = fused(dy[replica * n + i], x[i * u64(stride) + j], dbeta);
        put(dparams + u, dbeta * params[v], add);
        put(dparams + v, dbeta * params[u], add);
    }
}

template <class T>
DEVICE void train(const T* x, const T* y, const u32* order, const T* lr, T* params, u32* diverged, u32 d, u32 stride, u32 steps,
                  u32 lr_step, u32 batch) {
    u32 replica = blockIdx.x;
    if (diverged[replica] != NOT_DIVERGED) return;
    SharedMemory memory;
    T* u = memory.take<T>(d);
    T* v = memory.take<T>(d);
    T* gradient = memory.take<T>(d);
    T* residuals = memory.take<T>(BATCH_CHUNK);
    u32* stop = memory.take<u32>(1);

    params += replica * 2 * u64(d);
    FOR_THREADS(j, d) {
        u[j] = params[j];
        v[j] = params[d + j];
    }
    if (threadIdx.x == 0) *stop = 0;
    block_barrier();
    if (order) order += replica * u64(steps) * batch;
    for (u32 step = 0; step < steps; step++) {
        Batch samples{order ? order + step * u64(batch) : order, batch};
        auto predictor = [&](u32 j) { return u[j] * v[j]; };
        if (!sum_residuals(x, y, d, stride, samples, predictor, gradient, residuals, stop)) {
            if (threadIdx.x == 0) diverged[replica] = step;
            break;
        }
        T rate = lr[step * lr_step] / T(batch);
        FOR_THREADS(j, d) {
            T change = rate * gradient[j], before = u[j];
            u[j] = before - change * v[j];
            v[j] = v[j] - change * before;
        }
        block_barrier();
    }
    FOR_THREADS(j, d) {
        params[j] = u[j];
        params[d + j] = v[j];
    }
}

#define FORWARD(T, suffix)                                                                                                       \
    KERNEL(diagonal_forward_##suffix, REPLICA_THREADS, const T* x, const T* params, T* y, u32 n, u32 d, u32 stride,              \
           u32 replicas) {                                                                                                       \
        forward(x, params, y, n, d, stride, replicas);                                                                           \
    }
FOR_REALS(FORWARD)

#define BACKWARD_WEIGHT(T, suffix)                                                                                               \
    KERNEL(diagonal_backward_weight_##suffix, REPLICA_THREADS, const T* x, const T* params, const T* dy, T* dparams, u32 n,      \
           u32 d, u32 stride, u32 replicas, u32 add) {                                                                           \
        backward_weight(x, params, dy, dparams, n, d, stride, replicas, add);                                                    \
    }
FOR_REALS(BACKWARD_WEIGHT)

#define SGD(T, suffix)                                                                                                           \
    KERNEL(diagonal_sgd_##suffix, REPLICA_THREADS, const T* x, const T* y, const u32* order, const T* lr, T* params,             \
           u32* diverged, u32 d, u32 stride, u32 steps, u32 lr_stride, u32 lr_step, u32 batch) {                                 \
        train(x, y, order, lr + blockIdx.x * u64(lr_stride), params, diverged, d, stride, steps, lr_step, batch);                \
    }
FOR_REALS(SGD)
