// Batch normalisation: kernels/src/batchnorm. x, y, dy, dx, residual and ds rows x c; mean, variance, w, b, dw and db c. Null:
// `residual` and `ds` where there is none, `gate_w`, `gate_b` and `gate_y` where the gate is another.
//
// Blocks of 256 threads: a warp's lanes take neighbouring channels, along y of the grid 32 for a block, its warps every eighth row.
//
// batchnorm_moments and batchnorm_backward_affine: two launches each, with 256 elements of shared memory of three or two f64.
// _partial with rows/256 blocks along x, rounded up, each of which writes c elements to `partial`; _total with one. Sums within
// a thread are in T, of at most 32 terms, those over threads and blocks in f64 and in their order.
// The others: any number of blocks along x, no shared memory. `add`: 1 accumulates, 0 sets and does not read.
#include "activation.cuh"

constexpr u32 ROWS_OF_BLOCK = 256, WARPS = 8, ROWS_OF_THREAD = ROWS_OF_BLOCK / WARPS;

DEVICE u32 channel_of_thread() { return blockIdx.y * 32 + lane_of_thread(); }

// Count, mean and sum of squared deviations of some numbers.
struct Spread {
    double count, mean, squares;

    // Chan, Golub, LeVeque 1979.
    __device__ void join(const Spread& other) {
        double total = count + other.count, share = other.count / total, apart = other.mean - mean;
        mean += apart * share;
        squares += other.squares + apart * apart * count * share;
        count = total;
    }
};

// Σ dy x̂ and Σ dy of some rows.
struct Gradients {
    double dw, db;

    __device__ void join(const Gradients& other) {
        dw += other.dw;
        db += other.db;
    }
};

// What the warps have of a channel, joined in their order by the first warp.
template <class S> DEVICE S joined(S mine) {
    S* shared = reinterpret_cast<S*>(shared_memory());
    shared[threadIdx.x] = mine;
    __syncthreads();
    if (warp_of_thread() == 0) {
        for (u32 warp = 1; warp < WARPS; warp++) mine.join(shared[warp * 32 + lane_of_thread()]);
    }
    return mine;
}

// The same of the chunks of rows of a channel below c.
template <class S> DEVICE S joined_chunks(const double* partial, u64 chunks, u32 c) {
    S mine = {};
    u32 channel = channel_of_thread();
    if (channel < c) {
        for (u64 chunk = warp_of_thread(); chunk < chunks; chunk += WARPS) {
            mine.join(reinterpret_cast<const S*>(partial)[chunk * c + channel]);
        }
    }
    return joined(mine);
}

// Leaves what a block has of a channel.
template <class S> DEVICE void leave(double* partial, const S& of_block, u32 c) {
    u32 channel = channel_of_thread();
    if (warp_of_thread() == 0 && channel < c) reinterpret_cast<S*>(partial)[blockIdx.x * u64(c) + channel] = of_block;
}

template <class T> DEVICE Spread spread_of_thread(const T* x, u64 rows, u32 c) {
    u32 channel = channel_of_thread();
    u64 first = blockIdx.x * u64(ROWS_OF_BLOCK) + warp_of_thread();
    if (channel >= c || first >= rows) return {};
    T values[ROWS_OF_THREAD], sum = 0, squares = 0;
    u32 count = 0;
    UNROLL
    for (u32 i = 0; i < ROWS_OF_THREAD; i++) {
        u64 row = first + i * WARPS;
        values[i] = row < rows ? x[row * c + channel] : T(0);
        sum += values[i];
        count += row < rows;
    }
    T mean = sum / T(count);
    UNROLL
    for (u32 i = 0; i < ROWS_OF_THREAD; i++) {
        T apart = i < count ? values[i] - mean : T(0);
        squares = fused(apart, apart, squares);
    }
    return {double(count), double(mean), double(squares)};
}

#define MOMENTS_PARTIAL(T, suffix)                                                                                               \
    KERNEL(batchnorm_moments_partial_##suffix, 256, const T* x, double* partial, u64 rows, u32 c) {                              \
        leave(partial, joined(spread_of_thread(x, rows, c)), c);                                                                 \
    }
FOR_REALS(MOMENTS_PARTIAL)

#define MOMENTS_TOTAL(T, suffix)                                                                                                 \
    KERNEL(batchnorm_moments_total_##suffix, 256, const double* partial, T* mean, T* variance, u64 chunks, u32 c) {              \
        Spread spread = joined_chunks<Spread>(partial, chunks, c);                                                               \
        u32 channel = channel_of_thread();                                                                                       \
        if (warp_of_thread() == 0 && channel < c) {                                                                              \
            mean[channel] = T(spread.mean);                                                                                      \
            variance[channel] = T(spread.squares / spread.count);                                                                \
        }                                                                                                                        \
    }
FOR_REALS(MOMENTS_TOTAL)

template <class T> DEVICE T scale_of(T variance, double epsilon) { return T(1.0 / root(double(variance) + epsilon)); }

// The elements of this thread, `i` of rows x c, in steps of the whole grid.
#define FOR_ROWS(i, rows, c)                                                                                                     \
    for (u64 row = blockIdx.x * u64(WARPS) + warp_of_thread(), i = row * (c) + channel_of_thread(); row < (rows);                \
         row += gridDim.x * u64(WARPS), i = row * (c) + channel_of_thread())

