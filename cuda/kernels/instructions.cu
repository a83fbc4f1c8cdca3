// What dev.cuh promises, instruction by instruction, on bits of the caller's: cuda/src/instructions.rs compares what a device
// and the emulator make of them with plain arithmetic. No operator uses it.
//
// All but clusters: one block. Shared memory and sizes are those of the launches there.
#include "dev.cuh"

KERNEL(instructions_convert, 256, const float* in, u32* out, u32 n) {
    FOR_ELEMENTS(i, n) {
        out[2 * i] = to_tf32(in[i]);
        out[2 * i + 1] = to_bf16(in[i]);
    }
}

// Of each three numbers, seven results.
#define ARITHMETIC(T, suffix)                                                                                                    \
    KERNEL(instructions_arithmetic_##suffix, 256, const T* in, T* out, u32 n) {                                                  \
        FOR_ELEMENTS(i, n) {                                                                                                     \
            T a = in[3 * i], b = in[3 * i + 1], c = in[3 * i + 2], *to = out + 7 * i;                                            \
            to[0] = fused(a, b, c);                                                                                              \
            to[1] = a * b + c;                                                                                                   \
            to[2] = a / b;                                                                                                       \
            to[3] = root(a);                                                                                                     \
            to[4] = clip_factor(a, b);                                                                                           \
            to[5] = is_finite(a) ? T(1) : T(0);                                                                                  \
            to[6] = c;                                                                                                           \
            put(to + 6, a, u32(i % 2));                                                                                          \
        }                                                                                                                        \
    }
FOR_REALS(ARITHMETIC)

// out[i, lane]: the i-th exchange.
KERNEL(instructions_lanes, 32, const u32* in, u32* out) {
    u32 lane = lane_of_thread(), value = in[lane];
    bool yes = value % 2 != 0;
    out[lane] = __shfl_sync(FULL_WARP, value, 5);
    out[32 + lane] = __shfl_xor_sync(FULL_WARP, value, 3);
    out[64 + lane] = __shfl_up_sync(FULL_WARP, value, 2);
    out[96 + lane] = __shfl_down_sync(FULL_WARP, value, 2);
    out[128 + lane] = __shfl_sync(FULL_WARP, value, 9, 8);
    out[160 + lane] = __shfl_xor_sync(FULL_WARP, value, 12, 8);
    out[192 + lane] = __shfl_up_sync(FULL_WARP, value, 1, 8);
    out[224 + lane] = __shfl_down_sync(FULL_WARP, value, 1, 8);
    out[256 + lane] = __ballot_sync(FULL_WARP, yes);
    out[288 + lane] = __all_sync(FULL_WARP, yes);
    out[320 + lane] = __any_sync(FULL_WARP, yes);
    out[352 + lane] = warp_sum(value);
}

// Two sums with the same scratch memory.
#define SUM(T, suffix)                                                                                                           \
    KERNEL(instructions_sum_##suffix, 1024, const T* in, T* out) {                                                               \
        T* scratch = reinterpret_cast<T*>(shared_memory());                                                                      \
        T once = block_sum(in[threadIdx.x], scratch);                                                                            \
        out[threadIdx.x] = block_sum(in[threadIdx.x] * once, scratch);                                                           \
    }
FOR_REALS(SUM)

// The sum, the least, the greatest and the bits of all, and how many have found 0 in a place: in shared memory, then in `out`.
DEVICE void count(u32* at, u32 value) {
    atomicAdd(at, value);
    atomicMin(at + 1, value);
    atomicMax(at + 2, value);
    atomicOr(at + 3, value);
    if (atomicCAS(at + 4, 0u, value | 1) == 0) atomicAdd(at + 5, 1u);
}
KERNEL(instructions_atomics, 256, const u32* in, u32* out) {
    u32* shared = reinterpret_cast<u32*>(shared_memory());
    if (threadIdx.x < 6) shared[threadIdx.x] = out[threadIdx.x];
    block_barrier();
    count(shared, in[threadIdx.x]);
    count(out + 6, in[threadIdx.x]);
    block_barrier();
    // What a place holds in the end is the first one's.
    if (threadIdx.x < 6 && threadIdx.x != 4) out[threadIdx.x] = shared[threadIdx.x];
    if (threadIdx.x == 0) out[10] = 0;
}

