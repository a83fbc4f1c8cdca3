// Products of matrices, tile by tile: what gemm.cu, linear.cu and conv2d.cu share.
//
// A block of PRODUCT_THREADS threads computes a tile; block x of the grid is tile (x / tiles across, x % tiles across) of the
// product. Slices of DEPTH inner indices of both operands come to shared memory while the ones before are multiplied. Every
// element is one chain of fused multiply-adds in the order of the inner index, or, where tensor cores take f32 as tf32, bf16 or
// two of tf32, of their products slice by slice: its bits depend neither on the sizes nor on the grid, nor on which of the plain
// tiles it is.
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

template <class Tile, class Rows, class Columns> struct Chains;
template <class Numbers, class Rows, class Columns> struct Fragments;

// How the threads of a block share a tile: ACROSS side by side, each with EACH_ROWS x EACH_COLUMNS elements.
template <class T, u32 EACH_ROWS_, u32 EACH_COLUMNS_, u32 ACROSS_> struct Tile {
    using Number = T;
    template <class Rows, class Columns> using Sums = Chains<Tile, Rows, Columns>;
    // Elements beyond a line along the outer index.
    static constexpr u32 SKEW = 0;
    static constexpr u32 EACH_ROWS = EACH_ROWS_, EACH_COLUMNS = EACH_COLUMNS_, ACROSS = ACROSS_;
    static constexpr u32 DOWN = PRODUCT_THREADS / ACROSS;
    static constexpr u32 ROWS = DOWN * EACH_ROWS, COLUMNS = ACROSS * EACH_COLUMNS;
};
// 128 x 64 of f32, 64 x 32 of f64.
template <class T> using Wide = Tile<T, 32 / sizeof(T), 32 / sizeof(T), 8>;
// 128 x 16 of f32, 64 x 16 of f64.
template <class T> using Narrow = Tile<T, 4, VECTOR<T>, 16 / VECTOR<T>>;

// The numbers that tensor cores multiply: so many lie in a register, where f32 is rounded to them.
struct Tf32 {
    static constexpr u32 OF_REGISTER = 1;
    __device__ static u32 rounded(const float* numbers) { return to_tf32(numbers[0]); }
    __device__ static void multiply(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) { multiply_tf32(d, a, b); }
};
struct Bf16 {
    static constexpr u32 OF_REGISTER = 2;
    __device__ static u32 rounded(const float* numbers) { return to_bf16(numbers[0]) | u32(to_bf16(numbers[1])) << 16; }
    __device__ static void multiply(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) { multiply_bf16(d, a, b); }
};
// An f32 as the sum of two tf32 numbers.
struct F32x3;
// 128 x 64 of f32 on tensor cores, which are so much faster that products of few columns need no tile of their own.
template <class Numbers> struct Rounded : Wide<float> {
    template <class Rows, class Columns> using Sums = Fragments<Numbers, Rows, Columns>;
    // The lanes of a warp read 4 lines, 8 neighbours of each: all in different banks.
    static constexpr u32 SKEW = 8;
};

