// What kernels are written with: the only file with inline PTX. Whatever is not plain C++ is here twice, for the device and
// for the emulator (../emulator).
//
// All shared memory is dynamic, so that its size is the launch's and the emulator sees its ends. Sums use fma() by name: the
// compilers contract nothing on their own, so that the emulator's sums have the device's bits.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

// What cuTensorMapEncodeTiled makes; a parameter by value, `const __grid_constant__ TensorMap`.
struct alignas(64) TensorMap {
    u64 opaque[16];
};

#if defined(__CUDACC__)

#define DEVICE __device__ __forceinline__
#define UNROLL _Pragma("unroll")

// An entry point: KERNEL(name, the most threads of a block, parameters) { body }
#define KERNEL(name, threads, ...) extern "C" __global__ void __launch_bounds__(threads, 1) name(__VA_ARGS__)

extern __shared__ __align__(1024) u8 dynamic_shared[];
DEVICE u8* shared_memory() { return dynamic_shared; }

DEVICE u32 shared_address(const void* generic) { return static_cast<u32>(__cvta_generic_to_shared(generic)); }

// Starts a copy of one element, of 4, 8 or 16 bytes, to shared memory; if not `valid`, of zeros, and `from` is not read.
template <class T> DEVICE void copy_async(T* to, const T* from, bool valid) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8 || sizeof(T) == 16, "an asynchronous copy has 4, 8 or 16 bytes");
    u32 bytes = valid ? sizeof(T) : 0;
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(to)), "l"(from), "n"(sizeof(T)), "r"(bytes)
                 : "memory");
}

// The copies that this thread has started since the last commit become a group.
DEVICE void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most so many of this thread's groups are under way.
template <int GROUPS> DEVICE void wait_copies() { asm volatile("cp.async.wait_group %0;" ::"n"(GROUPS) : "memory"); }

// A number that the compiler does not know to be the same: what follows from it is computed anew, not kept.
DEVICE u32 unknown(u32 number) {
    asm volatile("" : "+r"(number));
    return number;
}

DEVICE u32 bits_of(float x) { return __float_as_uint(x); }
DEVICE float of_bits(u32 bits) { return __uint_as_float(bits); }

// The sine and cosine of 2 pi x.
DEVICE double sine_of_turns(double x) { return sinpi(2.0 * x); }
DEVICE double cosine_of_turns(double x) { return cospi(2.0 * x); }

// Bits of the nearest tf32, ties away from zero.
DEVICE u32 to_tf32(float x) {
    u32 bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
}

// Bits of the nearest bf16, ties to even.
DEVICE u16 to_bf16(float x) {
    u16 bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}

// d += a b by a warp: 16 x 8 sums over 8 tf32 numbers.
DEVICE void multiply_tf32(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// d += a b by a warp: 16 x 8 sums over 16 bf16 numbers.
DEVICE void multiply_bf16(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Two or four 8 x 8 matrices of 16-bit numbers; lane 8 i + r gives row r of matrix i, 16 bytes aligned to as many.
DEVICE void load_matrices(u32 (&to)[2], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(to[0]), "=r"(to[1])
                 : "r"(shared_address(row))
                 : "memory");
}
DEVICE void load_matrices(u32 (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// ---- Hopper: for sm_90a only, and compiled only where a kernel calls them ----

// Makes a barrier in shared memory whose phases end with so many arrivals and the bytes they expect. It must be fenced before
// a copy uses it, and a block's barrier must come before another thread does.
DEVICE void barrier_init(u64* barrier, u32 arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}

DEVICE void barrier_arrive(u64* barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}

// Arrives, and lets the phase wait for so many bytes of copies.
DEVICE void barrier_arrive_expecting(u64* barrier, u32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes) : "memory");
}

// Waits for the end of the phase of this parity, 0 for the first.
DEVICE void barrier_wait(u64* barrier, u32 parity) {
    asm volatile("{\n"
                 ".reg .pred done;\n"
                 "wait: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
                 "@done bra end;\n"
                 "bra wait;\n"
                 "end:\n"
                 "}" ::"r"(shared_address(barrier)),
                 "r"(parity)
                 : "memory");
}

// Lets copies of tiles and products of warpgroups see what this thread has stored in shared memory.
DEVICE void fence_tensors() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// Starts a copy of a box of the map's matrix, from this column and row, to shared memory; its bytes arrive at the barrier.
DEVICE void copy_tile(void* to, const TensorMap* map, u64* barrier, int column, int row) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(
                     shared_address(to)),
                 "l"(reinterpret_cast<u64>(map)), "r"(shared_address(barrier)), "r"(column), "r"(row)
                 : "memory");
}