#define FORWARD(T, suffix)                                                                                                       \
    KERNEL(batchnorm_forward_##suffix, 256, const T* x, const T* mean, const T* variance, const T* w, const T* b, T* y,          \
           u64 rows, u32 c, double epsilon, const T* residual, u32 relu) {                                                       \
        u32 channel = channel_of_thread();                                                                                       \
        if (channel >= c) return;                                                                                                \
        T middle = mean[channel], scale = w[channel] * scale_of(variance[channel], epsilon), shift = b[channel];                 \
        FOR_ROWS(i, rows, c) {                                                                                                   \
            T sum = fused(x[i] - middle, scale, shift);                                                                          \
            if (residual) sum += residual[i];                                                                                    \
            y[i] = relu ? where_on(sum, sum) : sum;                                                                              \
        }                                                                                                                        \
    }
FOR_REALS(FORWARD)

// The gradient by what a ReLU took, in a channel: dy where it was on.
template <class T> struct Gated {
    const T *dy, *y;
    bool normalised;
    T middle, scale, shift;

    __device__ Gated(const T* mean, const T* variance, const T* dy, const T* w, const T* b, const T* y, u32 channel, double epsilon)
        : dy(dy), y(y), normalised(w), middle(mean[channel]), scale(0), shift(0) {
        if (normalised) scale = w[channel] * scale_of(variance[channel], epsilon), shift = b[channel];
    }

    __device__ T at(u64 i, T x) const {
        T gradient = dy[i];
        if (y) return where_on(y[i], gradient);
        return normalised ? where_on(fused(x - middle, scale, shift), gradient) : gradient;
    }
};

template <class T>
DEVICE Gradients gradients_of_thread(const T* x, const T* mean, const T* variance, const T* dy_of_y, const T* gate_w,
                                     const T* gate_b, const T* gate_y, u64 rows, u32 c, double epsilon, T* ds, u32 add) {
    u32 channel = channel_of_thread();
    u64 first = blockIdx.x * u64(ROWS_OF_BLOCK) + warp_of_thread();
    if (channel >= c) return {};
    Gated<T> dy(mean, variance, dy_of_y, gate_w, gate_b, gate_y, channel, epsilon);
    T middle = mean[channel], dw = 0, db = 0;
    for (u32 i = 0; i < ROWS_OF_THREAD; i++) {
        u64 row = first + i * WARPS;
        if (row >= rows) break;
        u64 at = row * c + channel;
        T gradient = dy.at(at, x[at]);
        dw = fused(gradient, x[at] - middle, dw);
        db += gradient;
        if (ds) put(ds + at, gradient, add);
    }
    return {double(dw) * double(scale_of(variance[channel], epsilon)), double(db)};
}

#define BACKWARD_AFFINE_PARTIAL(T, suffix)                                                                                       \
    KERNEL(batchnorm_backward_affine_partial_##suffix, 256, const T* x, const T* mean, const T* variance, const T* dy,           \
           const T* gate_w, const T* gate_b, const T* gate_y, double* partial, u64 rows, u32 c, double epsilon, T* ds,           \
           u32 add) {                                                                                                            \
        Gradients gradients =                                                                                                    \
            gradients_of_thread(x, mean, variance, dy, gate_w, gate_b, gate_y, rows, c, epsilon, ds, add);                       \
        leave(partial, joined(gradients), c);                                                                                    \
    }
FOR_REALS(BACKWARD_AFFINE_PARTIAL)

#define BACKWARD_AFFINE_TOTAL(T, suffix)                                                                                         \
    KERNEL(batchnorm_backward_affine_total_##suffix, 256, const double* partial, T* dw, T* db, u64 chunks, u32 c) {              \
        Gradients gradients = joined_chunks<Gradients>(partial, chunks, c);                                                      \
        u32 channel = channel_of_thread();                                                                                       \
        if (warp_of_thread() == 0 && channel < c) {                                                                              \
            dw[channel] = T(gradients.dw);                                                                                       \
            db[channel] = T(gradients.db);                                                                                       \
        }                                                                                                                        \
    }
FOR_REALS(BACKWARD_AFFINE_TOTAL)

template <class T>
DEVICE void backward_data(const T* x, const T* mean, const T* variance, const T* w, const T* dw, const T* db, const T* dy_of_y,
                          const T* gate_w, const T* gate_b, const T* gate_y, T* dx, u64 rows, u32 c, double epsilon, u32 add) {
    u32 channel = channel_of_thread();
    if (channel >= c) return;
    Gated<T> dy(mean, variance, dy_of_y, gate_w, gate_b, gate_y, channel, epsilon);
    // dx = slope dy + tilt (x - mean) + shift.
    double scale = scale_of(variance[channel], epsilon), slope = double(w[channel]) * scale;
    T tilt = T(-slope * scale * double(dw[channel]) / double(rows)), shift = T(-slope * double(db[channel]) / double(rows));
    T middle = mean[channel];
    FOR_ROWS(i, rows, c) put(dx + i, fused(T(slope), dy.at(i, x[i]), fused(tilt, x[i] - middle, shift)), add);
}

#define BACKWARD_DATA(T, suffix)                                                                                                 \
    KERNEL(batchnorm_backward_data_##suffix, 256, const T* x, const T* mean, const T* variance, const T* w, const T* dw,         \
           const T* db, const T* dy, const T* gate_w, const T* gate_b, const T* gate_y, T* dx, u64 rows, u32 c, double epsilon,  \
           u32 add) {                                                                                                            \
        backward_data(x, mean, variance, w, dw, db, dy, gate_w, gate_b, gate_y, dx, rows, c, epsilon, add);                      \
    }
FOR_REALS(BACKWARD_DATA)
