// A CUDA driver (libcuda.so.1) whose one device is the emulator, so that the host's whole path runs without a GPU.
//
// Work is done when it is queued. A kernel that fails leaves its stream failed: every later call on that stream answers with
// the kernel's status, as a device's context would; other streams go on. Where a device would let a mistake pass (an argument
// that is no device pointer, too much shared memory), the call is refused and a line on stderr says why.
//
// Here: the device, its context, streams, events and graphs.
#include "driver.h"

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <unordered_map>

namespace driver {

Handles<Stream> streams;
Handles<Event> events;
Handles<Graph> graphs;
Handles<Graph> executables;
Handles<Module> modules;
Handles<Function> functions;

namespace {

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

std::atomic<bool> initialized{false};
// There is one context.
char the_context;
thread_local void* context_of_thread = nullptr;

Stream* default_stream() {
    static Stream* stream = streams.add(new Stream);
    return stream;
}

} // namespace

Result refuse(Result status, const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    std::fputs("emulated driver: ", stderr);
    std::vfprintf(stderr, format, arguments);
    std::fputc('\n', stderr);
    va_end(arguments);
    return status;
}

Stream* resolve(Stream* stream) {
    if (!stream) return default_stream();
    return streams.has(stream) ? stream : nullptr;
}

Result ready() {
    if (!initialized) return NOT_INITIALIZED;
    return context_of_thread ? 0 : INVALID_CONTEXT;
}

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

Result finish(Stream* handle) {
    if (Result status = ready()) return status;
    Stream* stream = resolve(handle);
    if (!stream) return INVALID_HANDLE;
    return stream->capture ? CAPTURE_UNSUPPORTED : stream->failed;
}

} // namespace driver

using namespace driver;

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
