// Training of deep linear networks with one output: kernels/src/deep_linear. x n rows of widths[0] by stride; params replicas x
// parameters, W_1 to W_L, each outputs x inputs.
//
// deep_linear_sgd: a block per replica, of any number of full warps (one for the smallest networks, else 256 threads). Shared
// memory, in elements: `parameters` if resident, 2 * (the sum of all widths) + 64; and 4 bytes. `resident`: 1 keeps the weights
// in shared memory, 0 in `params`. `widths`: depth + 1 of them, on the device. `order`: replicas x steps x batch, or null for
// gradient descent with batch = n; `lr`: as in replica.cuh; `diverged`: an element per replica, 0xffffffff if it
// has not. `scale`: 1 for half the mean squared error, 2 for the mean; `clip` counts if `clipped`.
#include "replica.cuh"

template <class T>
DEVICE void train(const T* x, const T* y, const u32* order, const T* lr, T* params, u32* diverged, const u32* widths, u32 depth,
                  u32 parameters, u32 stride, u32 steps, u32 lr_step, u32 batch, u32 resident, u32 clipped, T scale, T clip,
                  T weight_decay) {
    u32 replica = blockIdx.x;
    if (diverged[replica] != NOT_DIVERGED) return;
    u32 all_widths = 0;
    for (u32 l = 0; l <= depth; l++) all_widths += widths[l];
    SharedMemory memory;
    params += replica * u64(parameters);
    T* weights = load_weights(params, parameters, resident, memory);
    // Products b_l and f_l with the weights above and below, each l where its width begins.
    T* backward = memory.take<T>(all_widths);
    T* forward = memory.take<T>(all_widths);
    T* residuals = memory.take<T>(BATCH_CHUNK);
    T* scratch = memory.take<T>(32);
    u32* stop = memory.take<u32>(1);

    u32 d = widths[0];
    if (threadIdx.x == 0) {
        *stop = 0;
        backward[all_widths - 1] = T(1);
    }
    block_barrier();
    if (order) order += replica * u64(steps) * batch;
    for (u32 step = 0; step < steps; step++) {
        const T* w = weights + parameters;
        T* above = backward + all_widths - 1;
        for (u32 l = depth; l > 0; l--) {
            u32 inputs = widths[l - 1], outputs = widths[l];
            w -= inputs * outputs;
            T* here = above - inputs;
            transposed_times_vector(w, outputs, inputs, above, [&](u32 i, T sum) { here[i] = sum; });
            block_barrier();
            above = here;
        }

        Batch samples{order ? order + step * u64(batch) : order, batch};
        if (!sum_residuals(x, y, d, stride, samples, [&](u32 j) { return backward[j]; }, forward, residuals, stop)) {
            if (threadIdx.x == 0) diverged[replica] = step;
            break;
        }
        T factor = scale / T(batch);
        FOR_THREADS(j, d) forward[j] *= factor;
        block_barrier();
        T* below = forward;
        for (u32 l = 1; l < depth; l++) {
            u32 inputs = widths[l - 1], outputs = widths[l];
            T* here = below + inputs;
            times_vector(w, outputs, inputs, below, [&](u32 o, T sum) { here[o] = sum; });
            block_barrier();
            w += inputs * outputs;
            below = here;
        }

        T coefficient = 1;
        if (clipped) {
            T squared_norm = 0;
            u32 at = 0;
            for (u32 l = 1; l <= depth; at += widths[l - 1], l++) {
                T rows = square_sum(backward + at + widths[l - 1], widths[l], scratch);
                T columns = square_sum(forward + at, widths[l - 1], scratch);
                squared_norm = fused(rows, columns, squared_norm);
            }
            coefficient = clip_factor(clip, root(squared_norm));
        }
        T rate = lr[step * lr_step];
        T* layer = weights;
        u32 at = 0;
        for (u32 l = 1; l <= depth; l++) {
            u32 inputs = widths[l - 1], outputs = widths[l];
            const T *b = backward + at + inputs, *f = forward + at;
            FOR_THREADS(i, inputs * outputs) {
                T before = layer[i];
                layer[i] = before - rate * (coefficient * (b[i / inputs] * f[i % inputs]) + weight_decay * before);
            }
            layer += inputs * outputs;
            at += inputs;
        }
        block_barrier();
    }
    store_weights(params, weights, parameters);
}

#define SGD(T, suffix)                                                                                                           \
    KERNEL(deep_linear_sgd_##suffix, REPLICA_THREADS, const T* x, const T* y, const u32* order, const T* lr, T* params,          \
           u32* diverged, const u32* widths, u32 depth, u32 parameters, u32 stride, u32 steps, u32 lr_stride, u32 lr_step,       \
           u32 batch, u32 resident, u32 clipped, T scale, T clip, T weight_decay) {                                              \
        train(x, y, order, lr + blockIdx.x * u64(lr_stride), params, diverged, widths, depth, parameters, stride, steps,         \
              lr_step, batch, resident, clipped, scale, clip, weight_decay);                                                     \
    }
FOR_REALS(SGD)
