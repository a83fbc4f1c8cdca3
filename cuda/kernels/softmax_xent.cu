// Cross-entropy of the softmax of logits against labels: kernels/src/softmax_xent. y n x classes; labels n; one that is not below
// `classes` makes NaN of what its sample contributes.
// Everything is computed in f64 and rounded once. A warp takes a sample.
//
// softmax_xent_forward: two launches of 256 threads with 8 f64 of shared memory: softmax_xent_partial with n/64 blocks, rounded
// up, softmax_xent_total with one, which writes loss[0].
// The others: n/8 blocks, rounded up, of 256 threads, no shared memory.
#include "sums.cuh"

constexpr u32 SAMPLES_OF_BLOCK = 64;

DEVICE double not_a_number() { return 0.0 / 0.0; }

struct Largest {
    double value;
    u32 place;
};

// The largest logit of a row, the first of equals.
template <class T> DEVICE Largest largest_of(const T* row, u32 classes) {
    Largest best{-1.0 / 0.0, 0};
    for (u32 k = lane_of_thread(); k < classes; k += 32) {
        if (double(row[k]) > best.value) best = {double(row[k]), k};
    }
    UNROLL
    for (int distance = 16; distance > 0; distance /= 2) {
        double value = __shfl_xor_sync(FULL_WARP, best.value, distance);
        u32 place = __shfl_xor_sync(FULL_WARP, best.place, distance);
        if (value > best.value || (value == best.value && place < best.place)) best = {value, place};
    }
    return best;
}

// The sum of term(k) over the classes.
template <class Term> DEVICE double sum_of_classes(u32 classes, Term term) {
    double sum = 0.0;
    for (u32 k = lane_of_thread(); k < classes; k += 32) sum += term(k);
    return warp_sum(sum);
}

template <class T> DEVICE double loss_of(const T* row, u32 label, u32 classes) {
    Largest largest = largest_of(row, classes);
    // The largest term is 1 and left out, so that a confident and right prediction keeps the digits of its small loss.
    double others = sum_of_classes(classes, [&](u32 k) { return k == largest.place ? 0.0 : exp(double(row[k]) - largest.value); });
    double hit = label < classes ? double(row[label]) : not_a_number();
    return log1p(others) + (largest.value - hit);
}

template <class T> DEVICE void partial_loss(const T* y, const u32* labels, double* partial, u32 n, u32 classes) {
    u32 first = blockIdx.x * SAMPLES_OF_BLOCK, last = min(first + SAMPLES_OF_BLOCK, n);
    double sum = 0.0;
    for (u32 i = first + warp_of_thread(); i < last; i += warps_of_block()) {
        double loss = loss_of(y + i * u64(classes), labels[i], classes);
        if (lane_of_thread() == 0) sum += loss;
    }
    sum = block_sum(sum, reinterpret_cast<double*>(shared_memory()));
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

template <class T> DEVICE void backward(const T* y, const u32* labels, T* dy, u32 n, u32 classes) {
    u32 i = blockIdx.x * warps_of_block() + warp_of_thread();
    if (i >= n) return;
    const T* row = y + i * u64(classes);
    double largest = largest_of(row, classes).value;
    double total = sum_of_classes(classes, [&](u32 k) { return exp(double(row[k]) - largest); });
    double miss = labels[i] < classes ? 0.0 : not_a_number();
    for (u32 k = lane_of_thread(); k < classes; k += 32) {
        double hit = k == labels[i] ? 1.0 : miss;
        dy[i * u64(classes) + k] = T((exp(double(row[k]) - largest) / total - hit) / double(n));
    }
}

template <class T> DEVICE void backward_tangent(const T* y, const T* y_tangent, T* dy_tangent, u32 n, u32 classes) {
    u32 i = blockIdx.x * warps_of_block() + warp_of_thread();
    if (i >= n) return;
    const T *row = y + i * u64(classes), *row_tangent = y_tangent + i * u64(classes);
    double largest = largest_of(row, classes).value;
    double total = sum_of_classes(classes, [&](u32 k) { return exp(double(row[k]) - largest); });
    auto probability = [&](u32 k) { return exp(double(row[k]) - largest) / total; };
    double mean = sum_of_classes(classes, [&](u32 k) { return probability(k) * double(row_tangent[k]); });
    for (u32 k = lane_of_thread(); k < classes; k += 32) {
        dy_tangent[i * u64(classes) + k] = T(probability(k) * (double(row_tangent[k]) - mean) / double(n));
    }
}

#define PARTIAL(T, suffix)                                                                                                       \
    KERNEL(softmax_xent_partial_##suffix, SUM_THREADS, const T* y, const u32* labels, double* partial, u32 n, u32 classes) {     \
        partial_loss(y, labels, partial, n, classes);                                                                            \
    }
FOR_REALS(PARTIAL)

#define TOTAL(T, suffix)                                                                                                         \
    KERNEL(softmax_xent_total_##suffix, SUM_THREADS, const double* partial, T* loss, u64 blocks, u32 n) {                        \
        double sum = sum_partials(partial, blocks);                                                                              \
        if (threadIdx.x == 0) loss[0] = T(sum / double(n));                                                                      \
    }
FOR_REALS(TOTAL)

#define BACKWARD(T, suffix)                                                                                                      \
    KERNEL(softmax_xent_backward_##suffix, 256, const T* y, const u32* labels, T* dy, u32 n, u32 classes) {                      \
        backward(y, labels, dy, n, classes);                                                                                     \
    }
FOR_REALS(BACKWARD)

#define BACKWARD_TANGENT(T, suffix)                                                                                              \
    KERNEL(softmax_xent_backward_tangent_##suffix, 256, const T* y, const T* y_tangent, T* dy_tangent, u32 n, u32 classes) {     \
        backward_tangent(y, y_tangent, dy_tangent, n, classes);                                                                  \
    }
FOR_REALS(BACKWARD_TANGENT)
