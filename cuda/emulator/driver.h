// What the files of the emulated driver share: its handles, and how its calls queue work and refuse it.
#pragma once

#include "launch.h"
#include "memory.h"

#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <unordered_set>

#define API extern "C" __attribute__((visibility("default"))) driver::Result

namespace driver {

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

// Refuses a call and says why.
__attribute__((format(printf, 2, 3))) Result refuse(Result status, const char* format, ...);

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

extern Handles<Stream> streams;
extern Handles<Event> events;
extern Handles<Graph> graphs;
extern Handles<Graph> executables;
extern Handles<Module> modules;
extern Handles<Function> functions;

// The stream of a handle, of which null is the default stream's; null if there is none.
Stream* resolve(Stream* handle);

// 0 if the driver is initialised and the calling thread has a context.
Result ready();

// Does the work, or keeps it for the graph that the stream captures.
Result queue(Stream* handle, Work work);

// Waits for the stream and answers with how its work went.
Result finish(Stream* handle);

inline void* host(DevicePointer pointer) { return reinterpret_cast<void*>(pointer); }

} // namespace driver
