// Batch-1 SGD of perceptrons with one hidden layer and many outputs: kernels/src/wide_mlp. x n rows of `inputs` by stride; y n
// rows of `outputs`; params replicas x (hidden * inputs + outputs * hidden), W_1 and then W_2.
//
// Each: a block of 256 threads per replica. Shared memory, in elements: the weights that are kept there, 2 * (inputs + hidden +
// outputs), 10 * hidden and 2 * outputs, of which the last two are COLUMNS_IN_REGISTERS and ROWS_IN_REGISTERS where a matrix is in
// registers; and 4 bytes. `kind`: as in activation.cuh. `order`: replicas x steps; `lr`: as in replica.cuh; `diverged`: an
// element per replica, 0xffffffff if it has not; `gain`: 1 / outputs for the half squared error, 2 / outputs for all of it.
//
// wide_mlp_sgd_registers_f32: W_2 in registers, of at most ROWS_IN_REGISTERS x COLUMNS_IN_REGISTERS, and W_1 in shared memory.
// wide_mlp_sgd: both in shared memory if `resident`, else both in `params`.
//
// Row r of a matrix belongs to warp r % 8 and column c to lane c % 32: a warp's accesses are to neighbours, and its threads keep
// their weights from step to step. A step's update is done by the next step's product, which reads each weight anyway.
#include "activation.cuh"
#include "replica.cuh"

constexpr u32 ROWS_IN_REGISTERS = 200;
constexpr u32 COLUMNS_IN_REGISTERS = 224;

constexpr u32 WARPS = REPLICA_THREADS / 32;
constexpr u32 ROWS_OF_THREAD = ROWS_IN_REGISTERS / WARPS;
constexpr u32 COLUMNS_OF_THREAD = COLUMNS_IN_REGISTERS / 32;
// Rows that a warp multiplies at once: as many loads are under way, and their sums take fewer shuffles together.
constexpr u32 ROWS_AT_ONCE = 8;

// The sums over a warp's lanes of `COUNT` numbers of each, a power of two: lane l gets that of number l / (32 / COUNT).
template <class T, u32 COUNT> DEVICE T warp_sums(T (&sums)[COUNT]) {
    UNROLL
    for (u32 distance = 16, kept = COUNT / 2; distance > 0; distance /= 2, kept /= 2) {
        bool upper = lane_of_thread() & distance;
        UNROLL
        for (u32 k = 0; k < kept; k++) {
            T mine = upper ? sums[k + kept] : sums[k], others = upper ? sums[k] : sums[k + kept];
            sums[k] = mine + __shfl_xor_sync(FULL_WARP, others, distance);
        }
        if (kept == 0) sums[0] += __shfl_xor_sync(FULL_WARP, sums[0], distance);
    }
    return sums[0];
}

// A step's update of a matrix, `rate` deltas inputs^T.
template <class T> struct Update {
    T rate;
    const T *deltas, *inputs;
};

// rows x columns weights in shared memory or in `params`.
template <class T> struct InMemory {
    T* weights;
    u32 rows, columns;

    // How long vectors must be.
    __device__ u32 padded_rows() const { return rows; }
    __device__ u32 padded_columns() const { return columns; }

    // Subtracts the update, and calls emit(row, the product of the row with `vector`) from one thread for each row.
    template <class Emit> __device__ void update_and_multiply(Update<T> update, const T* vector, Emit emit) {
        u32 row = warp_of_thread();
        for (; row + (ROWS_AT_ONCE - 1) * WARPS < rows; row += ROWS_AT_ONCE * WARPS) {
            rows_at_once<ROWS_AT_ONCE>(row, update, vector, emit);
        }
        for (; row < rows; row += WARPS) rows_at_once<1>(row, update, vector, emit);
    }

    template <u32 COUNT, class Emit> __device__ void rows_at_once(u32 row, Update<T> update, const T* vector, Emit emit) {
        T scales[COUNT], sums[COUNT];
        UNROLL
        for (u32 k = 0; k < COUNT; k++) {
            scales[k] = update.rate * update.deltas[row + k * WARPS];
            sums[k] = 0;
        }
        T* first = weights + row * columns;
        for (u32 column = lane_of_thread(); column < columns; column += 32) {
            T before = update.inputs[column], now = vector[column], loaded[COUNT];
            UNROLL
            for (u32 k = 0; k < COUNT; k++) loaded[k] = first[k * WARPS * columns + column];
            UNROLL
            for (u32 k = 0; k < COUNT; k++) {
                loaded[k] = fused(-scales[k], before, loaded[k]);
                sums[k] = fused(loaded[k], now, sums[k]);
            }
            UNROLL
            for (u32 k = 0; k < COUNT; k++) first[k * WARPS * columns + column] = loaded[k];
        }
        constexpr u32 LANES = 32 / COUNT;
        T sum = warp_sums(sums);
        if (lane_of_thread() % LANES == 0) emit(row + lane_of_thread() / LANES * WARPS, sum);
    }

    // partial[column] = the sum over the warp's rows of deltas[row] times the weight.
    __device__ void multiply_transposed(const T* deltas, T* partial) const {
        for (u32 column = lane_of_thread(); column < columns; column += 32) {
            T sum = 0;
            for (u32 row = warp_of_thread(); row < rows; row += WARPS) {
                sum = fused(weights[row * columns + column], deltas[row], sum);
            }
            partial[column] = sum;
        }
    }
};

