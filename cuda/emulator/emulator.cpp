#include "launch.h"
#include "memory.h"
#include "races.h"
#include "tensor.h"

#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <numeric>
#include <sys/mman.h>
#include <thread>

namespace emulator {

const Kernel* Kernel::first = nullptr;
__thread Thread* current = nullptr;

namespace {

constexpr std::size_t PAGE = 4096;
constexpr std::size_t STACK = 64 * 1024;
// Where shared memory must start for the swizzled layouts of tensor copies.
constexpr std::size_t SHARED_ALIGNMENT = 1024;
constexpr std::size_t SHARED_ROOM = 228 * 1024;
// What follows it and is no memory.
constexpr std::size_t SHARED_GUARD = 64 * 1024;
// NaN in every floating-point type; an index that is out of bounds.
constexpr unsigned char UNSET = 0xFF;

unsigned setting(const char* name, unsigned otherwise) {
    const char* value = std::getenv(name);
    return value && *value ? static_cast<unsigned>(std::strtoul(value, nullptr, 10)) : otherwise;
}

uint64_t count(const Index& of) { return static_cast<uint64_t>(of.x) * of.y * of.z; }

// The index of item number `at` of `size`, x first.
Index index_of(uint64_t at, const Index& size) {
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

__thread Worker* worker __attribute__((tls_model("initial-exec"))) = nullptr;

// ---- switching between fibers ----

#ifdef EMULATOR_UCONTEXT
void enter(Thread& thread) { swapcontext(&worker->context, &thread.context); }
void leave() { swapcontext(&current->context, &worker->context); }
#else
// Saves the registers that a call preserves and the stack pointer, and goes on where `to` was saved.
extern "C" void handgrad_emulator_switch(void** from, void* to);
asm(".text\n"
    ".globl handgrad_emulator_switch\n"
    ".hidden handgrad_emulator_switch\n"
    ".type handgrad_emulator_switch,@function\n"
    "handgrad_emulator_switch:\n"
    "  push %rbp\n  push %rbx\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
    "  mov %rsp,(%rdi)\n"
    "  mov %rsi,%rsp\n"
    "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbx\n  pop %rbp\n"
    "  ret\n"
    ".size handgrad_emulator_switch,.-handgrad_emulator_switch\n");

void enter(Thread& thread) { handgrad_emulator_switch(&worker->stack_pointer, thread.stack_pointer); }
void leave() { handgrad_emulator_switch(&current->stack_pointer, worker->stack_pointer); }
#endif

void end_thread();

// A fiber serves the same thread of one block after another, so that it is set up once.
void fiber() {
    for (;;) {
        const Launch& launch = *worker->launch;
        launch.kernel.call(launch.kernel.function, launch.arguments);
        end_thread();
        leave();
    }
}

void start(Thread& thread) {
    thread.started = true;
#ifdef EMULATOR_UCONTEXT
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = thread.stack;
    thread.context.uc_stack.ss_size = STACK;
    thread.context.uc_link = nullptr;
    makecontext(&thread.context, fiber, 0);
#else
    // From the top down: an address to return to, which is never used, the entry, six saved registers.
    void** top = reinterpret_cast<void**>(thread.stack + STACK) - 1;
    *--top = reinterpret_cast<void*>(fiber);
    thread.stack_pointer = top - 6;
#endif
}

// ---- failures ----

[[noreturn]] void escape(Status status, const std::string& what) {
    char place[160];
    const Index& block = current->block->index;
    const Index& thread = current->index;
    std::snprintf(place, sizeof place, "; block (%u, %u, %u), thread (%u, %u, %u)", block.x, block.y, block.z, thread.x, thread.y,
                  thread.z);
    worker->failure = {status, what + place};
    siglongjmp(worker->escape, 1);
}

struct sigaction previous[NSIG];

[[noreturn]] void escape_fault(int signal, const siginfo_t& info) {
    if (signal == SIGFPE) escape(FAILED, "integer division by zero");
    if (signal == SIGILL) escape(FAILED, "an index beyond a local array, or a shift by too many bits");
    if (info.si_code == SI_KERNEL) escape(ILLEGAL_ADDRESS, "a misaligned access, or one far from all memory");
    auto* address = static_cast<const unsigned char*>(info.si_addr);
    const unsigned char* shared_end = worker->seats[current->block->rank]->shared_end;
    if (address >= shared_end && address < shared_end + SHARED_GUARD) {
        std::size_t bytes = current->block->shared_bytes;
        escape(ILLEGAL_ADDRESS, "out of bounds: " + std::to_string(address - current->block->shared - bytes) +
                                    " bytes beyond the " + std::to_string(bytes) + " bytes of shared memory");
    }
    if (address >= current->stack - PAGE && address < current->stack) escape(FAILED, "the thread's stack is used up");
    escape(ILLEGAL_ADDRESS, describe_fault(address));
}

// A fault in a kernel ends its launch; any other is somebody else's.
void on_fault(int signal, siginfo_t* info, void* context) {
    if (current) escape_fault(signal, *info);
    const struct sigaction& before = previous[signal];
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(signal, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(signal);
    } else {
        sigaction(signal, &before, nullptr);
    }
}

void catch_faults() {
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction action = {};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigaction(signal, &action, &previous[signal]);
    });
}

// A stack for this OS thread's signal handlers: the fiber whose stack is used up has no room for one.
class HandlerStack {
    std::unique_ptr<unsigned char[]> room;

