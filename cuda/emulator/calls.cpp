// What kernels call: meeting points, asynchronous copies, the end of a thread.
#include "worker.h"

#include <cstdarg>
#include <cstdio>

namespace emulator {

namespace {

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

} // namespace

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
