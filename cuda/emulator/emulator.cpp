// Runs the blocks of a launch.
#include "memory.h"
#include "worker.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <numeric>
#include <sys/mman.h>
#include <thread>

namespace emulator {

const Kernel* Kernel::first = nullptr;
__thread Thread* current = nullptr;
__thread Worker* worker = nullptr;

unsigned setting(const char* name, unsigned otherwise) {
    const char* value = std::getenv(name);
    return value && *value ? static_cast<unsigned>(std::strtoul(value, nullptr, 10)) : otherwise;
}

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

namespace {

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

} // namespace emulator
