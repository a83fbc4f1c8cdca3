// Runs CUDA C++ kernels on the host: what a kernel's source sees of the emulator.
//
// A CUDA thread is a fiber. Fibers switch only where a kernel synchronises (barrier, shuffle, wait for an asynchronous copy),
// so that a run is deterministic; HANDGRAD_EMULATOR_SEED permutes their order. What a device reports late or never is an error
// here at once: a deadlock, memory out of bounds, too many threads. A failed launch prints one report and stops; the process
// goes on.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#if !defined(__x86_64__) || defined(__SANITIZE_ADDRESS__)
#define EMULATOR_UCONTEXT 1
#include <ucontext.h>
#endif

namespace emulator {

struct Index {
    unsigned x = 1, y = 1, z = 1;
};

constexpr unsigned WARP = 32;
constexpr unsigned MAX_THREADS = 1024;
constexpr unsigned BARRIERS = 16;

// What a block may use of the shared memory of a multiprocessor: without asking, and at most.
constexpr unsigned SHARED_BY_DEFAULT = 48 * 1024;
constexpr unsigned SHARED_AT_MOST = 227 * 1024;

// ---- kernels ----

struct Parameter {
    unsigned size, alignment;
    bool pointer;
};

// A kernel of the table that the driver looks names up in. Each source file adds its own when the library is loaded.
struct Kernel {
    const char* name;
    unsigned most_threads;
    std::vector<Parameter> parameters;
    void (*function)();
    void (*call)(void (*function)(), void* const* arguments);
    const Kernel* next;

    template <class... A>
    Kernel(const char* name, unsigned most_threads, void (*function)(A...))
        : name(name), most_threads(most_threads), parameters{{sizeof(A), alignof(A), std::is_pointer<A>::value}...},
          function(reinterpret_cast<void (*)()>(function)), call(invoke<A...>), next(first) {
        first = this;
    }

    static const Kernel* first;

  private:
    template <class... A, std::size_t... I>
    static void spread(void (*function)(A...), void* const* arguments, std::index_sequence<I...>) {
        function(*static_cast<A*>(arguments[I])...);
    }

    template <class... A> static void invoke(void (*function)(), void* const* arguments) {
        spread(reinterpret_cast<void (*)(A...)>(function), arguments, std::index_sequence_for<A...>{});
    }
};

// ---- threads and blocks ----

// Threads that wait for one another. The generation counts how often they have all come.
struct Barrier {
    uint32_t generation = 0;
    unsigned arrived = 0;
    // The warps they are of.
    uint32_t warps = 0;
};

// Lanes of one warp that exchange values: the last one to come acts on what each has put in its slot.
struct Meeting {
    uint32_t generation = 0;
    uint32_t arrived = 0;
    uint32_t mask = 0;
    void (*act)(Meeting&) = nullptr;
    void* slot[WARP] = {};
};

struct Warp {
    uint32_t live = 0;
    std::vector<std::unique_ptr<Meeting>> meetings;
};

// `bytes` bytes on their way to shared memory, and zeros after them up to `filled`.
struct Copy {
    void* to;
    const void* from;
    unsigned bytes, filled;
};

struct Block;
class Races;
class Tensors;

struct Thread {
    Index index;
    unsigned linear = 0;
    Block* block = nullptr;
    bool done = false;
    bool started = false;
    // While *word is value, there is nothing for this thread to do, for this reason.
    const uint32_t* word = nullptr;
    uint32_t value = 0;
    const char* reason = "";
    // Asynchronous copies that have not landed, in order; where each committed group of them ends.
    std::vector<Copy> copies;
    std::vector<std::size_t> groups;
#ifdef EMULATOR_UCONTEXT
    ucontext_t context;
#else
    void* stack_pointer = nullptr;
#endif
    unsigned char* stack = nullptr;

