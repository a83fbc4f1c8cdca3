// Products of matrices, tile by tile: what gemm.cu, linear.cu and conv2d.cu share.
//
// A block of PRODUCT_THREADS threads computes a tile; block x of the grid is tile (x / tiles across, x % tiles across) of the
// product. Slices of DEPTH inner indices of both operands come to shared memory while the ones before are multiplied. Every
// element is one chain of fused multiply-adds in the order of the inner index, so that its bits depend neither on the sizes
// nor on the tile nor on the grid.
//
// An operand has
//   INNER              whether its neighbours in memory are those along the inner index, else along the outer one, which counts
//                      the rows of a or the columns of b
//   start, size        its memory, and its outer indices
//   vectors            whether VECTOR neighbours, from a multiple of VECTOR on, are aligned and all there or all not
//   outer(o), inner(i) what at() needs of an index, once for many elements
//   at(outer, inner)   where the element is; null for a zero
#pragma once
#include "dev.cuh"

constexpr u32 PRODUCT_THREADS = 128;
constexpr u32 DEPTH = 16;

// Elements of 16 bytes, which are copied and read at once.
template <class T> constexpr u32 VECTOR = 16 / sizeof(T);
template <class T> struct alignas(16) Vector {
    T at[VECTOR<T>];
};

// How the threads of a block share a tile: ACROSS side by side, each with EACH_ROWS x EACH_COLUMNS elements.
template <class T, u32 EACH_ROWS_, u32 EACH_COLUMNS_, u32 ACROSS_> struct Tile {
    using Number = T;
    static constexpr u32 EACH_ROWS = EACH_ROWS_, EACH_COLUMNS = EACH_COLUMNS_, ACROSS = ACROSS_;
    static constexpr u32 DOWN = PRODUCT_THREADS / ACROSS;
    static constexpr u32 ROWS = DOWN * EACH_ROWS, COLUMNS = ACROSS * EACH_COLUMNS;
};
// 128 x 64 of f32, 64 x 32 of f64.
template <class T> using Wide = Tile<T, 32 / sizeof(T), 32 / sizeof(T), 8>;
// 128 x 16 of f32, 64 x 16 of f64.
template <class T> using Narrow = Tile<T, 4, VECTOR<T>, 16 / VECTOR<T>>;

// An entry point for each tile and number type: FOR_TILES(ENTRY) with #define ENTRY(Tile, T, name of both).
#define FOR_TILES(ENTRY)                                                                                                         \
    ENTRY(Wide<float>, float, f32)                                                                                               \
    ENTRY(Wide<double>, double, f64)                                                                                             \
    ENTRY(Narrow<float>, float, narrow_f32)                                                                                      \
    ENTRY(Narrow<double>, double, narrow_f64)

constexpr u64 ABSENT = ~0ull;

// Whether neighbours from a multiple of VECTOR on are aligned and all there or all not, in lines that are `stride` apart.
template <class T> DEVICE bool in_vectors(const T* start, u64 neighbours, u64 stride) {
    return reinterpret_cast<u64>(start) % 16 == 0 && neighbours % VECTOR<T> == 0 && stride % VECTOR<T> == 0;
}

// A matrix by strides.
template <class T, bool INNER_> struct Matrix {
    static constexpr bool INNER = INNER_;
    using Outer = const T*;
    using Inner = u64;
    const T* start;
    u32 size, inner_size;
    u64 outer_stride, inner_stride;
    bool vectors;

    __device__ Matrix(const T* start, u32 size, u32 inner_size, u64 outer_stride, u64 inner_stride)
        : start(start), size(size), inner_size(inner_size), outer_stride(outer_stride), inner_stride(inner_stride),
          vectors((INNER ? inner_stride : outer_stride) == 1 &&
                  in_vectors(start, INNER ? inner_size : size, INNER ? outer_stride : inner_stride)) {}
    __device__ Outer outer(u32 o) const { return o < size ? start + o * outer_stride : nullptr; }
    __device__ Inner inner(u32 i) const { return i < inner_size ? i * inner_stride : ABSENT; }
    __device__ const T* at(Outer outer, Inner inner) const { return outer && inner != ABSENT ? outer + inner : nullptr; }
};

