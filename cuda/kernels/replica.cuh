// Training of one small network per block, many steps in one launch: what diagonal.cu, deep_linear.cu and mlp.cu share.
//
// `lr`: step sizes, that of a step at lr_stride * replica + lr_step * step. lr_stride is 0 where all replicas have the same ones,
// lr_step where a replica has one for all its steps.
//
// Threads: any number of full warps, at most 256. A single warp is fastest where vectors are short, for it does not wait at a
// barrier of the block. Sums over a vector are along lanes, then over a tree of lanes; they depend neither on the other
// replicas nor on how the steps are divided into launches.
#pragma once
#include "dev.cuh"

constexpr u32 REPLICA_THREADS = 256;
// What `diverged` holds for a replica that has not.
constexpr u32 NOT_DIVERGED = 0xffffffff;
// Samples of a batch whose residuals are in shared memory at once.
constexpr u32 BATCH_CHUNK = 32;
// Rows this short are summed by one thread each.
constexpr u32 SHORT_ROW = 16;

// The part of dynamic shared memory that has not been taken.
struct SharedMemory {
    u8* next = shared_memory();

    // Room for `count` elements; in order of falling size, so that all are aligned.
    template <class T> __device__ T* take(u32 count) {
        T* start = reinterpret_cast<T*>(next);
        next += count * sizeof(T);
        return start;
    }
};

// For thread-wise loops over `count` items of a block.
#define FOR_THREADS(i, count) for (u32 i = threadIdx.x; i < (count); i += blockDim.x)

// emit(o, the sum over i of matrix[o, i] vector[i]) for each of the rows, from the thread that has it.
template <class T, class Emit> DEVICE void times_vector(const T* matrix, u32 rows, u32 columns, const T* vector, Emit emit) {
    if (columns <= SHORT_ROW) {
        FOR_THREADS(o, rows) {
            T sum = 0;
            for (u32 i = 0; i < columns; i++) sum = fused(matrix[o * columns + i], vector[i], sum);
            emit(o, sum);
        }
        return;
    }
    for (u32 o = warp_of_thread(); o < rows; o += warps_of_block()) {
        T sum = 0;
        for (u32 i = lane_of_thread(); i < columns; i += 32) sum = fused(matrix[o * columns + i], vector[i], sum);
        sum = warp_sum(sum);
        if (lane_of_thread() == 0) emit(o, sum);
    }
}

// emit(i, the sum over o of matrix[o, i] vector[o]) for each of the columns, from the thread that has it.
template <class T, class Emit>
DEVICE void transposed_times_vector(const T* matrix, u32 rows, u32 columns, const T* vector, Emit emit) {
    FOR_THREADS(i, columns) {
        T sum = 0;
        for (u32 o = 0; o < rows; o++) sum = fused(matrix[o * columns + i], vector[o], sum);
        emit(i, sum);
    }
}

// The sum of squares of a vector, the same in every thread.
template <class T> DEVICE T square_sum(const T* vector, u32 count, T* scratch) {
    T sum = 0;
    FOR_THREADS(i, count) sum = fused(vector[i], vector[i], sum);
    return block_sum(sum, scratch);
}

// Where a replica's weights are while it trains: a copy in shared memory, or `params` itself where that has no room.
template <class T> DEVICE T* load_weights(T* params, u32 count, bool resident, SharedMemory& memory) {
    if (!resident) return params;
    T* weights = memory.take<T>(count);
    FOR_THREADS(i, count) weights[i] = params[i];
    return weights;
}

template <class T> DEVICE void store_weights(T* params, const T* weights, u32 count) {
    if (weights == params) return;
    FOR_THREADS(i, count) params[i] = weights[i];
}

// The samples of one step: of the order, or, where that is null, all from the first.
struct Batch {
    const u32* order;
    u32 count;

    __device__ u32 sample(u32 i) const { return order ? order[i] : i; }
};

// sums[j] = the sum over the batch of (predictor . x_i - y_i) x_ij, with at(j) the predictor's elements; false if one of the
// residuals is not finite. `residuals`: BATCH_CHUNK elements; `stop`: 0 before, shared. All threads call it, after a barrier,
// and the sums of a thread are those it strides over: no barrier is needed before it reads them, one is before others do.
template <class T, class At>
DEVICE bool sum_residuals(const T* x, const T* y, u32 d, u32 stride, Batch batch, At at, T* sums, T* residuals, u32* stop) {
    for (u32 first = 0; first < batch.count; first += BATCH_CHUNK) {
        u32 count = min(BATCH_CHUNK, batch.count - first);
        for (u32 i = warp_of_thread(); i < count; i += warps_of_block()) {
            u32 sample = batch.sample(first + i);
            const T* row = x + sample * u64(stride);
            T sum = 0;
            for (u32 j = lane_of_thread(); j < d; j += 32) sum = fused(row[j], at(j), sum);
            T residual = warp_sum(sum) - y[sample];
            if (lane_of_thread() == 0) {
                residuals[i] = residual;
                if (!is_finite(residual)) atomicOr(stop, 1u);
            }
        }
        block_barrier();
        if (*stop) return false;
        FOR_THREADS(j, d) {
            T sum = first == 0 ? T(0) : sums[j];
            for (u32 i = 0; i < count; i++) sum = fused(residuals[i], x[batch.sample(first + i) * u64(stride) + j], sum);
            sums[j] = sum;
        }
        // The next chunk overwrites the residuals.
        if (first + BATCH_CHUNK < batch.count) block_barrier();
    }
    return true;
}
