// What the emulator's tests share: the driver's interface as the host sees it.
#pragma once
#include "dev.cuh"
#include "launch.h"

#include <cstdio>
#include <cstdlib>
#include <string>

extern "C" {
int cuInit(unsigned);
int cuDevicePrimaryCtxRetain(void**, int);
int cuCtxSetCurrent(void*);
int cuStreamCreate(void**, unsigned);
int cuStreamDestroy_v2(void*);
int cuStreamSynchronize(void*);
int cuMemAlloc_v2(u64*, std::size_t);
int cuMemFree_v2(u64);
int cuMemcpyHtoDAsync_v2(u64, const void*, std::size_t, void*);
int cuMemcpyDtoHAsync_v2(void*, u64, std::size_t, void*);
int cuModuleLoadData(void**, const void*);
int cuModuleGetFunction(void**, void*, const char*);
int cuFuncSetAttribute(void*, int, int);
int cuFuncGetParamInfo(void*, std::size_t, std::size_t*, std::size_t*);
int cuLaunchKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**);
struct LaunchAttribute {
    unsigned id, padding;
    emulator::Index cluster;
    unsigned char rest[52];
};
struct LaunchConfig {
    emulator::Index grid, block;
    unsigned shared;
    void* stream;
    LaunchAttribute* attributes;
    unsigned attribute_count;
};
int cuLaunchKernelEx(const LaunchConfig*, void*, void**, void**);
int cuTensorMapEncodeTiled(void*, int, unsigned, u64, const u64*, const u64*, const unsigned*, const unsigned*, int, int, int, int);
int cuStreamBeginCapture_v2(void*, int);
int cuStreamEndCapture(void*, void**);
int cuGraphInstantiateWithFlags(void**, void*, u64);
int cuGraphLaunch(void*, void*);
int cuGraphExecDestroy(void*);
int cuGraphDestroy(void*);
int cuGetExportTable(const void**, const void*);
}

// ---- the host's side ----

inline int failures = 0;

#define CHECK(condition)                                                                                                         \
    do {                                                                                                                         \
        if (!(condition)) {                                                                                                      \
            failures++;                                                                                                          \
            std::printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                                                                                    \
        }                                                                                                                        \
    } while (0)

constexpr int INVALID_VALUE = 1, NOT_FOUND = 500, OUT_OF_RESOURCES = 701, NOT_SUPPORTED = 801;

constexpr int SHARED_LIMIT = 8;

// One handle per name, so that a limit stays.
inline std::map<std::string, void*> functions;
inline void* function(const std::string& name) {
    void *module = nullptr, *&found = functions[name];
    if (found) return found;
    std::string image = ".version " + name;
    CHECK(cuModuleLoadData(&module, image.c_str()) == 0);
    CHECK(cuModuleGetFunction(&found, module, name.c_str()) == 0);
    return found;
}

// Of floats, on the device.
struct Array {
    u64 start = 0;
    std::size_t count;

    explicit Array(std::size_t count) : count(count) { CHECK(cuMemAlloc_v2(&start, count * sizeof(float)) == 0); }
    Array(const Array&) = delete;
    ~Array() { CHECK(cuMemFree_v2(start) == 0); }

    void set(const std::vector<float>& values) {
        CHECK(cuMemcpyHtoDAsync_v2(start, values.data(), count * sizeof(float), nullptr) == 0);
    }
    template <class T = float> std::vector<T> get() {
        std::vector<T> values(count);
        CHECK(cuMemcpyDtoHAsync_v2(values.data(), start, count * sizeof(float), nullptr) == 0);
        return values;
    }
};

// The status with which a kernel ends, on a stream of its own: one cluster of so many blocks.
template <class... A> int run_cluster(const char* name, unsigned blocks, unsigned threads, unsigned shared, A... values) {
    void *stream = nullptr, *arguments[] = {&values...};
    CHECK(cuStreamCreate(&stream, 0) == 0);
    constexpr unsigned CLUSTER_DIMENSION = 4;
    LaunchAttribute cluster = {CLUSTER_DIMENSION, 0, {blocks, 1, 1}, {}};
    LaunchConfig config = {{blocks, 1, 1}, {threads, 1, 1}, shared, stream, &cluster, 1};
    int status = cuLaunchKernelEx(&config, function(name), arguments, nullptr);
    if (status == 0) status = cuStreamSynchronize(stream);
    CHECK(cuStreamDestroy_v2(stream) == 0);
    return status;
}

// The same for one block.
template <class... A> int run(const char* name, unsigned threads, unsigned shared, A... values) {
    return run_cluster(name, 1, threads, shared, values...);
}

inline void setting(const char* name, const char* value) {
    if (value) {
        setenv(name, value, 1);
    } else {
        unsetenv(name);
    }
}

inline bool has_nan(const std::vector<float>& values) {
    for (float value : values) {
        if (value != value) return true;
    }
    return false;
}
