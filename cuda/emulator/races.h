// Which accesses to shared memory nothing has ordered: races, found whatever order the threads happen to run in.
//
// Kernels are compiled with the compiler's instrumentation for its thread sanitizer, whose functions are here. Each warp has a
// clock that moves where its lanes meet in memory order (__syncwarp, barriers), and knows the clocks of other warps as of the
// last barrier with them. An access must be ordered after every earlier conflicting one: of the same thread, of the same warp
// before the last meeting, or of another warp before a barrier. A shuffle exchanges values but orders no memory.
#pragma once

#include "emulator.h"

namespace emulator {

class Races {
  public:
    // Loads and stores, and cp.async; or what is told in tensor.h.
    enum class Proxy : uint8_t { GENERIC, ASYNCHRONOUS };

  private:
    static constexpr unsigned WARPS = MAX_THREADS / WARP;
    // The unit of memory that is watched; of narrower writes, which of its bytes they were.
    static constexpr std::size_t UNIT = 4;
    static constexpr unsigned NOBODY = MAX_THREADS;
    // In the place of a lane: more than one.
    static constexpr unsigned MANY = WARP;

    struct Cell {
        uint16_t writer = NOBODY;
        uint8_t bytes = 0;
        // Whether an asynchronous copy has it and has not been waited for.
        bool in_flight = false;
        Proxy proxy = Proxy::GENERIC;
        uint32_t written = 0;
        // How many fences the writer had passed.
        uint32_t fences = 0;
        // The warps that have read it since.
        uint32_t readers = 0;
    };

    std::vector<Cell> cells;
    // By cell and warp that has read it: the clock, and the lane in the lowest bits.
    std::vector<uint32_t> reads;
    unsigned warps = 0;
    uint32_t clock[WARPS];
    uint32_t known[WARPS][WARPS];
    uint32_t fences[MAX_THREADS];

    template <class Act> void each_cell(std::size_t offset, std::size_t bytes, Act act);
    void require_order(const Cell& cell, std::size_t offset, uint8_t which, Proxy proxy, const char* does) const;
    bool written_before(const Cell& cell, const Thread& thread) const;
    bool read_before(const Cell& cell, const Thread& thread, unsigned& other) const;
    std::size_t reads_of(const Cell& cell) const { return (&cell - cells.data()) * warps; }

  public:
    void start(std::size_t shared_bytes, unsigned warp_count);
    void read(std::size_t offset, std::size_t bytes, Proxy proxy = Proxy::GENERIC);
    void write(std::size_t offset, std::size_t bytes, Proxy proxy = Proxy::GENERIC);
    // An asynchronous copy writes from where it starts to where the thread waits for it.
    void start_copy(std::size_t offset, std::size_t bytes, Proxy proxy = Proxy::GENERIC);
    void end_copy(std::size_t offset, std::size_t bytes, unsigned starter);
    void warp_met(unsigned warp) { clock[warp]++; }
    // The warps of the mask have met at a barrier.
    void warps_met(uint32_t mask);
    // What this thread has written is there for the other proxy.
    void fence() { fences[current->linear]++; }
    uint32_t fences_of(unsigned thread) const { return fences[thread]; }
    // Adds what a warp knows to what a barrier tells, and the reverse.
    void release(uint32_t* told) { release(told, current->linear); }
    void release(uint32_t* told, unsigned thread);
    void acquire(const uint32_t* told);
    // The clock of this thread's warp, which then moves; and that another warp knows what came before.
    uint32_t mark() { return clock[current->linear / WARP]++; }
    void learn(unsigned warp, unsigned from, uint32_t mark) { known[warp][from] = std::max(known[warp][from], mark); }
};

} // namespace emulator
