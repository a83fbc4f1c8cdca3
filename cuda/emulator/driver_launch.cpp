// Images, kernels and their launches on the emulated driver: see driver.cpp.
#include "driver.h"

using namespace driver;

namespace {

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