// An entry point for each tile and number type: FOR_TILES(ENTRY) with #define ENTRY(Tile, T, name of both).
#define FOR_TILES(ENTRY)                                                                                                         \
    ENTRY(Wide<float>, float, f32)                                                                                               \
    ENTRY(Wide<double>, double, f64)                                                                                             \
    ENTRY(Narrow<float>, float, narrow_f32)                                                                                      \
    ENTRY(Narrow<double>, double, narrow_f64)                                                                                    \
    ENTRY(Rounded<F32x3>, float, f32x3)                                                                                          \
    ENTRY(Rounded<Tf32>, float, tf32)                                                                                            \
    ENTRY(Rounded<Bf16>, float, bf16)

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
template <class T, class Operand, u32 TILE, u32 EACH, u32 THREADS, u32 SKEW> struct Side {
    static constexpr bool INNER = Operand::INNER;
    static constexpr u32 ALONG = INNER ? DEPTH : TILE, LINES = INNER ? TILE : DEPTH;
    // One vector more than a line, so that the lines of neighbouring threads lie in different banks.
    static constexpr u32 PITCH = INNER ? DEPTH + VECTOR<T> : TILE + SKEW;
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

    // Where in a slice an element is.
    __device__ static u32 offset(u32 o, u32 i) { return INNER ? o * PITCH + i : i * PITCH + o; }

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

// A thread's sums: of every element one chain of fused multiply-adds in the order of the inner index.
template <class Tile, class Rows, class Columns> struct Chains {
    using T = typename Tile::Number;
    static constexpr u32 EACH_ROWS = Tile::EACH_ROWS, EACH_COLUMNS = Tile::EACH_COLUMNS;
    u32 row = threadIdx.x / Tile::ACROSS, column = threadIdx.x % Tile::ACROSS;
    T sums[EACH_ROWS * EACH_COLUMNS] = {};

    // Adds the products of a slice.
    __device__ void add(const T* rows, const T* columns) {
        UNROLL
        for (u32 i = 0; i < DEPTH; i += VECTOR<T>) {
            T left[VECTOR<T> * EACH_ROWS], right[VECTOR<T> * EACH_COLUMNS];
            Rows::read(left, rows, row, i);
            Columns::read(right, columns, column, i);
            UNROLL
            for (u32 e = 0; e < VECTOR<T>; e++) {
                UNROLL
                for (u32 r = 0; r < EACH_ROWS; r++) {
                    add_scaled<EACH_COLUMNS>(sums + r * EACH_COLUMNS, left[e * EACH_ROWS + r], right + e * EACH_COLUMNS);
                }
            }
        }
    }

    // emit(line(row within the tile), column within it, sum)
    template <class Line, class Emit> __device__ void give(Line line, Emit emit) const {
        UNROLL
        for (u32 r = 0; r < EACH_ROWS; r++) {
            T* to = line(Rows::place(row, r));
            UNROLL
            for (u32 c = 0; c < EACH_COLUMNS; c++) emit(to, Columns::place(column, c), sums[r * EACH_COLUMNS + c]);
        }
    }
};

// A lane's sums of its warp's 64 x 32 elements, which are DOWN x ACROSS matrices of 16 x 8. Of a slice, a lane has every fourth
// inner index: which of them an instruction takes for which of its own is the same for both operands, and matters to no product.
template <class Numbers, class Rows, class Columns> struct Fragments {
    static constexpr u32 DOWN = 4, ACROSS = 4, OF_LANE = DEPTH / 4, REGISTERS = OF_LANE / Numbers::OF_REGISTER;
    u32 group = lane_of_thread() / 4, member = lane_of_thread() % 4;
    u32 first_row = warp_of_thread() / 2 * (DOWN * 16), first_column = warp_of_thread() % 2 * (ACROSS * 8);
    float sums[DOWN][ACROSS][4] = {};

    // A lane's numbers of a line, a row of a or a column of b, by those of its first line.
    template <class Side> __device__ static void read(float (&to)[OF_LANE], const float* first, u32 line) {
        UNROLL
        for (u32 i = 0; i < OF_LANE; i++) to[i] = first[Side::offset(line, i * 4)];
    }
    template <class Side> __device__ static void read(u32 (&to)[REGISTERS], const float* first, u32 line) {
        float numbers[OF_LANE];
        read<Side>(numbers, first, line);
        UNROLL
        for (u32 i = 0; i < REGISTERS; i++) to[i] = Numbers::rounded(numbers + i * Numbers::OF_REGISTER);
    }

    // Adds the products of a slice.
    __device__ void add(const float* rows, const float* columns) {
        rows += Rows::offset(first_row + group, member);
        columns += Columns::offset(first_column + group, member);
        u32 right[ACROSS][REGISTERS];
        UNROLL
        for (u32 c = 0; c < ACROSS; c++) read<Columns>(right[c], columns, c * 8);
        UNROLL
        for (u32 r = 0; r < DOWN; r++) {
            u32 upper[REGISTERS], lower[REGISTERS];
            read<Rows>(upper, rows, r * 16);
            read<Rows>(lower, rows, r * 16 + 8);
            UNROLL
            for (u32 i = 0; i < REGISTERS; i += 2) {
                const u32 left[4] = {upper[i], lower[i], upper[i + 1], lower[i + 1]};
                UNROLL
                for (u32 c = 0; c < ACROSS; c++) Numbers::multiply(sums[r][c], left, {right[c][i], right[c][i + 1]});
            }
        }
    }

    template <class Line, class Emit> __device__ void give(Line line, Emit emit) const {
        UNROLL
        for (u32 r = 0; r < DOWN * 2; r++) {
            float* to = line(first_row + r * 8 + group);
            UNROLL
            for (u32 c = 0; c < ACROSS * 2; c++) {
                emit(to, first_column + c / 2 * 8 + member * 2 + c % 2, sums[r / 2][c / 2][r % 2 * 2 + c % 2]);
            }
        }
    }
};

// The same of every f32 as high + low, of which three products have f32's accuracy: all but that of two low ones. Tensor cores cut
// sums off instead of rounding them, so that they sum a slice alone, from 0, and what they give is added up outside.
template <class Rows, class Columns> struct Fragments<F32x3, Rows, Columns> : Fragments<Tf32, Rows, Columns> {
    using Base = Fragments<Tf32, Rows, Columns>;
    using Base::DOWN, Base::ACROSS, Base::OF_LANE;

    struct Line {
        u32 high[OF_LANE], low[OF_LANE];
    };
    template <class Side> __device__ static Line read(const float* first, u32 line) {
        float numbers[OF_LANE];
        Base::template read<Side>(numbers, first, line);
        Line to;
        UNROLL
        for (u32 i = 0; i < OF_LANE; i++) {
            to.high[i] = to_tf32(numbers[i]);
            to.low[i] = to_tf32(numbers[i] - of_bits(to.high[i]));
        }
        return to;
    }

    __device__ void add(const float* rows, const float* columns) {
        rows += Rows::offset(this->first_row + this->group, this->member);
        columns += Columns::offset(this->first_column + this->group, this->member);
        Line right[ACROSS];
        UNROLL
        for (u32 c = 0; c < ACROSS; c++) right[c] = read<Columns>(columns, c * 8);
        UNROLL
        for (u32 r = 0; r < DOWN; r++) {
            Line upper = read<Rows>(rows, r * 16), lower = read<Rows>(rows, r * 16 + 8);
            UNROLL
            for (u32 c = 0; c < ACROSS; c++) {
                float large[4] = {}, small[4] = {};
                UNROLL
                for (u32 i = 0; i < OF_LANE; i += 2) {
                    const u32 high[4] = {upper.high[i], lower.high[i], upper.high[i + 1], lower.high[i + 1]};
                    const u32 low[4] = {upper.low[i], lower.low[i], upper.low[i + 1], lower.low[i + 1]};
                    multiply_tf32(small, high, {right[c].low[i], right[c].low[i + 1]});
                    multiply_tf32(small, low, {right[c].high[i], right[c].high[i + 1]});
                    multiply_tf32(large, high, {right[c].high[i], right[c].high[i + 1]});
                }
                UNROLL
                for (u32 k = 0; k < 4; k++) {
                    // An infinity less itself is NaN: where a factor is infinite, the large product is all there is.
                    if (is_finite(small[k])) large[k] += small[k];
                    this->sums[r][c][k] += large[k];
                }
            }
        }
    }
};

// Tiles of a product, as a grid has them.
template <class Tile> DEVICE u32 tiles_across(u32 columns) { return (columns + Tile::COLUMNS - 1) / Tile::COLUMNS; }

// emit(line(row), column, value) for every element of the block's tile of a b that is within the product; line() is where what
// belongs to a row begins. Shared memory: 2 * (ROWS + COLUMNS) * (DEPTH + VECTOR) elements.
template <class Tile, class A, class B, class Line, class Emit>
DEVICE void product(const A& a, const B& b, u32 inner_size, Line line, Emit emit) {
    using T = typename Tile::Number;
    using Rows = Side<T, A, Tile::ROWS, Tile::EACH_ROWS, Tile::DOWN, Tile::SKEW>;
    using Columns = Side<T, B, Tile::COLUMNS, Tile::EACH_COLUMNS, Tile::ACROSS, Tile::SKEW>;
    constexpr u32 LINE = DEPTH + VECTOR<T>, OF_COLUMNS = Tile::ROWS * LINE, STAGE = OF_COLUMNS + Tile::COLUMNS * LINE;
    T* shared = reinterpret_cast<T*>(shared_memory());
    u32 first_row = blockIdx.x / tiles_across<Tile>(b.size) * Tile::ROWS;
    u32 first_column = blockIdx.x % tiles_across<Tile>(b.size) * Tile::COLUMNS;
    if (first_row >= a.size) return;
    Rows rows(a, first_row);
    Columns columns(b, first_column);
    auto copy_stage = [&](u32 slice) {
        T* stage = shared + slice % 2 * STAGE;
        rows.copy(stage, slice * DEPTH);
        columns.copy(stage + OF_COLUMNS, slice * DEPTH);
    };

    typename Tile::template Sums<Rows, Columns> sums;
    u32 slices = (inner_size + DEPTH - 1) / DEPTH;
    for (u32 next = 0; next <= slices; next++) {
        if (next < slices) copy_stage(next);
        commit_copies();
        if (next == 0) continue;
        wait_copies<1>();
        __syncthreads();
        const T* stage = shared + (next - 1) % 2 * STAGE;
        sums.add(stage, stage + OF_COLUMNS);
        // The next copies overwrite what has just been read.
        __syncthreads();
    }
    sums.give([&](u32 row) { return first_row + row < a.size ? line(first_row + row) : nullptr; },
              [&](T* to, u32 column, T value) {
                  if (to && first_column + column < b.size) emit(to, first_column + column, value);
              });
}