// One side of a product: TILE outer indices of an operand, EACH of them for a thread, which is one of THREADS along this side.
template <class T, class Operand, u32 TILE, u32 EACH, u32 THREADS> struct Side {
    static constexpr bool INNER = Operand::INNER;
    static constexpr u32 ALONG = INNER ? DEPTH : TILE, LINES = INNER ? TILE : DEPTH;
    // One vector more than a line, so that the lines of neighbouring threads lie in different banks.
    static constexpr u32 PITCH = INNER ? DEPTH + VECTOR<T> : TILE;
    // Vectors of a line, and lines that the block copies at once.
    static constexpr u32 VECTORS = ALONG / VECTOR<T>, AT_ONCE = PRODUCT_THREADS / VECTORS;
    static constexpr u32 ROUNDS = (LINES + AT_ONCE - 1) / AT_ONCE, OUTERS = INNER ? ROUNDS : 1;

    const Operand& from;
    u32 first, line, along;
    typename Operand::Outer outers[OUTERS];

    __device__ Side(const Operand& from, u32 first)
        : from(from), first(first), line(threadIdx.x / VECTORS), along(threadIdx.x % VECTORS * VECTOR<T>) {
        UNROLL
        for (u32 round = 0; round < OUTERS; round++) outers[round] = from.outer(first + (INNER ? line + round * AT_ONCE : along));
    }

    template <class E> __device__ void start_copy(T* to, const T* element) const {
        copy_async(reinterpret_cast<E*>(to), reinterpret_cast<const E*>(element ? element : from.start), element != nullptr);
    }

    // Starts copying the slice from an inner index on, line by line.
    __device__ void copy(T* slice, u32 first_inner) const {
        if (from.vectors) {
            copy_elements<Vector<T>>(slice, first_inner, 0);
        } else {
            for (u32 element = 0; element < VECTOR<T>; element++) copy_elements<T>(slice, first_inner, element);
        }
    }

    // The same of the vectors, or of one element of each.
    template <class E> __device__ void copy_elements(T* slice, u32 first_inner, u32 element) const {
        u32 place = along + element;
        if (INNER) {
            auto inner = from.inner(first_inner + place);
            UNROLL
            for (u32 round = 0; round < ROUNDS; round++) {
                u32 o = line + round * AT_ONCE;
                if (o < TILE) start_copy<E>(slice + o * PITCH + place, from.at(outers[INNER ? round : 0], inner));
            }
        } else {
            auto outer = element == 0 ? outers[0] : from.outer(first + place);
            UNROLL
            for (u32 round = 0; round < ROUNDS; round++) {
                u32 i = line + round * AT_ONCE;
                if (i < DEPTH) start_copy<E>(slice + i * PITCH + place, from.at(outer, from.inner(first_inner + i)));
            }
        }
    }

    // Where in the tile one of a thread's elements is: threads take turns, along the outer index vector by vector.
    __device__ static u32 place(u32 thread, u32 k) {
        return INNER ? thread + k * THREADS : (k / VECTOR<T> * THREADS + thread) * VECTOR<T> + k % VECTOR<T>;
    }

    // A thread's elements at VECTOR inner indices from i on, EACH of them for each.
    __device__ static void read(T* to, const T* slice, u32 thread, u32 i) {
        UNROLL
        for (u32 k = 0; k < (INNER ? EACH : VECTOR<T>); k++) {
            UNROLL
            for (u32 group = 0; group < (INNER ? 1 : EACH / VECTOR<T>); group++) {
                u32 offset = INNER ? place(thread, k) * PITCH + i : (i + k) * PITCH + place(thread, group * VECTOR<T>);
                Vector<T> vector = *reinterpret_cast<const Vector<T>*>(slice + offset);
                const T* elements = vector.at;
                UNROLL
                for (u32 e = 0; e < VECTOR<T>; e++) to[INNER ? e * EACH + k : k * EACH + group * VECTOR<T> + e] = elements[e];
            }
        }
    }
};