// The same in registers. Weights beyond the rows and columns are zero, and so must be what vectors have there.
struct InRegisters {
    float weights[ROWS_OF_THREAD][COLUMNS_OF_THREAD];
    u32 rows, columns;

    static __device__ u32 padded_rows() { return ROWS_IN_REGISTERS; }
    static __device__ u32 padded_columns() { return COLUMNS_IN_REGISTERS; }

    // visit(weight, where it is in `params`) for each that there is.
    template <class P, class Visit> __device__ void for_each(P* params, Visit visit) {
        // Or else addresses would be computed once, and take registers from the first call to the last.
        u32 columns = unknown(this->columns);
        UNROLL
        for (u32 k = 0; k < ROWS_OF_THREAD; k++) {
            u32 row = k * WARPS + warp_of_thread();
            P* of_row = params + row * columns + lane_of_thread();
            if (row < rows) {
                UNROLL
                for (u32 c = 0; c < COLUMNS_OF_THREAD; c++) {
                    if (c * 32 + lane_of_thread() < columns) visit(weights[k][c], of_row + c * 32);
                }
            }
        }
    }

    __device__ InRegisters(const float* params, u32 rows, u32 columns) : weights{}, rows(rows), columns(columns) {
        for_each(params, [](float& weight, const float* from) { weight = *from; });
    }
    __device__ void store(float* params) {
        for_each(params, [](float weight, float* to) { *to = weight; });
    }

    template <class Emit> __device__ void update_and_multiply(Update<float> update, const float* vector, Emit emit) {
        float before[COLUMNS_OF_THREAD], now[COLUMNS_OF_THREAD];
        UNROLL
        for (u32 c = 0; c < COLUMNS_OF_THREAD; c++) {
            before[c] = update.inputs[c * 32 + lane_of_thread()];
            now[c] = vector[c * 32 + lane_of_thread()];
        }
        UNROLL
        for (u32 start = 0; start < ROWS_OF_THREAD; start += ROWS_AT_ONCE) {
            float sums[ROWS_AT_ONCE] = {};
            UNROLL
            for (u32 i = 0; i < ROWS_AT_ONCE; i++) {
                u32 k = start + i;
                if (k >= ROWS_OF_THREAD) break;
                float scale = update.rate * update.deltas[k * WARPS + warp_of_thread()];
                UNROLL
                for (u32 c = 0; c < COLUMNS_OF_THREAD; c++) {
                    weights[k][c] = fused(-scale, before[c], weights[k][c]);
                    sums[i] = fused(weights[k][c], now[c], sums[i]);
                }
            }
            constexpr u32 LANES = 32 / ROWS_AT_ONCE;
            float sum = warp_sums(sums);
            u32 row = (start + lane_of_thread() / LANES) * WARPS + warp_of_thread();
            if (lane_of_thread() % LANES == 0 && row < rows) emit(row, sum);
        }
    }

    __device__ void multiply_transposed(const float* deltas, float* partial) const {
        float sums[COLUMNS_OF_THREAD] = {};
        UNROLL
        for (u32 k = 0; k < ROWS_OF_THREAD; k++) {
            float delta = deltas[k * WARPS + warp_of_thread()];
            UNROLL
            for (u32 c = 0; c < COLUMNS_OF_THREAD; c++) sums[c] = fused(weights[k][c], delta, sums[c]);
        }
        UNROLL
        for (u32 c = 0; c < COLUMNS_OF_THREAD; c++) partial[c * 32 + lane_of_thread()] = sums[c];
    }
};

// Two vectors of a kind: that of the current step and that of the one before, or of the one after.
template <class T> struct Pair {
    T* start;
    u32 length;

    __device__ Pair(SharedMemory& memory, u32 length) : start(memory.take<T>(2 * length)), length(length) {}
    __device__ T* of(u32 step) const { return start + step % 2 * length; }
};

// A replica's arguments.
template <class T> struct Task {
    const T *x, *y, *lr;
    const u32* order;
    T* params;
    u32* diverged;
    u32 inputs, hidden, outputs, kind, stride, steps, lr_step;
    T gain;

    // Of the block's replica.
    __device__ Task(const T* x, const T* y, const u32* order, const T* lr, T* params, u32* diverged, u32 inputs, u32 hidden,
                    u32 outputs, u32 kind, u32 stride, u32 steps, u32 lr_stride, u32 lr_step, T gain)
        : x(x), y(y), lr(lr + blockIdx.x * u64(lr_stride)), order(order + blockIdx.x * u64(steps)),
          params(params + blockIdx.x * u64(hidden * inputs + outputs * hidden)), diverged(diverged + blockIdx.x), inputs(inputs),
          hidden(hidden), outputs(outputs), kind(kind), stride(stride), steps(steps), lr_step(lr_step), gain(gain) {}
};