// Copies of 4, 8 and 16 bytes, the last in a group of their own, where a bit of `valid` is set; else of zeros.
struct alignas(16) Four {
    u32 at[4];
};
KERNEL(instructions_copies, 32, const u32* in, u32* out, u32 valid4, u32 valid8, u32 valid16) {
    u32 *shared = reinterpret_cast<u32*>(shared_memory()), lane = lane_of_thread();
    copy_async(shared + lane, in + lane, valid4 >> lane & 1);
    copy_async(reinterpret_cast<u64*>(shared + 32) + lane, reinterpret_cast<const u64*>(in + 32) + lane, valid8 >> lane & 1);
    commit_copies();
    copy_async(reinterpret_cast<Four*>(shared + 96) + lane, reinterpret_cast<const Four*>(in + 96) + lane, valid16 >> lane & 1);
    commit_copies();
    wait_copies<1>();
    __syncwarp();
    for (u32 i = lane; i < 96; i += 32) out[i] = shared[i];
    wait_copies<0>();
    __syncwarp();
    for (u32 i = 96 + lane; i < 224; i += 32) out[i] = shared[i];
}

// c = a b' by one warp, of 16 x 8 and 8 x 8 tf32 numbers.
KERNEL(instructions_product_tf32, 32, const float* a, const float* b, float* c) {
    float* rows = reinterpret_cast<float*>(shared_memory());
    u32 lane = lane_of_thread(), left[4], right[2];
    for (u32 i = lane; i < 16 * 8; i += 32) rows[i] = a[i];
    for (u32 i = lane; i < 8 * 8; i += 32) rows[16 * 8 + i] = b[i];
    __syncwarp();
    float d[4] = {};
    load_matrices(left, rows + lane % 16 * 8 + lane / 16 * 4);
    load_matrices(right, rows + 16 * 8 + lane % 8 * 8 + lane / 8 % 2 * 4);
    UNROLL
    for (u32 i = 0; i < 4; i++) left[i] = to_tf32(of_bits(left[i]));
    UNROLL
    for (u32 i = 0; i < 2; i++) right[i] = to_tf32(of_bits(right[i]));
    multiply_tf32(d, left, right);
    UNROLL
    for (u32 i = 0; i < 4; i++) c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = d[i];
}

// The same of 16 x 16 and 8 x 16 bf16 numbers.
KERNEL(instructions_product_bf16, 32, const float* a, const float* b, float* c) {
    u16* rows = reinterpret_cast<u16*>(shared_memory());
    u32 lane = lane_of_thread(), left[4], right[2];
    for (u32 i = lane; i < 16 * 16; i += 32) rows[i] = to_bf16(a[i]);
    for (u32 i = lane; i < 8 * 16; i += 32) rows[16 * 16 + i] = to_bf16(b[i]);
    __syncwarp();
    float d[4] = {};
    load_matrices(left, rows + lane % 16 * 16 + lane / 16 * 8);
    load_matrices(right, rows + 16 * 16 + lane % 8 * 16 + lane / 8 % 2 * 8);
    multiply_bf16(d, left, right);
    UNROLL
    for (u32 i = 0; i < 4; i++) c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = d[i];
}

#if !defined(__CUDACC__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Clusters of 4 blocks: every thread takes a word of the next block of its cluster, from the other end.
KERNEL(instructions_cluster, 64, const u32* in, u32* out) {
    u32 *shared = reinterpret_cast<u32*>(shared_memory()), rank = cluster_rank(), at = blockIdx.x * 64 + threadIdx.x;
    shared[threadIdx.x] = in[at] + rank;
    cluster_barrier();
    out[at] = in_cluster(shared, (rank + 1) % 4)[63 - threadIdx.x];
    cluster_barrier();
}

