// What Hopper does beside its threads: barriers in shared memory that count bytes, copies of tiles of tensors, and products of
// matrices that a warpgroup starts.
//
// These see shared memory through another proxy than loads and stores: what a thread has written by an ordinary store must be
// fenced (fence.proxy.async) by that thread before they read it. A field of a descriptor or of a tensor map that is not decoded
// here ends the launch.
#pragma once

#include "emulator.h"

#include <deque>
#include <functional>
#include <map>

namespace emulator {

constexpr unsigned WARPGROUP = 128;

// How a tile's rows of so many bytes are permuted in shared memory: the CUDA driver's numbers.
enum Swizzle : unsigned { SWIZZLE_NONE = 0, SWIZZLE_32 = 1, SWIZZLE_64 = 2, SWIZZLE_128 = 3 };

// What cuTensorMapEncodeTiled makes of a matrix.
struct TensorMap {
    static constexpr uint64_t MARK = 0x68616e6467726164;
    uint64_t mark, address;
    uint64_t columns, rows, row_bytes;
    uint32_t element_bytes, swizzle, box_columns, box_rows;
};

// The address with the bits that the swizzle permutes; of 0, as it is.
std::size_t swizzled(std::size_t address, unsigned swizzle);

// A barrier in shared memory: a phase ends when all arrivals and all bytes have come.
struct TransferBarrier {
    uint32_t phase = 0;
    unsigned expected = 0, pending = 0;
    int64_t bytes = 0;
    // Who made it, and how many fences it had passed then.
    unsigned maker = 0;
    uint32_t made = 0;
    // What those who have arrived knew of the warps' clocks: see races.h.
    uint32_t known[MAX_THREADS / WARP] = {};
};

// The asynchronous side of one block.
class Tensors {
    struct Group {
        uint32_t generation = 0;
        unsigned arrived = 0;
        void* slot[WARPGROUP] = {};
        // Products by committed group, of which the last is open.
        std::deque<std::vector<std::function<void()>>> products;
        // The clocks of the warps when products last read shared memory for all four of them.
        uint32_t marks[WARPGROUP / WARP] = {};
    };

    Block& block;
    std::map<std::size_t, TransferBarrier> barriers;
    std::deque<std::function<void()>> copies;
    std::vector<Group> groups;
    std::vector<bool> fenced;

    TransferBarrier& barrier_at(const void* place, const char* what);
    void advance(TransferBarrier& barrier);
    template <class Act> void meet(void* mine, const char* reason, Act act);

  public:
    explicit Tensors(Block& block) : block(block) {}
    void start();
    // Lets one copy under way land; false if there is none.
    bool land();

    void barrier_init(void* place, unsigned expected);
    void barrier_arrive(void* place, int64_t bytes);
    void barrier_wait(void* place, uint32_t parity);
    void copy_tile(void* to, const TensorMap& map, void* barrier, int column, int row);

    void fence_registers();
    void multiply(float* sums, uint64_t a, uint64_t b, unsigned columns, bool accumulate);
    void commit();
    void wait(unsigned groups_in_flight);
};

// fence.proxy.async by this thread.
void fence_proxy();

// ---- matrix instructions of one warp ----

float from_bf16(uint16_t value);

// d += a b of 16 x 8 sums over 8 tf32 or 16 bf16 numbers, laid out as mma.sync has it.
void multiply_tf32(float* d, const uint32_t* a, const uint32_t* b);
void multiply_bf16(float* d, const uint32_t* a, const uint32_t* b);
// `count` 8 x 8 matrices of 16-bit numbers; lane 8 i + r gives the address of row r of matrix i.
void load_matrices(uint32_t* to, const void* row, unsigned count);

} // namespace emulator
