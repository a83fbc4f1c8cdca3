// Products of matrices, tile by tile: what gemm.cu and linear.cu share.
//
// A block of PRODUCT_THREADS threads computes a tile of TILE x TILE elements; the grid is (columns/TILE, rows/TILE), both
// rounded up. Slices of DEPTH columns of a and rows of b come to shared memory while the ones before are multiplied. Every
// element is one chain of fused multiply-adds in the order of the inner index, so that its bits depend neither on the sizes
// nor on the grid. Shared memory: PRODUCT_SHARED elements.
#pragma once
#include "dev.cuh"

constexpr u32 PRODUCT_THREADS = 256;
constexpr u32 TILE = 64;
constexpr u32 DEPTH = 16;
// One more than a tile, so that neither copies along the inner index nor products meet in one bank.
constexpr u32 PITCH = TILE + 1;
constexpr u32 SLICE = DEPTH * PITCH;
// Two stages of a slice of a and one of b.
constexpr u32 PRODUCT_SHARED = 4 * SLICE;
// A thread's elements lie SIDE rows and columns apart.
constexpr u32 SIDE = 16;
constexpr u32 EACH = TILE / SIDE;

// A matrix by strides, as an operand of a product: `outer` indexes the rows of a or the columns of b.
template <class T> struct Operand {
    const T* start;
    u32 size;
    u64 outer, inner;
};

// Starts copying a slice: slice[i * PITCH + o] = the element (first_outer + o, first_inner + i), 0 beyond the matrix.
template <class T> DEVICE void copy_slice(T* slice, const Operand<T>& from, u32 first_outer, u32 first_inner, u32 inner_size) {
    // Neighbouring threads read neighbouring elements.
    bool along_inner = from.inner == 1;
    UNROLL
    for (u32 element = threadIdx.x; element < TILE * DEPTH; element += PRODUCT_THREADS) {
        u32 o = along_inner ? element / DEPTH : element % TILE;
        u32 i = along_inner ? element % DEPTH : element / TILE;
        bool valid = first_outer + o < from.size && first_inner + i < inner_size;
        u64 offset = valid ? (first_outer + o) * from.outer + (first_inner + i) * from.inner : 0;
        copy_async(slice + i * PITCH + o, from.start + offset, valid);
    }
}

// emit(row, column, value) for every element of the block's tile of a b that is within the product.
template <class T, class Emit> DEVICE void product(const Operand<T>& a, const Operand<T>& b, u32 inner_size, Emit emit) {
    T* shared = reinterpret_cast<T*>(shared_memory());
    u32 first_row = blockIdx.y * TILE, first_column = blockIdx.x * TILE;
    u32 row = threadIdx.x / SIDE, column = threadIdx.x % SIDE;
    auto copy_stage = [&](u32 slice) {
        T* stage = shared + slice % 2 * 2 * SLICE;
        copy_slice(stage, a, first_row, slice * DEPTH, inner_size);
        copy_slice(stage + SLICE, b, first_column, slice * DEPTH, inner_size);
    };

    T sums[EACH][EACH] = {};
    u32 slices = (inner_size + DEPTH - 1) / DEPTH;
    copy_stage(0);
    commit_copies();
    for (u32 slice = 0; slice < slices; slice++) {
        if (slice + 1 < slices) copy_stage(slice + 1);
        commit_copies();
        wait_copies<1>();
        __syncthreads();
        const T* stage_a = shared + slice % 2 * 2 * SLICE;
        const T* stage_b = stage_a + SLICE;
        UNROLL
        for (u32 i = 0; i < DEPTH; i++) {
            T left[EACH], right[EACH];
            UNROLL
            for (u32 k = 0; k < EACH; k++) {
                left[k] = stage_a[i * PITCH + row + k * SIDE];
                right[k] = stage_b[i * PITCH + column + k * SIDE];
            }
            UNROLL
            for (u32 r = 0; r < EACH; r++) {
                UNROLL
                for (u32 c = 0; c < EACH; c++) sums[r][c] = fused(left[r], right[c], sums[r][c]);
            }
        }
        // The next copies overwrite what has just been read.
        __syncthreads();
    }
    UNROLL
    for (u32 r = 0; r < EACH; r++) {
        UNROLL
        for (u32 c = 0; c < EACH; c++) {
            u32 to_row = first_row + row + r * SIDE, to_column = first_column + column + c * SIDE;
            if (to_row < a.size && to_column < b.size) emit(to_row, to_column, sums[r][c]);
        }
    }
}
