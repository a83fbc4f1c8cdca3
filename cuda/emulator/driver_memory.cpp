// Memory and tensor maps of the emulated driver: see driver.cpp.
#include "driver.h"
#include "tensor.h"

#include <cstdlib>

using namespace driver;

namespace {

Result require_device(const char* what, DevicePointer pointer, std::size_t bytes) {
    if (emulator::is_device_memory(host(pointer), bytes)) return 0;
    return refuse(INVALID_VALUE, "%s: %zu bytes at 0x%llx are not within one allocation of the device", what, bytes, pointer);
}

Result require_host(const char* what, const void* pointer, std::size_t bytes) {
    if (pointer && !emulator::is_device_memory(pointer, 0)) return 0;
    return refuse(INVALID_VALUE, "%s: %zu bytes at %p are not the host's", what, bytes, pointer);
}

} // namespace

// ---- memory ----

API cuMemAlloc_v2(DevicePointer* pointer, std::size_t bytes) {
    if (Result status = ready()) return status;
    if (bytes == 0) return INVALID_VALUE;
    *pointer = reinterpret_cast<DevicePointer>(emulator::allocate(bytes));
    return *pointer ? 0 : OUT_OF_MEMORY;
}

API cuMemAllocAsync(DevicePointer* pointer, std::size_t bytes, Stream* stream) {
    if (Result status = finish(stream)) return status;
    return cuMemAlloc_v2(pointer, bytes);
}

// The one pool: memory that is freed is free at once, whatever it is told to keep.
API cuDeviceGetDefaultMemPool(void** pool, Device) {
    static char the_pool;
    *pool = &the_pool;
    return 0;
}

API cuMemPoolSetAttribute(void*, int, void*) { return 0; }

API cuMemFree_v2(DevicePointer pointer) {
    if (pointer == 0 || emulator::release(host(pointer))) return 0;
    return refuse(INVALID_VALUE, "free: no allocation starts at 0x%llx", pointer);
}

API cuMemFreeAsync(DevicePointer pointer, Stream* stream) {
    // Also on a stream that has failed: what owns the memory cannot do otherwise.
    return resolve(stream) ? cuMemFree_v2(pointer) : INVALID_HANDLE;
}

API cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
    *free = emulator::free_bytes();
    *total = emulator::MEMORY_BYTES;
    return ready();
}

// Memory of the host that a device could read as fast as possible.
API cuMemHostAlloc(void** pointer, std::size_t bytes, unsigned) {
    *pointer = std::malloc(bytes);
    return *pointer ? 0 : OUT_OF_MEMORY;
}

API cuMemFreeHost(void* pointer) {
    std::free(pointer);
    return 0;
}

API cuMemcpyHtoDAsync_v2(DevicePointer to, const void* from, std::size_t bytes, Stream* stream) {
    if (Result status = require_device("copy to the device", to, bytes)) return status;
    if (Result status = require_host("copy to the device", from, bytes)) return status;
    return queue(stream, [=] {
        std::memcpy(host(to), from, bytes);
        return 0;
    });
}

API cuMemcpyDtoHAsync_v2(void* to, DevicePointer from, std::size_t bytes, Stream* stream) {
    if (Result status = require_device("copy to the host", from, bytes)) return status;
    if (Result status = require_host("copy to the host", to, bytes)) return status;
    return queue(stream, [=] {
        std::memcpy(to, host(from), bytes);
        return 0;
    });
}

API cuMemcpyDtoDAsync_v2(DevicePointer to, DevicePointer from, std::size_t bytes, Stream* stream) {
    if (Result status = require_device("copy on the device", from, bytes)) return status;
    if (Result status = require_device("copy on the device", to, bytes)) return status;
    return queue(stream, [=] {
        std::memmove(host(to), host(from), bytes);
        return 0;
    });
}

API cuMemsetD8Async(DevicePointer to, unsigned char value, std::size_t bytes, Stream* stream) {
    if (Result status = require_device("fill", to, bytes)) return status;
    return queue(stream, [=] {
        std::memset(host(to), value, bytes);
        return 0;
    });
}

API cuMemcpyHtoD_v2(DevicePointer to, const void* from, std::size_t bytes) {
    Result status = cuMemcpyHtoDAsync_v2(to, from, bytes, nullptr);
    return status ? status : finish(nullptr);
}

API cuMemcpyDtoH_v2(void* to, DevicePointer from, std::size_t bytes) {
    Result status = cuMemcpyDtoHAsync_v2(to, from, bytes, nullptr);
    return status ? status : finish(nullptr);
}

API cuMemcpyDtoD_v2(DevicePointer to, DevicePointer from, std::size_t bytes) {
    Result status = cuMemcpyDtoDAsync_v2(to, from, bytes, nullptr);
    return status ? status : finish(nullptr);
}

API cuMemsetD8_v2(DevicePointer to, unsigned char value, std::size_t bytes) {
    Result status = cuMemsetD8Async(to, value, bytes, nullptr);
    return status ? status : finish(nullptr);
}

// ---- tensor maps ----

API cuTensorMapEncodeTiled(void* result, int type, unsigned rank, void* address, const uint64_t* sizes, const uint64_t* strides,
                           const unsigned* box, const unsigned* element_strides, int interleave, int swizzle, int,
                           int fill) {
    // By CUtensorMapDataType: u8, u16, u32, i32, u64, i64, f16, f32, f64, bf16.
    static const unsigned BYTES[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2};
    auto refused = [](const char* what) { return refuse(INVALID_VALUE, "tensor map: %s", what); };
    if (type < 0 || type > 9 || rank != 2 || interleave != 0 || swizzle < 0 || swizzle > 3 || fill != 0) {
        return refuse(NOT_SUPPORTED, "tensor map: only matrices of plain numbers, filled with zeros, are emulated");
    }
    if (element_strides[0] != 1 || element_strides[1] != 1) {
        return refuse(NOT_SUPPORTED, "tensor map: only strides of one element are emulated");
    }
    unsigned bytes = BYTES[type], row = box[0] * bytes;
    if (reinterpret_cast<uintptr_t>(result) % 64) return refused("it must be aligned to 64 bytes");
    if (reinterpret_cast<uintptr_t>(address) % 16) return refused("the tensor must be aligned to 16 bytes");
    if (strides[0] % 16 || strides[0] < sizes[0] * bytes) return refused("rows must be apart by a multiple of 16 bytes");
    if (!sizes[0] || !sizes[1] || !box[0] || !box[1] || box[0] > 256 || box[1] > 256) return refused("sizes and box out of range");
    if (row % 16) return refused("a row of the box must be a multiple of 16 bytes");
    if (swizzle && row > 16u << swizzle) return refused("a row of the box is longer than the swizzle");
    std::size_t extent = strides[0] * (sizes[1] - 1) + sizes[0] * bytes;
    if (!emulator::is_device_memory(address, extent)) return refused("the tensor is not within one allocation of the device");
    emulator::TensorMap map = {emulator::TensorMap::MARK, reinterpret_cast<uint64_t>(address), sizes[0], sizes[1], strides[0], bytes,
                               static_cast<uint32_t>(swizzle), box[0], box[1]};
    std::memset(result, 0, 128);
    std::memcpy(result, &map, sizeof map);
    return 0;
}