    unsigned lane() const { return linear % WARP; }
    Warp& warp();
};

// Blocks that run together and may use each other's shared memory, x first.
struct Cluster {
    Barrier barrier;
    std::vector<Block*> blocks;
};

struct Block {
    Index index, size, grid;
    // The cluster's size in blocks, and the place of this one in it.
    Index cluster_size;
    unsigned rank = 0;
    Cluster* cluster = nullptr;
    unsigned threads = 0, live = 0;
    unsigned char* shared = nullptr;
    std::size_t shared_bytes = 0;
    Barrier barriers[BARRIERS];
    std::vector<Warp> warps;
    // Whether asynchronous copies land only where they are waited for.
    bool late = false;
    Races* races = nullptr;
    Tensors* tensors = nullptr;
};

inline Warp& Thread::warp() { return block->warps[linear / WARP]; }

// The thread that runs. Initial-exec: threadIdx is read too often for a call each time.
extern __thread Thread* current __attribute__((tls_model("initial-exec")));

// Ends the launch with a report: the message, the kernel, the block and the thread.
[[noreturn]] __attribute__((format(printf, 1, 2))) void fail(const char* format, ...);

// Lets other threads run while *word is value.
void wait_while(const uint32_t* word, uint32_t value, const char* reason);

// Waits for `count` threads of the block, or for all that have not ended when it is 0.
void barrier(unsigned which, unsigned count, const char* reason);

// Waits for all threads of the cluster's blocks that have not ended.
void cluster_barrier();

// Where the same place of shared memory is in the block of a rank.
void* in_cluster(void* shared, unsigned rank);

// The lanes of mask meet; the last one to come calls act.
void meet(uint32_t mask, void* mine, const char* reason, void (*act)(Meeting&));

// The lanes of mask meet, and see what the others have written before.
void meet_in_memory(uint32_t mask);

// The offset of an address in the shared memory of the block, where `bytes` bytes must fit.
std::size_t shared_offset(const void* address, std::size_t bytes, const char* what);

void copy_async(void* to, const void* from, unsigned bytes, unsigned filled);
void commit_copies();
void wait_copies(unsigned groups_in_flight);

// ---- exchange between lanes ----

template <class T> struct Exchange {
    T value;
    unsigned source;
    T result;
};

// The value of lane `source`.
template <class T> T shuffle(uint32_t mask, T value, unsigned source) {
    Exchange<T> mine{value, source, value};
    meet(mask, &mine, "a shuffle", [](Meeting& meeting) {
        for (unsigned lane = 0; lane < WARP; lane++) {
            auto* to = static_cast<Exchange<T>*>(meeting.slot[lane]);
            if (!to) continue;
            auto* from = static_cast<Exchange<T>*>(meeting.slot[to->source]);
            if (!from) fail("a shuffle reads lane %u, which takes no part in it", to->source);
            to->result = from->value;
        }
    });
    return mine.result;
}

struct Vote {
    bool yes;
    uint32_t result;
};

inline uint32_t ballot(uint32_t mask, bool yes) {
    Vote mine{yes, 0};
    meet(mask, &mine, "a ballot", [](Meeting& meeting) {
        uint32_t result = 0;
        for (unsigned lane = 0; lane < WARP; lane++) {
            auto* vote = static_cast<Vote*>(meeting.slot[lane]);
            if (vote && vote->yes) result |= 1u << lane;
        }
        for (void* slot : meeting.slot) {
            if (slot) static_cast<Vote*>(slot)->result = result;
        }
    });
    return mine.result;
}

// The lane that a shuffle within segments of `width` lanes reads: lane `to` if that is in the segment, else the own one.
inline unsigned in_segment(unsigned lane, unsigned to, unsigned width) { return to / width == lane / width ? to : lane; }

} // namespace emulator

// ---- the language ----

#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))

#define threadIdx (emulator::current->index)
#define blockIdx (emulator::current->block->index)
#define blockDim (emulator::current->block->size)
#define gridDim (emulator::current->block->grid)

constexpr int warpSize = emulator::WARP;

inline void __syncthreads() { emulator::barrier(0, 0, "__syncthreads"); }

inline void __syncwarp(unsigned mask = ~0u) { emulator::meet_in_memory(mask); }

template <class T> T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    unsigned lane = emulator::current->lane();
    return emulator::shuffle(mask, value, lane / width * width + source % width);
}

template <class T> T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
    unsigned lane = emulator::current->lane();
    return emulator::shuffle(mask, value, emulator::in_segment(lane, lane ^ bits, width));
}

template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32) {
    unsigned lane = emulator::current->lane();
    return emulator::shuffle(mask, value, emulator::in_segment(lane, lane + distance, width));
}

template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32) {
    unsigned lane = emulator::current->lane();
    return emulator::shuffle(mask, value, lane % width < distance ? lane : lane - distance);
}

inline unsigned __ballot_sync(unsigned mask, int yes) { return emulator::ballot(mask, yes); }
inline int __any_sync(unsigned mask, int yes) { return emulator::ballot(mask, yes) != 0; }
inline int __all_sync(unsigned mask, int yes) { return emulator::ballot(mask, !yes) == 0; }

// What is atomic races with nothing.
#define EMULATOR_ATOMIC __attribute__((no_sanitize("thread")))

// Integers only: the order of float atomics is the device's choice, and results must not depend on it.
template <class T> EMULATOR_ATOMIC T atomicAdd(T* to, T value) {
    static_assert(std::is_integral<T>::value, "no float atomics");
    return __atomic_fetch_add(to, value, __ATOMIC_RELAXED);
}

template <class T> EMULATOR_ATOMIC T atomicMin(T* to, T value) {
    T old = __atomic_load_n(to, __ATOMIC_RELAXED);
    while (value < old && !__atomic_compare_exchange_n(to, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}

template <class T> EMULATOR_ATOMIC T atomicMax(T* to, T value) {
    T old = __atomic_load_n(to, __ATOMIC_RELAXED);
    while (old < value && !__atomic_compare_exchange_n(to, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}

template <class T> EMULATOR_ATOMIC T atomicOr(T* to, T value) { return __atomic_fetch_or(to, value, __ATOMIC_RELAXED); }
template <class T> EMULATOR_ATOMIC T atomicExch(T* to, T value) { return __atomic_exchange_n(to, value, __ATOMIC_RELAXED); }

template <class T> EMULATOR_ATOMIC T atomicCAS(T* to, T expected, T value) {
    __atomic_compare_exchange_n(to, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return expected;
}

template <class T> T min(T a, T b) { return b < a ? b : a; }
template <class T> T max(T a, T b) { return a < b ? b : a; }

EMULATOR_ATOMIC inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32); }