// sums += factor * row, by pointers, so that the emulator's compiler checks no index and uses vectors.
template <u32 N, class T> DEVICE void add_scaled(T* sums, T factor, const T* row) {
    UNROLL
    for (u32 c = 0; c < N; c++) sums[c] = fused(factor, row[c], sums[c]);
}

// Tiles of a product, as a grid has them.
template <class Tile> DEVICE u32 tiles_across(u32 columns) { return (columns + Tile::COLUMNS - 1) / Tile::COLUMNS; }

// emit(row, column, value) for every element of the block's tile of a b that is within the product. Shared memory:
// 2 * (ROWS + COLUMNS) * (DEPTH + VECTOR) elements.
template <class Tile, class A, class B, class Emit> DEVICE void product(const A& a, const B& b, u32 inner_size, Emit emit) {
    using T = typename Tile::Number;
    constexpr u32 EACH_ROWS = Tile::EACH_ROWS, EACH_COLUMNS = Tile::EACH_COLUMNS;
    using Rows = Side<T, A, Tile::ROWS, EACH_ROWS, Tile::DOWN>;
    using Columns = Side<T, B, Tile::COLUMNS, EACH_COLUMNS, Tile::ACROSS>;
    constexpr u32 LINE = DEPTH + VECTOR<T>, OF_COLUMNS = Tile::ROWS * LINE, STAGE = OF_COLUMNS + Tile::COLUMNS * LINE;
    T* shared = reinterpret_cast<T*>(shared_memory());
    u32 first_row = blockIdx.x / tiles_across<Tile>(b.size) * Tile::ROWS;
    u32 first_column = blockIdx.x % tiles_across<Tile>(b.size) * Tile::COLUMNS;
    if (first_row >= a.size) return;
    u32 row = threadIdx.x / Tile::ACROSS, column = threadIdx.x % Tile::ACROSS;
    Rows rows(a, first_row);
    Columns columns(b, first_column);
    auto copy_stage = [&](u32 slice) {
        T* stage = shared + slice % 2 * STAGE;
        rows.copy(stage, slice * DEPTH);
        columns.copy(stage + OF_COLUMNS, slice * DEPTH);
    };

    T sums[EACH_ROWS * EACH_COLUMNS] = {};
    u32 slices = (inner_size + DEPTH - 1) / DEPTH;
    for (u32 next = 0; next <= slices; next++) {
        if (next < slices) copy_stage(next);
        commit_copies();
        if (next == 0) continue;
        wait_copies<1>();
        __syncthreads();
        const T* stage = shared + (next - 1) % 2 * STAGE;
        UNROLL
        for (u32 i = 0; i < DEPTH; i += VECTOR<T>) {
            T left[VECTOR<T> * EACH_ROWS], right[VECTOR<T> * EACH_COLUMNS];
            Rows::read(left, stage, row, i);
            Columns::read(right, stage + OF_COLUMNS, column, i);
            UNROLL
            for (u32 e = 0; e < VECTOR<T>; e++) {
                UNROLL
                for (u32 r = 0; r < EACH_ROWS; r++) {
                    add_scaled<EACH_COLUMNS>(sums + r * EACH_COLUMNS, left[e * EACH_ROWS + r], right + e * EACH_COLUMNS);
                }
            }
        }
        // The next copies overwrite what has just been read.
        __syncthreads();
    }
    UNROLL
    for (u32 r = 0; r < EACH_ROWS; r++) {
        UNROLL
        for (u32 c = 0; c < EACH_COLUMNS; c++) {
            u32 to_row = first_row + Rows::place(row, r), to_column = first_column + Columns::place(column, c);
            if (to_row < a.size && to_column < b.size) emit(to_row, to_column, sums[r * EACH_COLUMNS + c]);
        }
    }
}
