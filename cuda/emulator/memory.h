// Device memory: host pages that nothing but the driver's own copies and kernels should touch.
#pragma once

#include <cstddef>
#include <string>

namespace emulator {

// What the device has.
constexpr std::size_t MEMORY_BYTES = std::size_t(4) << 30;

// Filled with NaN, aligned to 16 bytes and no more; ends where a page that is no memory begins. Null if there is no room.
void* allocate(std::size_t bytes);
// False if the address is none that `allocate` gave. What is freed faults from then on.
bool release(void* start);

std::size_t free_bytes();
// Whether all these bytes lie in one allocation.
bool is_device_memory(const void* start, std::size_t bytes);
// What the address is of which a fault says that it is no memory.
std::string describe_fault(const void* address);
// Which allocation has been written beyond its ends, if any; its ends are made good.
std::string find_damage();

} // namespace emulator
