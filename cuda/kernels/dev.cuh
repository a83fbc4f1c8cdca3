// What kernels are written with: the only file with inline PTX. Whatever is not plain C++ is here twice, for the device and
// for the emulator (../emulator).
//
// All shared memory is dynamic, so that its size is the launch's and the emulator sees its ends. Sums use fma() by name: the
// compilers contract nothing on their own, so that the emulator's sums have the device's bits.
#pragma once

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

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

#else

#include "emulator.h"

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

#endif

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

// `out = value`, or `out = out + value` if `add`.
template <class T> DEVICE void put(T* out, T value, u32 add) { *out = add ? *out + value : value; }

// The elements of this thread, `i` below `n`, in steps of the whole grid.
#define FOR_ELEMENTS(i, n)                                                                                                       \
    for (u64 i = blockIdx.x * static_cast<u64>(blockDim.x) + threadIdx.x; i < (n); i += static_cast<u64>(gridDim.x) * blockDim.x)

// ---- sums of a block, in an order that depends on nothing but the number of threads ----

constexpr u32 FULL_WARP = 0xffffffff;

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
    u32 warps = blockDim.x / 32;
    if (warps == 1) return value;
    u32 lane = threadIdx.x % 32;
    if (lane == 0) scratch[threadIdx.x / 32] = value;
    __syncthreads();
    value = warp_sum(lane < warps ? scratch[lane] : T(0));
    __syncthreads();
    return value;
}
