#include "launch.h"
#include "memory.h"
#include "races.h"

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

struct Launch {
    const Kernel& kernel;
    Index grid, block;
    std::size_t shared_bytes;
    void* const* arguments;
    unsigned seed = setting("HANDGRAD_EMULATOR_SEED", 0);
    bool late = setting("HANDGRAD_EMULATOR_LATE", 0) != 0;
    std::atomic<uint64_t> next{0};
    std::atomic<bool> failed{false};
    std::mutex mutex;
    Outcome outcome;

    Launch(const Kernel& kernel, Index grid, Index block, std::size_t shared_bytes, void* const* arguments)
        : kernel(kernel), grid(grid), block(block), shared_bytes(shared_bytes), arguments(arguments) {}

    uint64_t blocks() const { return static_cast<uint64_t>(grid.x) * grid.y * grid.z; }

    // The first failure is the one that is told.
    void fail(Status status, std::string report) {
        std::lock_guard<std::mutex> lock(mutex);
        if (!failed.exchange(true)) outcome = {status, std::move(report)};
    }
};

// The fibers and the shared memory of one OS thread, kept from launch to launch. It runs block after block.
struct Worker {
    Launch* launch = nullptr;
    std::vector<Thread> threads;
    std::vector<unsigned> order;
    Block block;
    Races races;
    unsigned char* shared_end;
    sigjmp_buf escape;
    Outcome failure;
#ifdef EMULATOR_UCONTEXT
    ucontext_t context;
#else
    void* stack_pointer = nullptr;
#endif

