#include "tensor.h"
#include "races.h"

namespace emulator {

std::size_t swizzled(std::size_t address, unsigned swizzle) {
    // 128 bytes permute by three bits of the row's number, 64 by two, 32 by one.
    std::size_t rows = (std::size_t(1) << swizzle) - 1;
    return address ^ (address >> 7 & rows) << 4;
}

void Tensors::start() {
    barriers.clear();
    copies.clear();
    groups.assign(block.threads / WARPGROUP, Group());
    for (Group& group : groups) group.products.resize(1);
    fenced.assign(block.threads, false);
}

bool Tensors::land() {
    if (copies.empty()) return false;
    auto copy = std::move(copies.front());
    copies.pop_front();
    copy();
    return true;
}

// ---- barriers ----

TransferBarrier& Tensors::barrier_at(const void* place, const char* what) {
    auto found = barriers.find(shared_offset(place, 8, what));
    if (found == barriers.end()) fail("%s: there is no barrier at this place", what);
    return found->second;
}

void Tensors::advance(TransferBarrier& barrier) {
    if (barrier.pending || barrier.bytes) return;
    barrier.pending = barrier.expected;
    barrier.phase++;
}

void Tensors::barrier_init(void* place, unsigned expected) {
    std::size_t offset = shared_offset(place, 8, "mbarrier.init");
    if (offset % 8) fail("mbarrier.init: the barrier must be aligned to 8 bytes");
    if (expected == 0) fail("mbarrier.init: at least one arrival must be expected");
    block.races->write(offset, 8);
    TransferBarrier& barrier = barriers[offset] = TransferBarrier();
    barrier.expected = barrier.pending = expected;
    barrier.maker = current->linear;
    barrier.made = block.races->fences_of(current->linear);
}

void Tensors::barrier_arrive(void* place, int64_t bytes) {
    TransferBarrier& barrier = barrier_at(place, "mbarrier.arrive");
    block.races->read(shared_offset(place, 8, "mbarrier.arrive"), 8);
    if (barrier.pending == 0) fail("mbarrier.arrive: more arrivals than the %u expected", barrier.expected);
    block.races->release(barrier.known);
    barrier.pending--;
    barrier.bytes += bytes;
    advance(barrier);
}

void Tensors::barrier_wait(void* place, uint32_t parity) {
    TransferBarrier& barrier = barrier_at(place, "mbarrier.wait");
    block.races->read(shared_offset(place, 8, "mbarrier.wait"), 8);
    while ((barrier.phase & 1) == parity) wait_while(&barrier.phase, barrier.phase, "a phase of an mbarrier");
    block.races->acquire(barrier.known);
}

// ---- copies of tiles ----

void Tensors::copy_tile(void* to, const TensorMap& map, void* place, int column, int row) {
    const char* what = "cp.async.bulk.tensor";
    if (map.mark != TensorMap::MARK) fail("%s: the tensor map is none that the driver has made", what);
    std::size_t row_bytes = map.box_columns * map.element_bytes, bytes = row_bytes * map.box_rows;
    std::size_t offset = shared_offset(to, bytes, what);
    if (offset % 128) fail("%s: the tile must be aligned to 128 bytes", what);
    TransferBarrier& barrier = barrier_at(place, what);
    Races& races = *block.races;
    if (races.fences_of(barrier.maker) == barrier.made) fail("%s: its barrier has been made, but not fenced", what);
    races.start_copy(offset, bytes, Races::Proxy::ASYNCHRONOUS);

    unsigned starter = current->linear;
    auto copy = [this, &barrier, &races, map, offset, bytes, row_bytes, column, row, starter] {
        for (uint32_t r = 0; r < map.box_rows; r++) {
            for (uint32_t c = 0; c < map.box_columns; c++) {
                unsigned char* element = block.shared + swizzled(offset + r * row_bytes + c * map.element_bytes, map.swizzle);
                int64_t from_row = int64_t(row) + r, from_column = int64_t(column) + c;
                bool inside = from_row >= 0 && from_column >= 0 && from_row < int64_t(map.rows) && from_column < int64_t(map.columns);
                if (inside) {
                    auto* from = reinterpret_cast<const unsigned char*>(map.address);
                    std::memcpy(element, from + from_row * map.row_bytes + from_column * map.element_bytes, map.element_bytes);
                } else {
                    std::memset(element, 0, map.element_bytes);
                }
            }
        }
        races.end_copy(offset, bytes, starter);
        races.release(barrier.known, starter);
        barrier.bytes -= bytes;
        advance(barrier);
    };
    if (block.late) {
        copies.push_back(copy);
    } else {
        copy();
    }
}

void fence_proxy() { current->block->races->fence(); }

// ---- products of a warpgroup ----

// The threads of the warpgroup meet; the last one to come acts on what each has put in its slot.
template <class Act> void Tensors::meet(void* mine, const char* reason, Act act) {
    unsigned which = current->linear / WARPGROUP;
    if (which >= groups.size()) fail("%s: the block has no whole warpgroup here", reason);
    Group& group = groups[which];
    group.slot[current->linear % WARPGROUP] = mine;
    if (++group.arrived == WARPGROUP) {
        group.arrived = 0;
        act(group);
        group.generation++;
    } else {
        wait_while(&group.generation, group.generation, reason);
    }
}

namespace {

// The matrix of which a descriptor tells: rows (or columns) of bf16 along the inner index.
class Operand {
    std::size_t start, leading, stride;
    unsigned swizzle;