// The words of a tile as they lie in shared memory.
KERNEL(instructions_tile, 32, const __grid_constant__ TensorMap map, u32* out, u32 words, int column, int row) {
    u64* barrier = reinterpret_cast<u64*>(shared_memory() + words * 4);
    if (threadIdx.x == 0) {
        barrier_init(barrier, 1);
        fence_tensors();
        barrier_arrive_expecting(barrier, words * 4);
        copy_tile(shared_memory(), &map, barrier, column, row);
    }
    __syncwarp();
    barrier_wait(barrier, 0);
    for (u32 i = threadIdx.x; i < words; i += 32) out[i] = reinterpret_cast<u32*>(shared_memory())[i];
}

constexpr u32 ROWS = 64, COLUMNS = 128, INNER = 64, STAGES = 2;
constexpr u32 TILE_A = ROWS * INNER * 2, TILE_B = COLUMNS * INNER * 2;

DEVICE void store_product(float* c, const float (&d)[64]) {
    u32 thread = threadIdx.x % 128;
    UNROLL
    for (u32 i = 0; i < 64; i++) {
        u32 row = thread / 32 * 16 + thread % 32 / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + thread % 4 * 2 + i % 2;
        c[row * COLUMNS + column] = d[i];
    }
}

// c = a b' of bf16 numbers, `slices` of 64 columns: one thread copies tiles, a warpgroup multiplies them.
KERNEL(instructions_warpgroup, 256, const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b, float* c, u32 slices) {
    u8 *tiles_a = shared_memory(), *tiles_b = tiles_a + STAGES * TILE_A;
    u64 *full = reinterpret_cast<u64*>(tiles_b + STAGES * TILE_B), *empty = full + STAGES;
    if (threadIdx.x == 0) {
        for (u32 stage = 0; stage < STAGES; stage++) {
            barrier_init(full + stage, 1);
            barrier_init(empty + stage, 128);
        }
        fence_tensors();
    }
    __syncthreads();
    if (threadIdx.x < 128) {
        for (u32 slice = 0; threadIdx.x == 0 && slice < slices; slice++) {
            u32 stage = slice % STAGES;
            barrier_wait(empty + stage, (slice / STAGES & 1) ^ 1);
            barrier_arrive_expecting(full + stage, TILE_A + TILE_B);
            // The maps' elements are pairs of numbers.
            copy_tile(tiles_a + stage * TILE_A, &a, full + stage, slice * INNER / 2, 0);
            copy_tile(tiles_b + stage * TILE_B, &b, full + stage, slice * INNER / 2, 0);
        }
        return;
    }
    float d[64] = {};
    for (u32 slice = 0; slice < slices; slice++) {
        u32 stage = slice % STAGES;
        barrier_wait(full + stage, slice / STAGES & 1);
        fence_products();
        u64 left = matrix_descriptor(tiles_a + stage * TILE_A, 1024), right = matrix_descriptor(tiles_b + stage * TILE_B, 1024);
        UNROLL
        for (u32 i = 0; i < INNER / 16; i++) multiply_64x128x16(d, left + i * 2, right + i * 2);
        commit_products();
        wait_products<0>();
        barrier_arrive(empty + stage);
    }
    store_product(c, d);
}

// The same of one slice, which the threads themselves store where the swizzle has it.
KERNEL(instructions_stored, 128, const u16* rows, float* c) {
    for (u32 i = threadIdx.x; i < (ROWS + COLUMNS) * INNER; i += 128) {
        u32 byte = i * 2;
        *reinterpret_cast<u16*>(shared_memory() + (byte ^ (byte >> 7 & 7) << 4)) = rows[i];
    }
    fence_tensors();
    __syncthreads();
    float d[64] = {};
    fence_products();
    u64 left = matrix_descriptor(shared_memory(), 1024), right = matrix_descriptor(shared_memory() + TILE_A, 1024);
    UNROLL
    for (u32 i = 0; i < INNER / 16; i++) multiply_64x128x16(d, left + i * 2, right + i * 2);
    commit_products();
    wait_products<0>();
    store_product(c, d);
}

#endif
