// C = A B, or C += A B if `add`, by strides: kernels/src/gemm. A m x k, B k x n, C m x n.
//
// Grid (n/64, m/64), both rounded up; 256 threads; 4 * 16 * 65 elements of shared memory (PRODUCT_SHARED).
#include "product.cuh"

#define FORWARD(T, suffix)                                                                                                       \
    KERNEL(gemm_forward_##suffix, PRODUCT_THREADS, const T* a, const T* b, T* c, u32 m, u32 n, u32 k, u64 a_row, u64 a_column,   \
           u64 b_row, u64 b_column, u64 c_row, u64 c_column, u32 add) {                                                          \
        product(Operand<T>{a, m, a_row, a_column}, Operand<T>{b, n, b_column, b_row}, k,                                         \
                [&](u32 row, u32 column, T value) { put(c + row * c_row + column * c_column, value, add); });                    \
    }
FOR_REALS(FORWARD)
