// The first iteration with a number that is not finite: kernels/src/divergence.
//
// One block of 256 threads with 8 u32 of shared memory. `iteration`: one number. `first`: one element,
// u32's largest while there was none.
#include "dev.cuh"

#define NOTE(T, suffix)                                                                                                          \
    KERNEL(divergence_note_##suffix, 256, const T* x, const u32* iteration, u32* first, u64 n) {                                 \
        u32 wrong = 0;                                                                                                           \
        for (u64 i = threadIdx.x; i < n; i += blockDim.x) wrong += is_finite(x[i]) ? 0 : 1;                                      \
        wrong = block_sum(wrong, reinterpret_cast<u32*>(shared_memory()));                                                       \
        if (threadIdx.x == 0 && wrong > 0 && first[0] == ~0u) first[0] = iteration[0];                                           \
    }
FOR_REALS(NOTE)
