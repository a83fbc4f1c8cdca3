// Fibers, and how a kernel that fails is left.
#include "memory.h"
#include "worker.h"

#include <csignal>
#include <cstdio>

namespace emulator {

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

namespace {

// A fiber serves the same thread of one block after another, so that it is set up once.
void fiber() {
    for (;;) {
        const Launch& launch = *worker->launch;
        launch.kernel.call(launch.kernel.function, launch.arguments);
        end_thread();
        leave();
    }
}

} // namespace

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

void escape(Status status, const std::string& what) {
    char place[160];
    const Index& block = current->block->index;
    const Index& thread = current->index;
    std::snprintf(place, sizeof place, "; block (%u, %u, %u), thread (%u, %u, %u)", block.x, block.y, block.z, thread.x, thread.y,
                  thread.z);
    worker->failure = {status, what + place};
    siglongjmp(worker->escape, 1);
}

namespace {

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

} // namespace

void catch_faults() {
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction action = {};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigaction(signal, &action, &previous[signal]);
    });
}

HandlerStack::HandlerStack() {
    stack_t before;
    sigaltstack(nullptr, &before);
    if (!(before.ss_flags & SS_DISABLE)) return;
    room.reset(new unsigned char[STACK]);
    stack_t mine = {};
    mine.ss_sp = room.get();
    mine.ss_size = STACK;
    sigaltstack(&mine, nullptr);
}

HandlerStack::~HandlerStack() {
    if (!room) return;
    stack_t none = {};
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
}

} // namespace emulator
