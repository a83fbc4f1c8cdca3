// C = A B, or C += A B if `add`, by strides: kernels/src/gemm. A m x k, B k x n, C m x n.
//
// One block of 128 threads for a tile, and its shared memory: product.cuh.
#include "product.cuh"

// Of each operand, the index along which it is contiguous, if it is along one, decides how it is copied.
template <class Tile, class T, bool A_INNER, bool B_INNER>
DEVICE void forward(const T* a, const T* b, T* c, u32 m, u32 n, u32 k, u64 a_row, u64 a_column, u64 b_row, u64 b_column,
                    u64 c_row, u64 c_column, u32 add) {
    product<Tile>(Matrix<T, A_INNER>(a, m, k, a_row, a_column), Matrix<T, B_INNER>(b, n, k, b_column, b_row), k,
                  [&](u32 row) { return c + row * c_row; },
                  [&](T* to, u32 column, T value) { put(to + column * c_column, value, add); });
}

#define ARGUMENTS a, b, c, m, n, k, a_row, a_column, b_row, b_column, c_row, c_column, add

#define FORWARD(Tile, T, suffix)                                                                                                 \
    KERNEL(gemm_forward_##suffix, PRODUCT_THREADS, const T* a, const T* b, T* c, u32 m, u32 n, u32 k, u64 a_row, u64 a_column,   \
           u64 b_row, u64 b_column, u64 c_row, u64 c_column, u32 add) {                                                          \
        if (a_row != 1) {                                                                                                        \
            if (b_column != 1) {                                                                                                 \
                forward<Tile, T, true, true>(ARGUMENTS);                                                                         \
            } else {                                                                                                             \
                forward<Tile, T, true, false>(ARGUMENTS);                                                                        \
            }                                                                                                                    \
        } else if (b_column != 1) {                                                                                              \
            forward<Tile, T, false, true>(ARGUMENTS);                                                                            \
        } else {                                                                                                                 \
            forward<Tile, T, false, false>(ARGUMENTS);                                                                           \
        }                                                                                                                        \
    }
FOR_TILES(FORWARD)
