// What the files of the emulator share that runs blocks: a launch, the fibers of an OS thread, and how they switch and fail.
#pragma once

#include "launch.h"
#include "races.h"
#include "tensor.h"

#include <atomic>
#include <csetjmp>
#include <mutex>

namespace emulator {

constexpr std::size_t PAGE = 4096;
constexpr std::size_t STACK = 64 * 1024;
// Where shared memory must start for the swizzled layouts of tensor copies.
constexpr std::size_t SHARED_ALIGNMENT = 1024;
constexpr std::size_t SHARED_ROOM = 228 * 1024;
// What follows it and is no memory.
constexpr std::size_t SHARED_GUARD = 64 * 1024;
// NaN in every floating-point type; an index that is out of bounds.
constexpr unsigned char UNSET = 0xFF;

// The number in an environment variable.
unsigned setting(const char* name, unsigned otherwise);

inline uint64_t count(const Index& of) { return static_cast<uint64_t>(of.x) * of.y * of.z; }

// The index of item number `at` of `size`, x first.
inline Index index_of(uint64_t at, const Index& size) {
    return {static_cast<unsigned>(at % size.x), static_cast<unsigned>(at / size.x % size.y),
            static_cast<unsigned>(at / size.x / size.y)};
}

struct Launch {
    const Kernel& kernel;
    const Dimensions& dimensions;
    void* const* arguments;
    unsigned seed = setting("HANDGRAD_EMULATOR_SEED", 0);
    bool late = setting("HANDGRAD_EMULATOR_LATE", 0) != 0;
    std::atomic<uint64_t> next{0};
    std::atomic<bool> failed{false};
    std::mutex mutex;
    Outcome outcome;

    Launch(const Kernel& kernel, const Dimensions& dimensions, void* const* arguments)
        : kernel(kernel), dimensions(dimensions), arguments(arguments) {}

    uint64_t clusters() const { return count(dimensions.grid) / count(dimensions.cluster); }

    // The first failure is the one that is told.
    void fail(Status status, std::string report) {
        std::lock_guard<std::mutex> lock(mutex);
        if (!failed.exchange(true)) outcome = {status, std::move(report)};
    }
};

// What a block runs in: its shared memory and what watches it, kept from block to block.
struct Seat {
    Block block;
    Races races;
    Tensors tensors{block};
    unsigned char* shared_end;

    Seat();
    void prepare(const Launch& launch);
    void start();
    Outcome check_end() const;
};

// The fibers of one OS thread and the blocks they run, kept from launch to launch. It runs cluster after cluster.
struct Worker {
    Launch* launch = nullptr;
    std::vector<std::unique_ptr<Seat>> seats;
    Cluster cluster;
    // Block by block.
    std::vector<Thread> threads;
    std::vector<unsigned> order;
    unsigned live = 0;
    sigjmp_buf escape;
    Outcome failure;
#ifdef EMULATOR_UCONTEXT
    ucontext_t context;
#else
    void* stack_pointer = nullptr;
#endif

    void work(Launch& now);
    void prepare();
    Outcome run_cluster(uint64_t number);
    void schedule(uint32_t random);
    std::string deadlock() const;
};

extern __thread Worker* worker __attribute__((tls_model("initial-exec")));

// ---- fibers.cpp ----

// From the worker to a thread's fiber, and from the running thread's back.
void enter(Thread& thread);
void leave();

// Sets up the thread's fiber.
void start(Thread& thread);

// Ends the launch, with what has happened and where.
[[noreturn]] void escape(Status status, const std::string& what);

// Faults in kernels end their launch from now on.
void catch_faults();

// A stack for this OS thread's signal handlers: the fiber whose stack is used up has no room for one.
class HandlerStack {
    std::unique_ptr<unsigned char[]> room;

  public:
    HandlerStack();
    ~HandlerStack();
};

// ---- calls.cpp ----

// Those who wait for all others no longer wait for a thread that has ended.
void end_thread();

} // namespace emulator