    Worker();
    void work(Launch& now);
    void prepare();
    Outcome run_block(uint64_t number);
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
    if (address >= worker->shared_end && address < worker->shared_end + SHARED_GUARD) {
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
    worker->races.warps_met(barrier.warps);
    barrier.arrived = 0;
    barrier.warps = 0;
    barrier.generation++;
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
    warp.live &= ~(1u << current->lane());
    Barrier& everybody = block.barriers[0];
    if (everybody.arrived && everybody.arrived >= block.live) finish(everybody);
    for (auto& meeting : warp.meetings) {
        if (meeting->arrived && meeting->arrived == (meeting->mask & warp.live)) finish(*meeting);
    }
}

// ---- running blocks ----

Worker::Worker() {
    void* room = mmap(nullptr, SHARED_ROOM + SHARED_GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    shared_end = static_cast<unsigned char*>(room) + SHARED_ROOM;
    mprotect(shared_end, SHARED_GUARD, PROT_NONE);
}

void Worker::work(Launch& now) {
    launch = &now;
    worker = this;
    HandlerStack handler_stack;
    prepare();
    for (uint64_t number; !now.failed && (number = now.next++) < now.blocks();) {
        Outcome outcome = run_block(number);
        if (outcome.status != SUCCESS) now.fail(outcome.status, outcome.report);
    }
    worker = nullptr;
}

void Worker::prepare() {
    block.size = launch->block;
    block.grid = launch->grid;
    block.late = launch->late;
    block.races = &races;
    block.threads = launch->block.x * launch->block.y * launch->block.z;
    block.shared_bytes = launch->shared_bytes;
    // Memory ends where shared memory does, but for what keeps its start aligned.
    std::size_t aligned = (block.shared_bytes + SHARED_ALIGNMENT - 1) / SHARED_ALIGNMENT * SHARED_ALIGNMENT;
    block.shared = shared_end - aligned;
    block.warps.resize((block.threads + WARP - 1) / WARP);

    unsigned have = threads.size();
    if (have < block.threads) {
        threads.resize(block.threads);
        std::size_t each = STACK + PAGE;
        void* stacks = mmap(nullptr, (block.threads - have) * each, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        for (unsigned i = have; i < block.threads; i++) {
            // The page below a stack is no memory, so that its overflow faults.
            unsigned char* guard = static_cast<unsigned char*>(stacks) + (i - have) * each;
            mprotect(guard, PAGE, PROT_NONE);
            threads[i].stack = guard + PAGE;
            threads[i].started = false;
        }
    }
    for (unsigned i = 0; i < block.threads; i++) {
        threads[i].linear = i;
        threads[i].block = &block;
        threads[i].index = {i % block.size.x, i / block.size.x % block.size.y, i / (block.size.x * block.size.y)};
    }
    order.resize(block.threads);
    std::iota(order.begin(), order.end(), 0);
}

Outcome Worker::run_block(uint64_t number) {
    block.index.x = number % block.grid.x;
    block.index.y = number / block.grid.x % block.grid.y;
    block.index.z = number / block.grid.x / block.grid.y;
    block.live = block.threads;
    std::memset(block.shared, UNSET, shared_end - block.shared);
    for (Barrier& barrier : block.barriers) barrier.arrived = barrier.warps = 0;
    races.start(block.shared_bytes, block.warps.size());
    for (Warp& warp : block.warps) {
        warp.live = 0;
        warp.meetings.clear();
    }
    for (unsigned i = 0; i < block.threads; i++) {
        Thread& thread = threads[i];
        thread.done = false;
        thread.word = nullptr;
        thread.copies.clear();
        thread.groups.clear();
        thread.warp().live |= 1u << thread.lane();
        if (!thread.started) start(thread);
    }
    if (sigsetjmp(escape, 1)) {
        // Where the fibers are is of no use to the next block.
        current = nullptr;
        for (Thread& thread : threads) thread.started = false;
        return failure;
    }
    schedule(launch->seed ? launch->seed * 2654435761u + static_cast<uint32_t>(number) : 0);
    const unsigned char* beyond = std::find_if(block.shared + block.shared_bytes, shared_end, [](unsigned char byte) {
        return byte != UNSET;
    });
    if (beyond == shared_end) return {};
    return {ILLEGAL_ADDRESS, "out of bounds: wrote beyond the " + std::to_string(block.shared_bytes) +
                                 " bytes of shared memory, " +
                                 std::to_string(beyond - block.shared - block.shared_bytes) + " after their end"};
}

void Worker::schedule(uint32_t random) {
    while (block.live) {
        if (random) {
            for (unsigned i = block.threads - 1; i > 0; i--) {
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
        if (!moved) {
            failure = {DEADLOCK, deadlock()};
            siglongjmp(escape, 1);
        }
    }
}

// Which threads wait, and for what.
std::string Worker::deadlock() const {
    std::map<std::string, std::pair<unsigned, std::string>> waiting;
    for (unsigned i = 0; i < block.threads; i++) {
        if (threads[i].done) continue;
        auto& [count, who] = waiting[threads[i].reason];
        if (count++ < 8) who += " " + std::to_string(i);
    }
    char place[80];
    std::snprintf(place, sizeof place, "deadlock in block (%u, %u, %u):", block.index.x, block.index.y, block.index.z);
    std::string text = place;
    for (auto& [reason, threads] : waiting) {
        auto& [count, who] = threads;
        text += "\n  " + std::to_string(count) + " threads wait for " + reason + ":" + who + (count > 8 ? " ..." : "");
    }
    unsigned ended = block.threads - block.live;
    return ended ? text + "\n  " + std::to_string(ended) + " threads have ended" : text;
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

Outcome launch(const Kernel& kernel, Index grid, Index block, std::size_t shared_bytes, void* const* arguments) {
    catch_faults();
    Launch launch(kernel, grid, block, shared_bytes, arguments);
    uint64_t hands = std::min<uint64_t>(setting("HANDGRAD_EMULATOR_THREADS", 1), launch.blocks());
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
        finish(barrier);
    } else {
        wait_while(&barrier.generation, barrier.generation, reason);
    }
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
    meet(mask, nullptr, "__syncwarp", [](Meeting&) { worker->races.warp_met(current->linear / WARP); });
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
        current->block->races->end_copy(offset, copies[i].filled);
    }
    copies.erase(copies.begin(), copies.begin() + end);
    groups.erase(groups.begin(), groups.begin() + landing);
    for (std::size_t& group : groups) group -= end;
}

} // namespace emulator