  public:
    HandlerStack() {
        stack_t before;
        sigaltstack(nullptr, &before);
        if (!(before.ss_flags & SS_DISABLE)) return;
        room.reset(new unsigned char[STACK]);
        stack_t mine = {};
        mine.ss_sp = room.get();
        mine.ss_size = STACK;
        sigaltstack(&mine, nullptr);
    }
    ~HandlerStack() {
        if (!room) return;
        stack_t none = {};
        none.ss_flags = SS_DISABLE;
        sigaltstack(&none, nullptr);
    }
};

// ---- meeting points ----

void finish(Barrier& barrier) {
    barrier.arrived = 0;
    barrier.warps = 0;
    barrier.generation++;
}

void finish(Barrier& barrier, Block& block) {
    block.races->warps_met(barrier.warps);
    finish(barrier);
}

void finish_cluster(Cluster& cluster) {
    for (Block* block : cluster.blocks) block->races->warps_met(~0u);
    finish(cluster.barrier);
}

void finish(Meeting& meeting) {
    meeting.act(meeting);
    std::memset(meeting.slot, 0, sizeof meeting.slot);
    meeting.arrived = 0;
    meeting.generation++;
}

// Those who wait for all others no longer wait for a thread that has ended.
void end_thread() {
    Block& block = *current->block;
    Warp& warp = current->warp();
    current->done = true;
    block.live--;
    worker->live--;
    warp.live &= ~(1u << current->lane());
    Barrier& everybody = block.barriers[0];
    if (everybody.arrived && everybody.arrived >= block.live) finish(everybody, block);
    Cluster& cluster = *block.cluster;
    if (cluster.barrier.arrived && cluster.barrier.arrived >= worker->live) finish_cluster(cluster);
    for (auto& meeting : warp.meetings) {
        if (meeting->arrived && meeting->arrived == (meeting->mask & warp.live)) finish(*meeting);
    }
}

// ---- running blocks ----

Seat::Seat() {
    void* room = mmap(nullptr, SHARED_ROOM + SHARED_GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    shared_end = static_cast<unsigned char*>(room) + SHARED_ROOM;
    mprotect(shared_end, SHARED_GUARD, PROT_NONE);
    block.races = &races;
    block.tensors = &tensors;
}

void Seat::prepare(const Launch& launch) {
    block.size = launch.dimensions.block;
    block.grid = launch.dimensions.grid;
    block.cluster_size = launch.dimensions.cluster;
    block.late = launch.late;
    block.threads = count(block.size);
    block.shared_bytes = launch.dimensions.shared_bytes;
    // Memory ends where shared memory does, but for what keeps its start aligned.
    std::size_t aligned = (block.shared_bytes + SHARED_ALIGNMENT - 1) / SHARED_ALIGNMENT * SHARED_ALIGNMENT;
    block.shared = shared_end - aligned;
    block.warps.resize((block.threads + WARP - 1) / WARP);
}

void Seat::start() {
    block.live = block.threads;
    std::memset(block.shared, UNSET, shared_end - block.shared);
    for (Barrier& barrier : block.barriers) barrier.arrived = barrier.warps = 0;
    races.start(block.shared_bytes, block.warps.size());
    tensors.start();
    for (Warp& warp : block.warps) {
        warp.live = 0;
        warp.meetings.clear();
    }
}

Outcome Seat::check_end() const {
    const unsigned char* end = block.shared + block.shared_bytes;
    const unsigned char* beyond = std::find_if(end, static_cast<const unsigned char*>(shared_end),
                                               [](unsigned char byte) { return byte != UNSET; });
    if (beyond == shared_end) return {};
    return {ILLEGAL_ADDRESS, "out of bounds: wrote " + std::to_string(beyond - end) + " bytes beyond the " +
                                 std::to_string(block.shared_bytes) + " bytes of shared memory"};
}

void Worker::work(Launch& now) {
    launch = &now;
    worker = this;
    HandlerStack handler_stack;
    prepare();
    for (uint64_t number; !now.failed && (number = now.next++) < now.clusters();) {
        Outcome outcome = run_cluster(number);
        if (outcome.status != SUCCESS) now.fail(outcome.status, outcome.report);
    }
    worker = nullptr;
}

void Worker::prepare() {
    unsigned blocks = count(launch->dimensions.cluster), each = count(launch->dimensions.block);
    cluster.blocks.clear();
    for (unsigned rank = 0; rank < blocks; rank++) {
        if (rank == seats.size()) seats.push_back(std::make_unique<Seat>());
        seats[rank]->prepare(*launch);
        seats[rank]->block.rank = rank;
        seats[rank]->block.cluster = &cluster;
        cluster.blocks.push_back(&seats[rank]->block);
    }
    unsigned have = threads.size(), needed = blocks * each;
    if (have < needed) {
        threads.resize(needed);
        std::size_t room = STACK + PAGE;
        void* stacks = mmap(nullptr, (needed - have) * room, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        for (unsigned i = have; i < needed; i++) {
            // The page below a stack is no memory, so that its overflow faults.
            unsigned char* guard = static_cast<unsigned char*>(stacks) + (i - have) * room;
            mprotect(guard, PAGE, PROT_NONE);
            threads[i].stack = guard + PAGE;
        }
    }
    for (unsigned i = 0; i < needed; i++) {
        threads[i].linear = i % each;
        threads[i].block = cluster.blocks[i / each];
        threads[i].index = index_of(i % each, launch->dimensions.block);
    }
    order.resize(needed);
    std::iota(order.begin(), order.end(), 0);
}

Outcome Worker::run_cluster(uint64_t number) {
    const Index &grid = launch->dimensions.grid, &size = launch->dimensions.cluster;
    Index place = index_of(number, {grid.x / size.x, grid.y / size.y, grid.z / size.z});
    cluster.barrier.arrived = 0;
    for (Block* block : cluster.blocks) {
        Index within = index_of(block->rank, size);
        block->index = {place.x * size.x + within.x, place.y * size.y + within.y, place.z * size.z + within.z};
        seats[block->rank]->start();
    }
    live = order.size();
    for (unsigned i : order) {
        Thread& thread = threads[i];
        thread.done = false;
        thread.word = nullptr;
        thread.copies.clear();
        thread.groups.clear();
        thread.warp().live |= 1u << thread.lane();
        if (!thread.started) emulator::start(thread);
    }
    if (sigsetjmp(escape, 1)) {
        // Where the fibers are is of no use to the next cluster.
        current = nullptr;
        for (Thread& thread : threads) thread.started = false;
        return failure;
    }
    schedule(launch->seed ? launch->seed * 2654435761u + static_cast<uint32_t>(number) : 0);
    for (Block* block : cluster.blocks) {
        if (block->tensors->land()) return {FAILED, "the block has ended while a copy to its shared memory is under way"};
        Outcome outcome = seats[block->rank]->check_end();
        if (outcome.status != SUCCESS) return outcome;
    }
    return {};
}

void Worker::schedule(uint32_t random) {
    while (live) {
        if (random) {
            for (unsigned i = order.size() - 1; i > 0; i--) {
                random = random * 1664525u + 1013904223u;
                std::swap(order[i], order[(random >> 8) % (i + 1)]);
            }
        }
        bool moved = false;
        for (unsigned i : order) {
            Thread& thread = threads[i];
            if (thread.done || (thread.word && *thread.word == thread.value)) continue;
            thread.word = nullptr;
            moved = true;
            current = &thread;
            enter(thread);
        }
        current = nullptr;
        for (const Block* block : cluster.blocks) {
            // Where copies come late, they come when nothing else is left to do.
            if (!moved) moved = block->tensors->land();
        }
        if (!moved) {
            failure = {DEADLOCK, deadlock()};
            siglongjmp(escape, 1);
        }
    }
}

// Which threads wait, and for what.
std::string Worker::deadlock() const {
    std::string text = "deadlock";
    for (const Block* block : cluster.blocks) {
        std::map<std::string, std::pair<unsigned, std::string>> waiting;
        for (unsigned i : order) {
            if (threads[i].block != block || threads[i].done) continue;
            auto& [count, who] = waiting[threads[i].reason];
            if (count++ < 8) who += " " + std::to_string(threads[i].linear);
        }
        char place[80];
        std::snprintf(place, sizeof place, "\n  block (%u, %u, %u)", block->index.x, block->index.y, block->index.z);
        text += place;
        for (auto& [reason, threads] : waiting) {
            auto& [count, who] = threads;
            text += "\n    " + std::to_string(count) + " threads wait for " + reason + ":" + who + (count > 8 ? " ..." : "");
        }
        unsigned ended = block->threads - block->live;
        if (ended) text += "\n    " + std::to_string(ended) + " threads have ended";
    }
    return text;
}

// Workers that no launch uses.
std::mutex idle_mutex;
std::vector<std::unique_ptr<Worker>> idle;

void work(Launch& launch) {
    std::unique_ptr<Worker> mine;
    {
        std::lock_guard<std::mutex> lock(idle_mutex);
        if (!idle.empty()) {
            mine = std::move(idle.back());
            idle.pop_back();
        }
    }
    if (!mine) mine = std::make_unique<Worker>();
    mine->work(launch);
    std::lock_guard<std::mutex> lock(idle_mutex);
    idle.push_back(std::move(mine));
}

} // namespace

Outcome launch(const Kernel& kernel, const Dimensions& dimensions, void* const* arguments) {
    catch_faults();
    Launch launch(kernel, dimensions, arguments);
    uint64_t hands = std::min<uint64_t>(setting("HANDGRAD_EMULATOR_THREADS", 1), launch.clusters());
    std::vector<std::thread> helpers;
    for (uint64_t i = 1; i < hands; i++) helpers.emplace_back([&] { work(launch); });
    work(launch);
    for (std::thread& helper : helpers) helper.join();

    std::string damage = find_damage();
    if (!damage.empty()) launch.fail(ILLEGAL_ADDRESS, damage);
    if (launch.failed) {
        launch.outcome.report = std::string("emulated kernel ") + kernel.name + ": " + launch.outcome.report;
        std::fprintf(stderr, "%s\n", launch.outcome.report.c_str());
    }
    return launch.outcome;
}

// ---- what kernels call ----

void fail(const char* format, ...) {
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    escape(FAILED, text);
}

void wait_while(const uint32_t* word, uint32_t value, const char* reason) {
    if (*word != value) return;
    current->word = word;
    current->value = value;
    current->reason = reason;
    leave();
}

void barrier(unsigned which, unsigned count, const char* reason) {
    Block& block = *current->block;
    Barrier& barrier = block.barriers[which];
    unsigned wanted = count ? count : block.live;
    barrier.warps |= 1u << (current->linear / WARP);
    if (++barrier.arrived >= wanted) {
        finish(barrier, block);
    } else {
        wait_while(&barrier.generation, barrier.generation, reason);
    }
}

void cluster_barrier() {
    Cluster& cluster = *current->block->cluster;
    if (++cluster.barrier.arrived >= worker->live) {
        finish_cluster(cluster);
    } else {
        wait_while(&cluster.barrier.generation, cluster.barrier.generation, "the cluster's barrier");
    }
}

void* in_cluster(void* shared, unsigned rank) {
    std::size_t offset = shared_offset(shared, 1, "an address in the cluster");
    const std::vector<Block*>& blocks = current->block->cluster->blocks;
    if (rank >= blocks.size()) fail("an address in block %u of a cluster of %zu", rank, blocks.size());
    return blocks[rank]->shared + offset;
}

void meet(uint32_t mask, void* mine, const char* reason, void (*act)(Meeting&)) {
    Warp& warp = current->warp();
    unsigned lane = current->lane();
    if (!(mask >> lane & 1)) fail("%s: lane %u is not in its own mask %08x", reason, lane, mask);
    Meeting* meeting = nullptr;
    for (auto& known : warp.meetings) {
        if (known->mask == mask) meeting = known.get();
    }
    if (!meeting) {
        warp.meetings.push_back(std::make_unique<Meeting>());
        meeting = warp.meetings.back().get();
        meeting->mask = mask;
    }
    if (meeting->arrived && meeting->act != act) fail("%s: other lanes of mask %08x wait for something else", reason, mask);
    meeting->act = act;
    meeting->slot[lane] = mine;
    meeting->arrived |= 1u << lane;
    if (meeting->arrived == (mask & warp.live)) {
        finish(*meeting);
    } else {
        wait_while(&meeting->generation, meeting->generation, reason);
    }
}

void meet_in_memory(uint32_t mask) {
    meet(mask, nullptr, "__syncwarp", [](Meeting&) { current->block->races->warp_met(current->linear / WARP); });
}

std::size_t shared_offset(const void* address, std::size_t bytes, const char* what) {
    const Block& block = *current->block;
    auto offset = reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(block.shared);
    if (offset > block.shared_bytes || bytes > block.shared_bytes - offset) {
        fail("out of bounds: %s of %zu bytes at offset %td of the %zu bytes of shared memory", what, bytes,
             static_cast<std::ptrdiff_t>(offset), block.shared_bytes);
    }
    return offset;
}

namespace {

void land(const Copy& copy) {
    std::memcpy(copy.to, copy.from, copy.bytes);
    std::memset(static_cast<unsigned char*>(copy.to) + copy.bytes, 0, copy.filled - copy.bytes);
}

} // namespace

void copy_async(void* to, const void* from, unsigned bytes, unsigned filled) {
    current->block->races->start_copy(shared_offset(to, filled, "cp.async"), filled);
    auto misaligned = (reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from)) & (filled - 1);
    if (misaligned) fail("cp.async: both addresses must be aligned to its %u bytes", filled);
    Copy copy{to, from, bytes, filled};
    current->copies.push_back(copy);
    if (!current->block->late) land(copy);
}

void commit_copies() { current->groups.push_back(current->copies.size()); }

void wait_copies(unsigned groups_in_flight) {
    std::vector<Copy>& copies = current->copies;
    std::vector<std::size_t>& groups = current->groups;
    if (groups.size() <= groups_in_flight) return;
    std::size_t landing = groups.size() - groups_in_flight;
    std::size_t end = groups[landing - 1];
    for (std::size_t i = 0; i < end; i++) {
        if (current->block->late) land(copies[i]);
        auto offset = static_cast<unsigned char*>(copies[i].to) - current->block->shared;
        current->block->races->end_copy(offset, copies[i].filled, current->linear);
    }
    copies.erase(copies.begin(), copies.begin() + end);
    groups.erase(groups.begin(), groups.begin() + landing);
    for (std::size_t& group : groups) group -= end;
}

} // namespace emulator