// Before a warpgroup's first product, and after a thread has written sums itself.
DEVICE void fence_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int GROUPS> DEVICE void wait_products() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(GROUPS) : "memory"); }

// Starts d += a b by a warpgroup: 64 x 128 sums over 16 bf16 numbers, by descriptors of matrices in shared memory.
DEVICE void multiply_64x128x16(float (&d)[64], u64 a, u64 b) {
#define FOUR(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
                 "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,"
                 "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,"
                 "%61,%62,%63}, %64, %65, 1, 1, 1, 0, 0;"
                 : FOUR(0), FOUR(4), FOUR(8), FOUR(12), FOUR(16), FOUR(20), FOUR(24), FOUR(28), FOUR(32), FOUR(36), FOUR(40),
                   FOUR(44), FOUR(48), FOUR(52), FOUR(56), FOUR(60)
                 : "l"(a), "l"(b));
#undef FOUR
}

// Which block of the cluster this is; waiting for all its threads; where the same place is in another block of it.
DEVICE u32 cluster_rank() {
    u32 rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}
DEVICE void cluster_barrier() {
    asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
}
template <class T> DEVICE T* in_cluster(T* shared, u32 rank) {
    u64 address;
    asm("mapa.u64 %0, %1, %2;" : "=l"(address) : "l"(shared), "r"(rank));
    return reinterpret_cast<T*>(address);
}

#else

#include "emulator.h"
#include "tensor.h"

#define DEVICE static inline
#define UNROLL

#define KERNEL(name, threads, ...)                                                                                               \
    extern "C" void name(__VA_ARGS__);                                                                                           \
    static const emulator::Kernel kernel_##name(#name, threads, name);                                                           \
    extern "C" void name(__VA_ARGS__)

DEVICE u8* shared_memory() { return emulator::current->block->shared; }

template <class T> DEVICE void copy_async(T* to, const T* from, bool valid) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8 || sizeof(T) == 16, "an asynchronous copy has 4, 8 or 16 bytes");
    emulator::copy_async(to, from, valid ? sizeof(T) : 0, sizeof(T));
}

DEVICE void commit_copies() { emulator::commit_copies(); }

template <int GROUPS> DEVICE void wait_copies() { emulator::wait_copies(GROUPS); }

DEVICE u32 unknown(u32 number) { return number; }

