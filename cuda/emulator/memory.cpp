#include "memory.h"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <sys/mman.h>

namespace emulator {
namespace {

constexpr std::size_t PAGE = 4096;
// No memory on either side: an index that is a little wrong faults.
constexpr std::size_t GUARD = 64 * 1024;
constexpr std::size_t ALIGNMENT = 16;
constexpr unsigned char UNSET = 0xFF;

// Pages that hold `bytes` bytes as close to their end as alignment allows; what is around these stays UNSET.
struct Allocation {
    std::size_t bytes;
    unsigned char *pages, *pages_end;
};

std::mutex mutex;
// By the first byte.
std::map<unsigned char*, Allocation> allocations;
std::size_t used = 0;

unsigned char* bytes_of(const void* address) { return static_cast<unsigned char*>(const_cast<void*>(address)); }

// The allocation that starts at or before the address.
std::map<unsigned char*, Allocation>::iterator at_or_before(const void* address) {
    auto after = allocations.upper_bound(bytes_of(address));
    return after == allocations.begin() ? allocations.end() : std::prev(after);
}

bool is_unset(const unsigned char* start, const unsigned char* end) {
    for (; start < end; start++) {
        if (*start != UNSET) return false;
    }
    return true;
}

} // namespace

void* allocate(std::size_t bytes) {
    std::lock_guard<std::mutex> lock(mutex);
    if (bytes == 0 || bytes > MEMORY_BYTES - used) return nullptr;
    std::size_t aligned = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    std::size_t paged = (aligned + PAGE - 1) / PAGE * PAGE;
    void* room = mmap(nullptr, paged + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) return nullptr;
    unsigned char* pages = bytes_of(room) + GUARD;
    if (mprotect(pages, paged, PROT_READ | PROT_WRITE) != 0) {
        munmap(room, paged + 2 * GUARD);
        return nullptr;
    }
    std::memset(pages, UNSET, paged);
    unsigned char* start = pages + paged - aligned;
    allocations[start] = {bytes, pages, pages + paged};
    used += bytes;
    return start;
}

bool release(void* start) {
    std::lock_guard<std::mutex> lock(mutex);
    auto found = allocations.find(bytes_of(start));
    if (found == allocations.end()) return false;
    const Allocation& gone = found->second;
    used -= gone.bytes;
    // The addresses are not given out again, so that a stale pointer faults.
    mmap(gone.pages, gone.pages_end - gone.pages, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    allocations.erase(found);
    return true;
}

std::size_t free_bytes() {
    std::lock_guard<std::mutex> lock(mutex);
    return MEMORY_BYTES - used;
}

bool is_device_memory(const void* start, std::size_t bytes) {
    std::lock_guard<std::mutex> lock(mutex);
    auto found = at_or_before(start);
    if (found == allocations.end()) return false;
    std::size_t offset = bytes_of(start) - found->first;
    return offset <= found->second.bytes && bytes <= found->second.bytes - offset;
}

std::string describe_fault(const void* address) {
    std::lock_guard<std::mutex> lock(mutex);
    char text[200];
    auto before = at_or_before(address);
    auto after = before == allocations.end() ? allocations.begin() : std::next(before);
    if (before != allocations.end() && bytes_of(address) < before->second.pages_end + GUARD) {
        std::size_t beyond = bytes_of(address) - before->first - before->second.bytes;
        std::snprintf(text, sizeof text, "out of bounds: %zu bytes beyond the end of an allocation of %zu bytes", beyond,
                      before->second.bytes);
    } else if (after != allocations.end() && bytes_of(address) >= after->second.pages - GUARD) {
        std::size_t beyond = after->first - bytes_of(address);
        std::snprintf(text, sizeof text, "out of bounds: %zu bytes before the start of an allocation of %zu bytes", beyond,
                      after->second.bytes);
    } else {
        std::snprintf(text, sizeof text, "out of bounds: address %p, which is no memory of the device", address);
    }
    return text;
}

std::string find_damage() {
    std::lock_guard<std::mutex> lock(mutex);
    std::string damage;
    for (auto& [start, allocation] : allocations) {
        unsigned char* end = start + allocation.bytes;
        bool before = !is_unset(allocation.pages, start), behind = !is_unset(end, allocation.pages_end);
        if (!before && !behind) continue;
        char text[120];
        std::snprintf(text, sizeof text, "out of bounds: wrote just %s an allocation of %zu bytes",
                      before ? "before the start of" : "beyond the end of", allocation.bytes);
        damage = text;
        std::memset(allocation.pages, UNSET, start - allocation.pages);
        std::memset(end, UNSET, allocation.pages_end - end);
    }
    return damage;
}

} // namespace emulator