    static std::size_t field(uint64_t descriptor, unsigned first) { return (descriptor >> first & 0x3fff) << 4; }

  public:
    explicit Operand(uint64_t descriptor)
        : start(field(descriptor, 0)), leading(field(descriptor, 16)), stride(field(descriptor, 32)) {
        // The modes of the descriptor count down from 128 bytes.
        constexpr unsigned MODES[] = {SWIZZLE_NONE, SWIZZLE_128, SWIZZLE_64, SWIZZLE_32};
        swizzle = MODES[descriptor >> 62];
        constexpr uint64_t UNUSED = uint64_t(3) << 14 | uint64_t(3) << 30 | uint64_t(7) << 46 | uint64_t(0x3ff) << 52;
        if (descriptor & UNUSED) fail("wgmma: descriptor %016llx has bits outside its fields", (unsigned long long)descriptor);
        if (descriptor >> 49 & 7) fail("wgmma: a base offset is not emulated");
        std::size_t atom = 8 * width();
        if (swizzle && start % atom >= width()) fail("wgmma: the matrix does not start in the first row of a swizzle of %zu bytes", atom);
    }

    std::size_t width() const { return std::size_t(16) << swizzle; }

    // Where the element at an inner index of a row is.
    std::size_t at(unsigned row, unsigned inner) const {
        std::size_t bytes = inner * 2;
        if (!swizzle) return start + row / 8 * stride + bytes / 16 * leading + row % 8 * 16 + bytes % 16;
        return swizzled(start + row / 8 * stride + row % 8 * width() + bytes, swizzle);
    }
};

struct Product {
    float* sums;
    uint64_t a, b;
    bool accumulate;
};

constexpr unsigned PRODUCT_ROWS = 64, PRODUCT_DEPTH = 16;

// What tensor cores leave of a sum: they cut off what f32 has no place for, and do not round.
float cut_off(double sum) {
    float rounded = float(sum);
    return std::isfinite(rounded) && std::fabs(rounded) > std::fabs(sum) ? std::nextafter(rounded, 0.0f) : rounded;
}

} // namespace

void Tensors::fence_registers() { fenced[current->linear] = true; }

void Tensors::multiply(float* sums, uint64_t a, uint64_t b, unsigned columns, bool accumulate) {
    if (!fenced[current->linear]) fail("wgmma: no wgmma.fence before the first product");
    Product mine{sums, a, b, accumulate};
    meet(&mine, "wgmma", [&](Group& group) {
        std::vector<float*> all(WARPGROUP);
        for (unsigned i = 0; i < WARPGROUP; i++) {
            auto* product = static_cast<Product*>(group.slot[i]);
            if (product->a != a || product->b != b || product->accumulate != accumulate) {
                fail("wgmma: the threads of a warpgroup give different operands");
            }
            all[i] = product->sums;
        }
        auto operand = [this](const Operand& from, unsigned rows, std::vector<float>& to) {
            to.resize(rows * PRODUCT_DEPTH);
            for (unsigned i = 0; i < to.size(); i++) {
                std::size_t offset = from.at(i / PRODUCT_DEPTH, i % PRODUCT_DEPTH);
                if (offset + 2 > block.shared_bytes) fail("wgmma: out of bounds: offset %zu of shared memory", offset);
                block.races->read(offset, 2, Races::Proxy::ASYNCHRONOUS);
                uint16_t value;
                std::memcpy(&value, block.shared + offset, 2);
                to[i] = from_bf16(value);
            }
        };
        auto run = [=, &group] {
            std::vector<float> left, right;
            operand(Operand(a), PRODUCT_ROWS, left);
            operand(Operand(b), columns, right);
            group.marks[current->linear % WARPGROUP / WARP] = block.races->mark();
            for (unsigned thread = 0; thread < WARPGROUP; thread++) {
                for (unsigned i = 0; i < columns / 2; i++) {
                    unsigned row = thread / 32 * 16 + thread % 32 / 4 + i / 2 % 2 * 8;
                    unsigned column = i / 4 * 8 + thread % 4 * 2 + i % 2;
                    double sum = accumulate ? all[thread][i] : 0;
                    for (unsigned k = 0; k < PRODUCT_DEPTH; k++) {
                        sum += double(left[row * PRODUCT_DEPTH + k]) * right[column * PRODUCT_DEPTH + k];
                    }
                    all[thread][i] = cut_off(sum);
                }
            }
        };
        group.products.back().push_back(run);
        if (!block.late) run();
    });
}

void Tensors::commit() {
    meet(nullptr, "wgmma.commit_group", [](Group& group) { group.products.emplace_back(); });
}

void Tensors::wait(unsigned groups_in_flight) {
    meet(nullptr, "wgmma.wait_group", [&](Group& group) {
        while (group.products.size() - 1 > groups_in_flight) {
            if (block.late) {
                for (auto& product : group.products.front()) product();
            }
            group.products.pop_front();
        }
        // Each of the warps may tell that the products have read what they read.
        constexpr unsigned WARPS = WARPGROUP / WARP;
        unsigned first = current->linear / WARPGROUP * WARPS;
        for (unsigned warp = 0; warp < WARPS; warp++) {
            for (unsigned other = 0; other < WARPS; other++) block.races->learn(first + warp, first + other, group.marks[other]);
        }
    });
}

// ---- matrix instructions of one warp ----

float from_bf16(uint16_t value) {
    uint32_t bits = uint32_t(value) << 16;
    float wide;
    std::memcpy(&wide, &bits, 4);
    return wide;
}

namespace {

struct Fragments {
    float* d;
    const uint32_t *a, *b;
};

constexpr unsigned ROWS = 16, COLUMNS = 8;

// The numbers of one register, in the order of the inner index.
struct Tf32 {
    static constexpr unsigned EACH = 1;
    static float at(uint32_t bits, unsigned) {
        float value;
        bits &= ~0x1fffu;
        std::memcpy(&value, &bits, 4);
        return value;
    }
};
struct Bf16 {
    static constexpr unsigned EACH = 2;
    static float at(uint32_t bits, unsigned i) { return from_bf16(uint16_t(bits >> 16 * i)); }
};

template <class Numbers> void multiply_fragments(Meeting& meeting) {
    constexpr unsigned DEPTH = 8 * Numbers::EACH;
    float left[ROWS][DEPTH], right[DEPTH][COLUMNS];
    for (unsigned lane = 0; lane < WARP; lane++) {
        auto* from = static_cast<Fragments*>(meeting.slot[lane]);
        if (!from) fail("mma.sync: lane %u takes no part in it", lane);
        unsigned group = lane / 4, within = lane % 4;
        for (unsigned k = 0; k < Numbers::EACH; k++) {
            for (unsigned i = 0; i < 4; i++) {
                left[group + i % 2 * 8][within * Numbers::EACH + k + i / 2 * DEPTH / 2] = Numbers::at(from->a[i], k);
            }
            for (unsigned i = 0; i < 2; i++) right[within * Numbers::EACH + k + i * DEPTH / 2][group] = Numbers::at(from->b[i], k);
        }
    }
    for (unsigned lane = 0; lane < WARP; lane++) {
        float* d = static_cast<Fragments*>(meeting.slot[lane])->d;
        for (unsigned i = 0; i < 4; i++) {
            unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
            double sum = d[i];
            for (unsigned k = 0; k < DEPTH; k++) sum += double(left[row][k]) * right[k][column];
            d[i] = cut_off(sum);
        }
    }
}

struct Row {
    uint32_t* to;
    const void* from;
    unsigned count;
};

} // namespace

void multiply_tf32(float* d, const uint32_t* a, const uint32_t* b) {
    Fragments mine{d, a, b};
    meet(~0u, &mine, "mma.sync", multiply_fragments<Tf32>);
}

void multiply_bf16(float* d, const uint32_t* a, const uint32_t* b) {
    Fragments mine{d, a, b};
    meet(~0u, &mine, "mma.sync", multiply_fragments<Bf16>);
}

void load_matrices(uint32_t* to, const void* row, unsigned count) {
    if (current->lane() < 8 * count) {
        std::size_t offset = shared_offset(row, 16, "ldmatrix");
        if (offset % 16) fail("ldmatrix: a row must be aligned to 16 bytes");
        current->block->races->read(offset, 16);
    }
    Row mine{to, row, count};
    meet(~0u, &mine, "ldmatrix", [](Meeting& meeting) {
        for (unsigned lane = 0; lane < WARP; lane++) {
            auto* mine = static_cast<Row*>(meeting.slot[lane]);
            if (!mine) fail("ldmatrix: lane %u takes no part in it", lane);
            for (unsigned i = 0; i < mine->count; i++) {
                auto* giver = static_cast<Row*>(meeting.slot[i * 8 + lane / 4]);
                std::memcpy(mine->to + i, static_cast<const unsigned char*>(giver->from) + lane % 4 * 4, 4);
            }
        }
    });
}

} // namespace emulator