DEVICE u32 bits_of(float x) {
    u32 bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

DEVICE float of_bits(u32 bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

DEVICE double sine_of_turns(double x) { return sin(6.283185307179586 * x); }
DEVICE double cosine_of_turns(double x) { return cos(6.283185307179586 * x); }

DEVICE u32 to_tf32(float x) { return x != x ? 0x7fffffff : (bits_of(x) + 0x1000) & ~0x1fffu; }

DEVICE u16 to_bf16(float x) {
    u32 bits = bits_of(x);
    return x != x ? 0x7fff : u16((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

DEVICE void multiply_tf32(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) { emulator::multiply_tf32(d, a, b); }
DEVICE void multiply_bf16(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) { emulator::multiply_bf16(d, a, b); }
DEVICE void load_matrices(u32 (&to)[2], const void* row) { emulator::load_matrices(to, row, 2); }
DEVICE void load_matrices(u32 (&to)[4], const void* row) { emulator::load_matrices(to, row, 4); }

DEVICE emulator::Tensors& tensors() { return *emulator::current->block->tensors; }
DEVICE u32 shared_address(const void* generic) { return emulator::shared_offset(generic, 1, "an address"); }

DEVICE void barrier_init(u64* barrier, u32 arrivals) { tensors().barrier_init(barrier, arrivals); }
DEVICE void barrier_arrive(u64* barrier) { tensors().barrier_arrive(barrier, 0); }
DEVICE void barrier_arrive_expecting(u64* barrier, u32 bytes) { tensors().barrier_arrive(barrier, bytes); }
DEVICE void barrier_wait(u64* barrier, u32 parity) { tensors().barrier_wait(barrier, parity); }
DEVICE void fence_tensors() { emulator::fence_proxy(); }
DEVICE void copy_tile(void* to, const TensorMap* map, u64* barrier, int column, int row) {
    emulator::TensorMap decoded;
    std::memcpy(&decoded, map, sizeof decoded);
    tensors().copy_tile(to, decoded, barrier, column, row);
}

DEVICE void fence_products() { tensors().fence_registers(); }
DEVICE void commit_products() { tensors().commit(); }
template <int GROUPS> DEVICE void wait_products() { tensors().wait(GROUPS); }
DEVICE void multiply_64x128x16(float (&d)[64], u64 a, u64 b) { tensors().multiply(d, a, b, 128, true); }

DEVICE u32 cluster_rank() { return emulator::current->block->rank; }
DEVICE void cluster_barrier() { emulator::cluster_barrier(); }
template <class T> DEVICE T* in_cluster(T* shared, u32 rank) { return static_cast<T*>(emulator::in_cluster(shared, rank)); }

#endif

// The descriptor of a matrix in shared memory for products of warpgroups: rows of 64 bf16, in groups of 8 with the swizzle of
// 128 bytes, `group_bytes` apart. Another 16 columns of it are 32 bytes, 2 in the descriptor's units, further.
DEVICE u64 matrix_descriptor(const void* start, u32 group_bytes) {
    return u64((shared_address(start) & 0x3ffff) >> 4) | u64(1) << 16 | u64(group_bytes >> 4) << 32 | u64(1) << 62;
}

// ---- numbers ----

// An entry point for each number type: FOR_REALS(ENTRY) with #define ENTRY(T, name of the type).
#define FOR_REALS(ENTRY) ENTRY(float, f32) ENTRY(double, f64)

DEVICE float fused(float a, float b, float c) { return fmaf(a, b, c); }
DEVICE double fused(double a, double b, double c) { return ::fma(a, b, c); }
DEVICE float root(float x) { return sqrtf(x); }
DEVICE double root(double x) { return ::sqrt(x); }
// False for NaN and infinities.
DEVICE bool is_finite(float x) { return fabsf(x) <= 3.40282346638528859812e38f; }
DEVICE bool is_finite(double x) { return ::fabs(x) <= 1.79769313486231570815e308; }

// The factor of a gradient of this norm that is not to be longer than `clip`: 1 for a NaN norm, as kernels/src/clip has it.
template <class T> DEVICE T clip_factor(T clip, T norm) {
    norm = norm + T(1e-6);
    return clip < norm ? clip / norm : T(1);
}

// `out = value`, or `out = out + value` if `add`.
template <class T> DEVICE void put(T* out, T value, u32 add) { *out = add ? *out + value : value; }

// The elements of this thread, `i` below `n`, in steps of the whole grid.
#define FOR_ELEMENTS(i, n)                                                                                                       \
    for (u64 i = blockIdx.x * static_cast<u64>(blockDim.x) + threadIdx.x; i < (n); i += static_cast<u64>(gridDim.x) * blockDim.x)

// ---- sums of a block, in an order that depends on nothing but the number of threads ----

constexpr u32 FULL_WARP = 0xffffffff;

DEVICE u32 lane_of_thread() { return threadIdx.x % 32; }
DEVICE u32 warp_of_thread() { return threadIdx.x / 32; }
DEVICE u32 warps_of_block() { return blockDim.x / 32; }

// Waits for all threads of a block.
DEVICE void block_barrier() {
    // A warp alone need not ask the block's scheduler.
    if (blockDim.x == 32) {
        __syncwarp();
    } else {
        __syncthreads();
    }
}

// The sum over the lanes of a full warp, the same bits in each.
template <class T> DEVICE T warp_sum(T value) {
    UNROLL
    for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(FULL_WARP, value, distance);
    return value;
}

// The sum over the threads of a block of full warps, at most 32, the same bits in each. `scratch`: an element per warp; it is
// free again when the last thread has returned.
template <class T> DEVICE T block_sum(T value, T* scratch) {
    value = warp_sum(value);
    if (warps_of_block() == 1) return value;
    if (lane_of_thread() == 0) scratch[warp_of_thread()] = value;
    __syncthreads();
    value = warp_sum(lane_of_thread() < warps_of_block() ? scratch[lane_of_thread()] : T(0));
    __syncthreads();
    return value;
}
