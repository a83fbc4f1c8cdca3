// A CUDA driver (libcuda.so.1) whose one device is the emulator, so that the host's whole path runs without a GPU.
//
// Work is done when it is queued. A kernel that fails leaves its stream failed: every later call on that stream answers with
// the kernel's status, as a device's context would; other streams go on. Where a device would let a mistake pass (an argument
// that is no device pointer, too much shared memory), the call is refused and a line on stderr says why.
#include "launch.h"
#include "memory.h"
#include "tensor.h"

#include <atomic>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>

#define API extern "C" __attribute__((visibility("default"))) Result

namespace {

using emulator::Index;
using emulator::Kernel;

typedef int Result;
typedef int Device;
typedef unsigned long long DevicePointer;

// Of CUresult.
enum {
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    OUT_OF_RESOURCES = 701,
    NOT_SUPPORTED = 801,
    CAPTURE_UNSUPPORTED = 900,
};

const struct {
    Result code;
    const char *name, *text;
} STATUSES[] = {
    {0, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {emulator::ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {emulator::DEADLOCK, "CUDA_ERROR_LAUNCH_TIMEOUT", "the kernel would never end"},
    {emulator::FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
};

// Refuses a call and says why.
__attribute__((format(printf, 2, 3))) Result refuse(Result status, const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    std::fputs("emulated driver: ", stderr);
    std::vfprintf(stderr, format, arguments);
    std::fputc('\n', stderr);
    va_end(arguments);
    return status;
}

// ---- what handles stand for ----

typedef std::function<Result()> Work;

struct Graph {
    std::vector<Work> work;
};

struct Stream {
    Result failed = 0;
    std::unique_ptr<Graph> capture;
};

struct Event {
    bool timed = true, recorded = false;
    std::chrono::steady_clock::time_point time;
};

// A loaded image; names are looked for in it, since the table of kernels holds those of all images.
struct Module {
    std::string image;
};

struct Function {
    const Kernel* kernel;
    const Module* module;
    int shared_limit = emulator::SHARED_BY_DEFAULT;
};

// Handles of one kind that are live, so that a stale one is refused.
template <class T> class Handles {
    std::mutex mutex;
    std::unordered_set<T*> live;

  public:
    T* add(T* handle) {
        std::lock_guard<std::mutex> lock(mutex);
        live.insert(handle);
        return handle;
    }
    bool has(T* handle) {
        std::lock_guard<std::mutex> lock(mutex);
        return live.count(handle) != 0;
    }
    bool destroy(T* handle) {
        std::lock_guard<std::mutex> lock(mutex);
        if (live.erase(handle) == 0) return false;
        delete handle;
        return true;
    }
    template <class F> void each(F act) {
        std::lock_guard<std::mutex> lock(mutex);
        for (T* handle : live) act(*handle);
    }
};

Handles<Stream> streams;
Handles<Event> events;
Handles<Graph> graphs;
Handles<Graph> executables;
Handles<Module> modules;
Handles<Function> functions;

std::atomic<bool> initialized{false};
// There is one context.
char the_context;
thread_local void* context_of_thread = nullptr;

Stream* default_stream() {
    static Stream* stream = streams.add(new Stream);
    return stream;
}

// Null is the default stream.
Stream* resolve(Stream* stream) {
    if (!stream) return default_stream();
    return streams.has(stream) ? stream : nullptr;
}

Result ready() {
    if (!initialized) return NOT_INITIALIZED;
    return context_of_thread ? 0 : INVALID_CONTEXT;
}

// Does the work, or keeps it for the graph that the stream captures.
Result queue(Stream* handle, Work work) {
    if (Result status = ready()) return status;
    Stream* stream = resolve(handle);
    if (!stream) return INVALID_HANDLE;
    if (stream->failed) return stream->failed;
    if (stream->capture) {
        stream->capture->work.push_back(std::move(work));
        return 0;
    }
    // A failure of work is told when the stream is waited for, as of work that goes on meanwhile.
    stream->failed = work();
    return 0;
}

// Waits for the stream and answers with how its work went.
Result finish(Stream* handle) {
    if (Result status = ready()) return status;
    Stream* stream = resolve(handle);
    if (!stream) return INVALID_HANDLE;
    return stream->capture ? CAPTURE_UNSUPPORTED : stream->failed;
}

void* host(DevicePointer pointer) { return reinterpret_cast<void*>(pointer); }

Result require_device(const char* what, DevicePointer pointer, std::size_t bytes) {
    if (emulator::is_device_memory(host(pointer), bytes)) return 0;
    return refuse(INVALID_VALUE, "%s: %zu bytes at 0x%llx are not within one allocation of the device", what, bytes, pointer);
}

Result require_host(const char* what, const void* pointer, std::size_t bytes) {
    if (pointer && !emulator::is_device_memory(pointer, 0)) return 0;
    return refuse(INVALID_VALUE, "%s: %zu bytes at %p are not the host's", what, bytes, pointer);
}

// ---- launches ----

// The arguments of a launch, copied when it is queued; each is aligned as any parameter may be.
class Arguments {
    struct alignas(128) Unit {
        unsigned char bytes[128];
    };
    std::vector<Unit> units;
    std::vector<std::size_t> starts;

  public:
    void add(const void* value, std::size_t bytes) {
        starts.push_back(units.size());
        units.resize(units.size() + (bytes + sizeof(Unit) - 1) / sizeof(Unit));
        std::memcpy(&units[starts.back()], value, bytes);
    }
    std::vector<void*> pointers() {
        std::vector<void*> all;
        for (std::size_t start : starts) all.push_back(&units[start]);
        return all;
    }
};

// The values of `extra`: the size and the address of a buffer laid out as a structure of the parameters.
constexpr std::size_t EXTRA_END = 0, EXTRA_POINTER = 1, EXTRA_SIZE = 2;

Result read_arguments(const Kernel& kernel, void** values, void** extra, Arguments& arguments) {
    std::size_t count = kernel.parameters.size();
    if (values && extra) return refuse(INVALID_VALUE, "%s: arguments given twice", kernel.name);
    if (count && !values && !extra) return refuse(INVALID_VALUE, "%s: %zu arguments are missing", kernel.name, count);
    const unsigned char* buffer = nullptr;
    std::size_t given = 0, offset = 0;
    for (void** item = extra; item && reinterpret_cast<std::size_t>(*item) != EXTRA_END; item += 2) {
        if (reinterpret_cast<std::size_t>(*item) == EXTRA_POINTER) buffer = static_cast<const unsigned char*>(item[1]);
        if (reinterpret_cast<std::size_t>(*item) == EXTRA_SIZE) given = *static_cast<std::size_t*>(item[1]);
    }
    for (std::size_t i = 0; i < count; i++) {
        const emulator::Parameter& parameter = kernel.parameters[i];
        offset = (offset + parameter.alignment - 1) / parameter.alignment * parameter.alignment;
        if (extra && offset + parameter.size > given) {
            return refuse(INVALID_VALUE, "%s: argument %zu ends at byte %zu, but %zu bytes are given", kernel.name, i,
                          offset + parameter.size, given);
        }
        const void* value = extra ? buffer + offset : values[i];
        if (!value) return refuse(INVALID_VALUE, "%s: argument %zu is missing", kernel.name, i);
        offset += parameter.size;
        if (parameter.pointer) {
            void* pointer = *static_cast<void* const*>(value);
            if (pointer && !emulator::is_device_memory(pointer, 0)) {
                return refuse(INVALID_VALUE, "%s: argument %zu is %p, which is no memory of the device", kernel.name, i, pointer);
            }
        }
        arguments.add(value, parameter.size);
    }
    if (extra && given != offset) {
        return refuse(INVALID_VALUE, "%s: its arguments have %zu bytes, but %zu bytes are given", kernel.name, offset, given);
    }
    return 0;
}

Result launch(Function* function, Index grid, Index block, Index cluster, unsigned shared, Stream* stream, void** values,
              void** extra) {
    if (Result status = ready()) return status;
    if (!functions.has(function)) return INVALID_HANDLE;
    const Kernel& kernel = *function->kernel;
    uint64_t threads = static_cast<uint64_t>(block.x) * block.y * block.z;
    if (threads == 0 || block.x > 1024 || block.y > 1024 || block.z > 64 || threads > emulator::MAX_THREADS) {
        return refuse(INVALID_VALUE, "%s: blocks of %u x %u x %u threads", kernel.name, block.x, block.y, block.z);
    }
    if (threads > kernel.most_threads) {
        return refuse(OUT_OF_RESOURCES, "%s: blocks of %llu threads, but it is compiled for at most %u", kernel.name,
                      static_cast<unsigned long long>(threads), kernel.most_threads);
    }
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535) {
        return refuse(INVALID_VALUE, "%s: a grid of %u x %u x %u blocks", kernel.name, grid.x, grid.y, grid.z);
    }
    if (shared > static_cast<unsigned>(function->shared_limit)) {
        return refuse(INVALID_VALUE, "%s: %u bytes of shared memory, but its limit is set to %d", kernel.name, shared,
                      function->shared_limit);
    }
    if (cluster.x == 0 || cluster.y == 0 || cluster.z == 0 || cluster.x * cluster.y * cluster.z > emulator::MAX_CLUSTER ||
        grid.x % cluster.x || grid.y % cluster.y || grid.z % cluster.z) {
        return refuse(INVALID_VALUE, "%s: clusters of %u x %u x %u blocks", kernel.name, cluster.x, cluster.y, cluster.z);
    }
    Arguments arguments;
    if (Result status = read_arguments(kernel, values, extra, arguments)) return status;
    return queue(stream, [=, &kernel]() mutable {
        return emulator::launch(kernel, {grid, block, cluster, shared}, arguments.pointers().data()).status;
    });
}

// ---- images ----

// The bytes of an image whose length is written in it, or, of text, up to its end.
bool read_image(const void* start, std::string& image) {
    const char* bytes = static_cast<const char*>(start);
    auto word = [&](std::size_t offset, std::size_t size) {
        uint64_t value = 0;
        std::memcpy(&value, bytes + offset, size);
        return value;
    };
    constexpr uint64_t MACHINE_CUDA = 190;
    if (std::memcmp(bytes, "\177ELF", 4) == 0) {
        if (word(0x12, 2) != MACHINE_CUDA) return false;
        uint64_t sections = word(0x28, 8) + word(0x3a, 2) * word(0x3c, 2);
        uint64_t segments = word(0x20, 8) + word(0x36, 2) * word(0x38, 2);
        image.assign(bytes, std::max(sections, segments));
        return true;
    }
    image = bytes;
    return image.find(".version") != std::string::npos;
}

} // namespace

// ---- the device ----

API cuInit(unsigned flags) {
    if (flags) return INVALID_VALUE;
    initialized = true;
    return 0;
}

API cuDriverGetVersion(int* version) {
    *version = 13000;
    return 0;
}

API cuDeviceGetCount(int* count) {
    *count = 1;
    return initialized ? 0 : NOT_INITIALIZED;
}

API cuDeviceGet(Device* device, int ordinal) {
    *device = ordinal;
    return ordinal == 0 ? 0 : INVALID_DEVICE;
}

API cuDeviceGetName(char* name, int size, Device) {
    std::snprintf(name, size, "CUDA emulator");
    return 0;
}

API cuDeviceTotalMem_v2(std::size_t* bytes, Device) {
    *bytes = emulator::MEMORY_BYTES;
    return 0;
}

API cuDeviceGetUuid_v2(char* uuid, Device) {
    std::memcpy(uuid, "CUDA emulator 00", 16);
    return 0;
}

API cuDeviceGetAttribute(int* value, int attribute, Device) {
    static const std::unordered_map<int, int> ATTRIBUTES = {
        {1, 1024},                        // threads of a block
        {2, 1024},        {3, 1024},      {4, 64}, // its x, y, z
        {5, 0x7fffffff},  {6, 65535},     {7, 65535}, // the grid's x, y, z
        {8, emulator::SHARED_BY_DEFAULT}, // shared memory of a block
        {10, 32},                         // lanes of a warp
        {12, 65536},                      // registers of a block
        {13, 1000000},                    // clock, kHz
        {16, 132},                        // multiprocessors
        {31, 1},                          // concurrent kernels
        {39, 2048},                       // threads of a multiprocessor
        {41, 1},                          // one address space
        {75, 9},          {76, 0},        // compute capability
        {81, 228 * 1024},                 // shared memory of a multiprocessor
        {82, 65536},                      // registers of a multiprocessor
        {83, 0},                          // managed memory
        {89, 0},          {95, 0},        // concurrent managed access, cooperative launch
        {97, emulator::SHARED_AT_MOST},   // shared memory of a block that asks for it
        {115, 1},                         // memory pools
        {120, 1},                         // clusters
    };
    auto found = ATTRIBUTES.find(attribute);
    if (found == ATTRIBUTES.end()) return refuse(INVALID_VALUE, "device attribute %d is not emulated", attribute);
    *value = found->second;
    return 0;
}

API cuDevicePrimaryCtxRetain(void** context, Device) {
    *context = &the_context;
    return initialized ? 0 : NOT_INITIALIZED;
}

API cuDevicePrimaryCtxRelease_v2(Device) { return 0; }

API cuCtxSetCurrent(void* context) {
    if (context && context != &the_context) return INVALID_CONTEXT;
    context_of_thread = context;
    return 0;
}

API cuCtxGetCurrent(void** context) {
    *context = context_of_thread;
    return 0;
}

API cuCtxSynchronize() {
    if (Result status = ready()) return status;
    Result first = 0;
    streams.each([&](Stream& stream) { first = first ? first : stream.failed; });
    return first;
}

// ---- streams and events ----

API cuStreamCreate(Stream** stream, unsigned) {
    if (Result status = ready()) return status;
    *stream = streams.add(new Stream);
    return 0;
}

API cuStreamCreateWithPriority(Stream** stream, unsigned flags, int) { return cuStreamCreate(stream, flags); }
API cuStreamDestroy_v2(Stream* stream) { return streams.destroy(stream) ? 0 : INVALID_HANDLE; }
API cuStreamSynchronize(Stream* stream) { return finish(stream); }
API cuStreamQuery(Stream* stream) { return finish(stream); }

API cuStreamWaitEvent(Stream* stream, Event* event, unsigned) {
    if (!events.has(event)) return INVALID_HANDLE;
    return queue(stream, [] { return 0; });
}

API cuEventCreate(Event** event, unsigned flags) {
    constexpr unsigned DISABLE_TIMING = 2;
    if (Result status = ready()) return status;
    *event = events.add(new Event);
    (*event)->timed = !(flags & DISABLE_TIMING);
    return 0;
}

API cuEventDestroy_v2(Event* event) { return events.destroy(event) ? 0 : INVALID_HANDLE; }

API cuEventRecord(Event* event, Stream* stream) {
    if (!events.has(event)) return INVALID_HANDLE;
    return queue(stream, [event] {
        event->recorded = true;
        event->time = std::chrono::steady_clock::now();
        return 0;
    });
}

API cuEventSynchronize(Event* event) { return events.has(event) ? 0 : INVALID_HANDLE; }
API cuEventQuery(Event* event) { return events.has(event) ? 0 : INVALID_HANDLE; }

API cuEventElapsedTime_v2(float* milliseconds, Event* start, Event* end) {
    if (!events.has(start) || !events.has(end) || !start->timed || !end->timed) return INVALID_HANDLE;
    if (!start->recorded || !end->recorded) return INVALID_HANDLE;
    *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
    return 0;
}

API cuEventElapsedTime(float* milliseconds, Event* start, Event* end) { return cuEventElapsedTime_v2(milliseconds, start, end); }

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

// ---- modules and launches ----

API cuModuleLoadData(Module** module, const void* image) {
    if (Result status = ready()) return status;
    std::string bytes;
    if (!image || !read_image(image, bytes)) return refuse(INVALID_IMAGE, "the image is neither a cubin nor PTX");
    *module = modules.add(new Module{std::move(bytes)});
    return 0;
}

API cuModuleUnload(Module* module) { return modules.destroy(module) ? 0 : INVALID_HANDLE; }

API cuModuleGetFunction(Function** function, Module* module, const char* name) {
    if (!modules.has(module)) return INVALID_HANDLE;
    if (module->image.find(name) == std::string::npos) return NOT_FOUND;
    for (const Kernel* kernel = Kernel::first; kernel; kernel = kernel->next) {
        if (std::strcmp(kernel->name, name) == 0) {
            *function = functions.add(new Function{kernel, module});
            return 0;
        }
    }
    return NOT_FOUND;
}

// The place and the size of a parameter; beyond the last, INVALID_VALUE.
API cuFuncGetParamInfo(Function* function, std::size_t index, std::size_t* offset, std::size_t* size) {
    if (!functions.has(function)) return INVALID_HANDLE;
    const auto& parameters = function->kernel->parameters;
    if (index >= parameters.size()) return INVALID_VALUE;
    std::size_t at = 0;
    for (std::size_t i = 0;; at += parameters[i++].size) {
        at = (at + parameters[i].alignment - 1) / parameters[i].alignment * parameters[i].alignment;
        if (i == index) break;
    }
    if (offset) *offset = at;
    if (size) *size = parameters[index].size;
    return 0;
}

enum FunctionAttribute { MOST_THREADS = 0, STATIC_SHARED = 1, PTX_VERSION = 5, BINARY_VERSION = 6, SHARED_LIMIT = 8, SHARED_CARVEOUT = 9 };

API cuFuncGetAttribute(int* value, int attribute, Function* function) {
    if (!functions.has(function)) return INVALID_HANDLE;
    switch (attribute) {
    case MOST_THREADS: *value = function->kernel->most_threads; return 0;
    case STATIC_SHARED: *value = 0; return 0;
    case PTX_VERSION:
    case BINARY_VERSION: *value = 90; return 0;
    case SHARED_LIMIT: *value = function->shared_limit; return 0;
    default: return refuse(INVALID_VALUE, "function attribute %d is not emulated", attribute);
    }
}

API cuFuncSetAttribute(Function* function, int attribute, int value) {
    if (!functions.has(function)) return INVALID_HANDLE;
    switch (attribute) {
    case SHARED_LIMIT:
        if (value < 0 || value > static_cast<int>(emulator::SHARED_AT_MOST)) {
            return refuse(INVALID_VALUE, "%s: a limit of %d bytes of shared memory, but a block has at most %u",
                          function->kernel->name, value, emulator::SHARED_AT_MOST);
        }
        function->shared_limit = value;
        return 0;
    case SHARED_CARVEOUT: return 0;
    default: return refuse(INVALID_VALUE, "function attribute %d is not emulated", attribute);
    }
}

API cuLaunchKernel(Function* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                   unsigned block_z, unsigned shared, Stream* stream, void** arguments, void** extra) {
    return launch(function, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, {}, shared, stream, arguments, extra);
}

struct LaunchAttribute {
    unsigned id, padding;
    union {
        Index cluster;
        unsigned char bytes[64];
    };
};

struct LaunchConfig {
    Index grid, block;
    unsigned shared;
    Stream* stream;
    const LaunchAttribute* attributes;
    unsigned attribute_count;
};

API cuLaunchKernelEx(const LaunchConfig* config, Function* function, void** arguments, void** extra) {
    constexpr unsigned CLUSTER_DIMENSION = 4;
    Index cluster;
    for (unsigned i = 0; i < config->attribute_count; i++) {
        const LaunchAttribute& attribute = config->attributes[i];
        if (attribute.id != CLUSTER_DIMENSION) return refuse(NOT_SUPPORTED, "launch attribute %u is not emulated", attribute.id);
        cluster = attribute.cluster;
    }
    return launch(function, config->grid, config->block, cluster, config->shared, config->stream, arguments, extra);
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

// ---- graphs ----

API cuStreamBeginCapture_v2(Stream* stream, int) {
    if (Result status = finish(stream)) return status;
    if (!stream) return CAPTURE_UNSUPPORTED;
    stream->capture = std::make_unique<Graph>();
    return 0;
}

API cuStreamIsCapturing(Stream* handle, int* capturing) {
    Stream* stream = resolve(handle);
    if (!stream) return INVALID_HANDLE;
    *capturing = stream->capture ? 1 : 0;
    return 0;
}

API cuStreamEndCapture(Stream* stream, Graph** graph) {
    if (!streams.has(stream)) return INVALID_HANDLE;
    if (!stream->capture) return INVALID_VALUE;
    *graph = graphs.add(stream->capture.release());
    return 0;
}

API cuGraphInstantiateWithFlags(Graph** executable, Graph* graph, unsigned long long) {
    if (!graphs.has(graph)) return INVALID_HANDLE;
    *executable = executables.add(new Graph(*graph));
    return 0;
}

API cuGraphUpload(Graph* executable, Stream*) { return executables.has(executable) ? 0 : INVALID_HANDLE; }

API cuGraphLaunch(Graph* executable, Stream* stream) {
    if (!executables.has(executable)) return INVALID_HANDLE;
    return queue(stream, [executable] {
        for (Work& work : executable->work) {
            if (Result status = work()) return status;
        }
        return 0;
    });
}

API cuGraphDestroy(Graph* graph) { return graphs.destroy(graph) ? 0 : INVALID_HANDLE; }
API cuGraphExecDestroy(Graph* executable) { return executables.destroy(executable) ? 0 : INVALID_HANDLE; }

// ---- everything else ----

API cuGetErrorName(Result code, const char** name) {
    for (auto& status : STATUSES) {
        if (status.code == code) {
            *name = status.name;
            return 0;
        }
    }
    return INVALID_VALUE;
}

API cuGetErrorString(Result code, const char** text) {
    for (auto& status : STATUSES) {
        if (status.code == code) {
            *text = status.text;
            return 0;
        }
    }
    return INVALID_VALUE;
}

// NVRTC asks for it and does without.
API cuGetExportTable(const void** table, const void*) {
    *table = nullptr;
    return NOT_FOUND;
}
