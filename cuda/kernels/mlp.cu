// Batch-1 SGD of small multilayer perceptrons with one output: kernels/src/mlp. x n rows of widths[0] by stride; params
// replicas x parameters, layer by layer a weight, outputs x inputs, and a bias if there is one.
//
// mlp_sgd: a block per replica, of any number of full warps (one for the smallest networks, else 256 threads). Shared memory,
// in elements: `parameters` if resident, 2 * (the sum of all widths) + 32. `resident`: 1 keeps the weights in shared memory, 0
// in `params`. `widths`: depth + 1 of them, on the device. `bias`: 0 none, 1 the first layer, 2 all. `relu`: 1 after every
// layer but the last, 0 nothing. `order`: replicas x steps; `lr`: as in replica.cuh; `diverged`: an element per replica,
// 0xffffffff if it has not. `scale`: 1 for r^2/2, 2 for r^2; `clip` counts if `clipped`.
#include "replica.cuh"

enum Bias { BIAS_NONE, BIAS_FIRST, BIAS_ALL };

DEVICE bool has_bias(u32 bias, u32 layer) { return bias == BIAS_ALL || (bias == BIAS_FIRST && layer == 1); }

template <class T>
DEVICE void train(const T* x, const T* y, const u32* order, const T* lr, T* params, u32* diverged, const u32* widths, u32 depth,
                  u32 parameters, u32 bias, u32 relu, u32 stride, u32 steps, u32 lr_step, u32 resident, u32 clipped, T scale,
                  T clip, T weight_decay) {
    u32 replica = blockIdx.x;
    if (diverged[replica] != NOT_DIVERGED) return;
    u32 all_widths = 0;
    for (u32 l = 0; l <= depth; l++) all_widths += widths[l];
    SharedMemory memory;
    params += replica * u64(parameters);
    T* weights = load_weights(params, parameters, resident, memory);
    // a_l and delta_l, each l where its width begins.
    T* activations = memory.take<T>(all_widths);
    T* deltas = memory.take<T>(all_widths);
    T* scratch = memory.take<T>(32);

    order += replica * u64(steps);
    for (u32 step = 0; step < steps; step++) {
        u32 sample = order[step];
        FOR_THREADS(j, widths[0]) activations[j] = x[sample * u64(stride) + j];
        block_barrier();
        const T* w = weights;
        u32 at = 0;
        for (u32 l = 1; l <= depth; l++) {
            u32 inputs = widths[l - 1], outputs = widths[l];
            const T* b = has_bias(bias, l) ? w + inputs * outputs : nullptr;
            T* here = activations + at + inputs;
            bool on_off = relu && l < depth;
            times_vector(w, outputs, inputs, activations + at, [&](u32 o, T sum) {
                T z = b ? b[o] + sum : sum;
                // NaN is not below zero and stays.
                here[o] = on_off && z < T(0) ? T(0) : z;
            });
            block_barrier();
            w += inputs * outputs + (b ? outputs : 0);
            at += inputs;
        }

        T residual = activations[all_widths - 1] - y[sample];
        if (!is_finite(residual)) {
            if (threadIdx.x == 0) diverged[replica] = step;
            break;
        }
        if (threadIdx.x == 0) deltas[all_widths - 1] = scale * residual;
        block_barrier();
        for (u32 l = depth; l > 1; l--) {
            u32 inputs = widths[l - 1], outputs = widths[l];
            w -= inputs * outputs + (has_bias(bias, l) ? outputs : 0);
            at -= inputs;
            // `at` is where a_{l-1} begins, of which delta_{l-1} has the place.
            u32 here = at;
            u32 above = at + inputs;
            transposed_times_vector(w, outputs, inputs, deltas + above, [&](u32 i, T sum) {
                deltas[here + i] = !relu || activations[here + i] > T(0) ? sum : T(0);
            });
            block_barrier();
        }

        T coefficient = 1;
        if (clipped) {
            T squared_norm = 0;
            at = 0;
            for (u32 l = 1; l <= depth; at += widths[l - 1], l++) {
                T rows = square_sum(deltas + at + widths[l - 1], widths[l], scratch);
                T columns = square_sum(activations + at, widths[l - 1], scratch) + T(has_bias(bias, l) ? 1 : 0);
                squared_norm = fused(rows, columns, squared_norm);
            }
            coefficient = clip_factor(clip, root(squared_norm));
        }
        T rate = lr[step * lr_step];
        T* layer = weights;
        at = 0;
        auto descend = [&](T* weight, T gradient) {
            *weight = *weight - rate * (coefficient * gradient + weight_decay * *weight);
        };
        for (u32 l = 1; l <= depth; l++) {
            u32 inputs = widths[l - 1], outputs = widths[l];
            const T *a = activations + at, *delta = a - activations + deltas + inputs;
            FOR_THREADS(i, inputs * outputs) descend(layer + i, delta[i / inputs] * a[i % inputs]);
            layer += inputs * outputs;
            if (has_bias(bias, l)) {
                FOR_THREADS(o, outputs) descend(layer + o, delta[o]);
                layer += outputs;
            }
            at += inputs;
        }
        block_barrier();
    }
    store_weights(params, weights, parameters);
}

#define SGD(T, suffix)                                                                                                           \
    KERNEL(mlp_sgd_##suffix, REPLICA_THREADS, const T* x, const T* y, const u32* order, const T* lr, T* params, u32* diverged,   \
           const u32* widths, u32 depth, u32 parameters, u32 bias, u32 relu, u32 stride, u32 steps, u32 lr_stride,               \
           u32 lr_step, u32 resident, u32 clipped, T scale, T clip, T weight_decay) {                                            \
        train(x, y, order, lr + blockIdx.x * u64(lr_stride), params, diverged, widths, depth, parameters, bias, relu, stride,    \
              steps, lr_step, resident, clipped, scale, clip, weight_decay);                                                     \
    }
FOR_REALS(SGD)
