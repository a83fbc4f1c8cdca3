// The fully connected layer y = x w' + b: kernels/src/linear. x n x inputs, w outputs x inputs, b outputs, y n x outputs.
//
// Forward and the gradients of x and w are products (product.cuh): a block of 128 threads for a tile of the matrix that is
// written. A bias is null where there is none. `add`: 1 accumulates, 0 sets and does not read.
//
// linear_backward_bias: outputs/32 blocks, rounded up, of 256 threads; 256 elements of shared memory.
#include "product.cuh"

#define FORWARD(Tile, T, suffix)                                                                                                 \
    KERNEL(linear_forward_##suffix, PRODUCT_THREADS, const T* x, const T* w, const T* b, T* y, u32 n, u32 inputs, u32 outputs,   \
           u32 add) {                                                                                                            \
        product<Tile>(Matrix<T, true>(x, n, inputs, inputs, 1), Matrix<T, true>(w, outputs, inputs, inputs, 1), inputs,          \
                      [&](u32 row) { return y + row * u64(outputs); },                                                           \
                      [&](T* to, u32 column, T value) { put(to + column, b ? value + b[column] : value, add); });                \
    }
FOR_TILES(FORWARD)

#define BACKWARD_DATA(Tile, T, suffix)                                                                                           \
    KERNEL(linear_backward_data_##suffix, PRODUCT_THREADS, const T* w, const T* dy, T* dx, u32 n, u32 inputs, u32 outputs,       \
           u32 add) {                                                                                                            \
        product<Tile>(Matrix<T, true>(dy, n, outputs, outputs, 1), Matrix<T, false>(w, inputs, outputs, 1, inputs), outputs,     \
                      [&](u32 row) { return dx + row * u64(inputs); },                                                           \
                      [&](T* to, u32 column, T value) { put(to + column, value, add); });                                        \
    }
FOR_TILES(BACKWARD_DATA)

#define BACKWARD_WEIGHT(Tile, T, suffix)                                                                                         \
    KERNEL(linear_backward_weight_##suffix, PRODUCT_THREADS, const T* x, const T* dy, T* dw, u32 n, u32 inputs, u32 outputs,     \
           u32 add) {                                                                                                            \
        product<Tile>(Matrix<T, false>(dy, outputs, n, 1, outputs), Matrix<T, false>(x, inputs, n, 1, inputs), n,                \
                      [&](u32 row) { return dw + row * u64(inputs); },                                                           \
                      [&](T* to, u32 column, T value) { put(to + column, value, add); });                                        \
    }
FOR_TILES(BACKWARD_WEIGHT)

// A warp's lanes take neighbouring columns, the warps every eighth row; the first warp adds up what they have.
template <class T> DEVICE void sum_columns(const T* dy, T* db, u32 n, u32 outputs, u32 add) {
    T* sums = reinterpret_cast<T*>(shared_memory());
    u32 lane = lane_of_thread(), warp = warp_of_thread(), warps = warps_of_block();
    u32 column = blockIdx.x * 32 + lane;
    T sum = 0;
    if (column < outputs) {
        for (u32 row = warp; row < n; row += warps) sum += dy[row * u64(outputs) + column];
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (warp == 0 && column < outputs) {
        for (u32 other = 1; other < warps; other++) sum += sums[other * 32 + lane];
        put(db + column, sum, add);
    }
}

#define BACKWARD_BIAS(T, suffix)                                                                                                 \
    KERNEL(linear_backward_bias_##suffix, 256, const T* dy, T* db, u32 n, u32 outputs, u32 add) {                                \
        sum_columns(dy, db, n, outputs, add);                                                                                    \
    }
FOR_REALS(BACKWARD_BIAS)
