#include "races.h"

namespace emulator {

void Races::start(std::size_t shared_bytes, unsigned warp_count) {
    cells.assign((shared_bytes + UNIT - 1) / UNIT, Cell());
    reads.resize(cells.size() * warp_count);
    warps = warp_count;
    std::memset(fences, 0, sizeof fences);
    for (unsigned warp = 0; warp < warps; warp++) {
        clock[warp] = 1;
        std::memset(known[warp], 0, sizeof known[warp]);
    }
}

// act(cell, which of its bytes) for all bytes.
template <class Act> inline void Races::each_cell(std::size_t offset, std::size_t bytes, Act act) {
    if (offset % UNIT == 0 && bytes == UNIT) return act(cells[offset / UNIT], 0xf);
    for (std::size_t end = offset + bytes; offset < end;) {
        std::size_t first = offset % UNIT, last = std::min(UNIT, first + end - offset);
        act(cells[offset / UNIT], static_cast<uint8_t>((1u << last) - (1u << first)));
        offset += last - first;
    }
}

bool Races::written_before(const Cell& cell, const Thread& thread) const {
    if (cell.writer == NOBODY || cell.writer == thread.linear) return true;
    unsigned mine = thread.linear / WARP, other = cell.writer / WARP;
    return other == mine ? cell.written < clock[mine] : cell.written <= known[mine][other];
}

bool Races::read_before(const Cell& cell, const Thread& thread, unsigned& other) const {
    unsigned mine = thread.linear / WARP;
    const uint32_t* read = &reads[reads_of(cell)];
    for (uint32_t left = cell.readers; left; left &= left - 1) {
        unsigned warp = __builtin_ctz(left), lane = read[warp] % (2 * WARP);
        uint32_t when = read[warp] / (2 * WARP);
        other = warp * WARP + lane % WARP;
        if (warp == mine ? when == clock[mine] && lane != thread.lane() : when > known[mine][warp]) return false;
    }
    return true;
}

void Races::require_order(const Cell& cell, std::size_t offset, uint8_t which, Proxy proxy, const char* does) const {
    if (cell.in_flight) fail("race: %s offset %zu of shared memory, to which a copy is still under way", does, offset);
    if (!(cell.bytes & which)) return;
    if (!written_before(cell, *current)) {
        fail("race: %s offset %zu of shared memory, which thread %u has written and no barrier since has ordered", does, offset,
             cell.writer);
    }
    if (proxy == Proxy::ASYNCHRONOUS && cell.proxy == Proxy::GENERIC && fences[cell.writer] == cell.fences) {
        fail("race: a tensor instruction %s offset %zu of shared memory, which thread %u has written and not fenced "
             "(fence.proxy.async)",
             does, offset, cell.writer);
    }
}

void Races::read(std::size_t offset, std::size_t bytes, Proxy proxy) {
    const Thread& thread = *current;
    unsigned warp = thread.linear / WARP;
    const uint32_t now = clock[warp] * 2 * WARP, by_me = now + thread.lane(), by_many = now + MANY;
    each_cell(offset, bytes, [&](Cell& cell, uint8_t which) {
        uint32_t& read = reads[reads_of(cell) + warp];
        bool again = cell.readers >> warp & 1 && read - now <= MANY;
        bool whole = which == (1 << UNIT) - 1 && proxy == Proxy::GENERIC;
        if (again && whole && read == by_me) return;
        // What another warp has written is ordered for all lanes of this one, or for none.
        if (!again || !whole || cell.writer / WARP == warp) require_order(cell, offset, which, proxy, "reads");
        read = again && read != by_me ? by_many : by_me;
        cell.readers |= 1u << warp;
    });
}

void Races::write(std::size_t offset, std::size_t bytes, Proxy proxy) {
    const Thread& thread = *current;
    each_cell(offset, bytes, [&](Cell& cell, uint8_t which) {
        require_order(cell, offset, which, proxy, "writes");
        unsigned other = 0;
        if (!read_before(cell, thread, other)) {
            fail("race: writes offset %zu of shared memory, which thread %u has read and no barrier since has ordered", offset,
                 other);
        }
        cell.writer = thread.linear;
        cell.bytes = which;
        cell.proxy = proxy;
        cell.written = clock[thread.linear / WARP];
        cell.fences = fences[thread.linear];
        cell.readers = 0;
    });
}

void Races::start_copy(std::size_t offset, std::size_t bytes, Proxy proxy) {
    write(offset, bytes, proxy);
    each_cell(offset, bytes, [](Cell& cell, uint8_t) { cell.in_flight = true; });
}

void Races::end_copy(std::size_t offset, std::size_t bytes, unsigned starter) {
    each_cell(offset, bytes, [&](Cell& cell, uint8_t) {
        cell.in_flight = false;
        cell.written = clock[starter / WARP];
        cell.fences = fences[starter];
    });
}

void Races::release(uint32_t* told, unsigned thread) {
    unsigned mine = thread / WARP;
    for (unsigned warp = 0; warp < warps; warp++) told[warp] = std::max(told[warp], known[mine][warp]);
    told[mine] = std::max(told[mine], clock[mine]);
    clock[mine]++;
}

void Races::acquire(const uint32_t* told) {
    uint32_t* mine = known[current->linear / WARP];
    for (unsigned warp = 0; warp < warps; warp++) mine[warp] = std::max(mine[warp], told[warp]);
}

void Races::warps_met(uint32_t mask) {
    uint32_t together[WARPS] = {};
    for (unsigned warp = 0; warp < warps; warp++) {
        if (!(mask >> warp & 1)) continue;
        for (unsigned other = 0; other < warps; other++) together[other] = std::max(together[other], known[warp][other]);
        together[warp] = std::max(together[warp], clock[warp]);
    }
    for (unsigned warp = 0; warp < warps; warp++) {
        if (!(mask >> warp & 1)) continue;
        std::memcpy(known[warp], together, sizeof together);
        clock[warp]++;
    }
}

namespace {

// The offset in shared memory, if the address is there.
inline bool is_shared(const void* address, std::size_t& offset) {
    if (!current) return false;
    offset = static_cast<const unsigned char*>(address) - current->block->shared;
    return offset < current->block->shared_bytes;
}

inline void on_read(const void* address, std::size_t bytes) {
    std::size_t offset;
    if (is_shared(address, offset)) current->block->races->read(offset, std::min(bytes, current->block->shared_bytes - offset));
}

inline void on_write(const void* address, std::size_t bytes) {
    std::size_t offset;
    if (is_shared(address, offset)) current->block->races->write(offset, std::min(bytes, current->block->shared_bytes - offset));
}

} // namespace
} // namespace emulator

// ---- what instrumented code calls ----

#define ACCESS(name, bytes)                                                                                                      \
    extern "C" void __tsan_read##name(void* address) { emulator::on_read(address, bytes); }                                      \
    extern "C" void __tsan_write##name(void* address) { emulator::on_write(address, bytes); }                                    \
    extern "C" void __tsan_unaligned_read##name(void* address) { emulator::on_read(address, bytes); }                            \
    extern "C" void __tsan_unaligned_write##name(void* address) { emulator::on_write(address, bytes); }
ACCESS(1, 1)
ACCESS(2, 2)
ACCESS(4, 4)
ACCESS(8, 8)
ACCESS(16, 16)

extern "C" void __tsan_read_range(void* address, unsigned long bytes) { emulator::on_read(address, bytes); }
extern "C" void __tsan_write_range(void* address, unsigned long bytes) { emulator::on_write(address, bytes); }
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