template <class T, class Second> DEVICE void train(const Task<T>& task, InMemory<T>& first, Second& second, SharedMemory memory) {
    u32 inputs = task.inputs, hidden = task.hidden, outputs = task.outputs, steps = task.steps;
    Pair<T> x(memory, inputs), a(memory, second.padded_columns()), y(memory, outputs), e(memory, second.padded_rows());
    T* delta = memory.take<T>(hidden);
    T* z = memory.take<T>(hidden);
    T* partial = memory.take<T>(WARPS * second.padded_columns());
    u32* stop = memory.take<u32>(1);

    auto fetch = [&](u32 step) {
        u64 sample = task.order[step];
        FOR_THREADS(j, inputs) copy_async(x.of(step) + j, task.x + sample * task.stride + j, true);
        FOR_THREADS(o, outputs) copy_async(y.of(step) + o, task.y + sample * outputs + o, true);
        commit_copies();
    };
    // The first step has no update before it, and takes one of zeros.
    FOR_THREADS(i, z - x.start) x.start[i] = 0;
    if (threadIdx.x == 0) *stop = 0;
    block_barrier();
    if (steps > 0) fetch(0);
    wait_copies<0>();
    block_barrier();
    T rate = 0;
    // Once more than there are steps, for the last one's update.
    for (u32 step = 0;; step++) {
        Update<T> of_first{rate, delta, x.of(step + 1)}, of_second{rate, e.of(step + 1), a.of(step + 1)};
        first.update_and_multiply(of_first, x.of(step), [&](u32 row, T sum) { z[row] = sum; });
        block_barrier();
        FOR_THREADS(j, hidden) a.of(step)[j] = activation_forward(task.kind, z[j]);
        if (step + 1 < steps) fetch(step + 1);
        block_barrier();
        second.update_and_multiply(of_second, a.of(step), [&](u32 row, T sum) {
            T residual = sum - y.of(step)[row];
            e.of(step)[row] = task.gain * residual;
            if (!is_finite(residual)) atomicOr(stop, 1u);
        });
        block_barrier();
        if (step == steps) break;
        if (*stop) {
            if (threadIdx.x == 0) *task.diverged = step;
            break;
        }
        second.multiply_transposed(e.of(step), partial + warp_of_thread() * second.padded_columns());
        block_barrier();
        FOR_THREADS(j, hidden) {
            T sum = 0;
            for (u32 warp = 0; warp < WARPS; warp++) sum += partial[warp * second.padded_columns() + j];
            delta[j] = activation_backward(task.kind, z[j], sum);
        }
        rate = task.lr[step * task.lr_step];
        wait_copies<0>();
        block_barrier();
    }
}

KERNEL(wide_mlp_sgd_registers_f32, REPLICA_THREADS, const float* x, const float* y, const u32* order, const float* lr,
       float* params, u32* diverged, u32 inputs, u32 hidden, u32 outputs, u32 kind, u32 stride, u32 steps, u32 lr_stride,
       u32 lr_step, float gain) {
    Task<float> task(x, y, order, lr, params, diverged, inputs, hidden, outputs, kind, stride, steps, lr_stride, lr_step, gain);
    if (*task.diverged != NOT_DIVERGED) return;
    SharedMemory memory;
    u32 count = hidden * inputs;
    InMemory<float> first{load_weights(task.params, count, true, memory), hidden, inputs};
    InRegisters second(task.params + count, outputs, hidden);
    train(task, first, second, memory);
    store_weights(task.params, first.weights, count);
    second.store(task.params + count);
}

template <class T> DEVICE void train_in_memory(const Task<T>& task, bool resident) {
    if (*task.diverged != NOT_DIVERGED) return;
    SharedMemory memory;
    u32 of_first = task.hidden * task.inputs, count = of_first + task.outputs * task.hidden;
    T* weights = load_weights(task.params, count, resident, memory);
    InMemory<T> first{weights, task.hidden, task.inputs}, second{weights + of_first, task.outputs, task.hidden};
    train(task, first, second, memory);
    store_weights(task.params, weights, count);
}

#define SGD(T, suffix)                                                                                                           \
    KERNEL(wide_mlp_sgd_##suffix, REPLICA_THREADS, const T* x, const T* y, const u32* order, const T* lr, T* params,             \
           u32* diverged, u32 inputs, u32 hidden, u32 outputs, u32 kind, u32 stride, u32 steps, u32 lr_stride, u32 lr_step,      \
           T gain, u32 resident) {                                                                                               \
        Task<T> task(x, y, order, lr, params, diverged, inputs, hidden, outputs, kind, stride, steps, lr_stride, lr_step, gain); \
        train_in_memory(task, resident);                                                                                         \
    }
FOR_REALS(SGD)
