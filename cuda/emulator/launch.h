// What the driver and the tests see of the emulator: launching a kernel.
#pragma once

#include "emulator.h"

#include <string>

namespace emulator {

// How a launch can end; the numbers of the CUDA driver.
enum Status {
    SUCCESS = 0,
    ILLEGAL_ADDRESS = 700,
    DEADLOCK = 702, // CUDA_ERROR_LAUNCH_TIMEOUT: a device would hang
    FAILED = 719,   // CUDA_ERROR_LAUNCH_FAILED
};

struct Outcome {
    Status status = SUCCESS;
    std::string report;
};

// The most blocks of a cluster.
constexpr unsigned MAX_CLUSTER = 8;

struct Dimensions {
    // In blocks, in threads, in blocks; the grid is a multiple of the cluster.
    Index grid, block, cluster;
    std::size_t shared_bytes;
};

// Runs the kernel to its end. The launch must be within the limits of the device. Threads may launch side by side.
Outcome launch(const Kernel& kernel, const Dimensions& dimensions, void* const* arguments);

} // namespace emulator
