// The emulator's own test: kernels with planted mistakes, each of which must be found, through the driver's interface.
// It prints what fails and exits with 1, else it prints the reports that it asked for.
#include "test.h"

// ---- kernels ----

// out[t] = what the thread half a block further has put into shared memory.
DEVICE void pass_on(float* out, bool wait) {
    float* shared = reinterpret_cast<float*>(shared_memory());
    shared[threadIdx.x] = float(threadIdx.x);
    if (wait) __syncthreads();
    out[threadIdx.x] = shared[(threadIdx.x + blockDim.x / 2) % blockDim.x];
}
KERNEL(with_barrier, 256, float* out) { pass_on(out, true); }
KERNEL(without_barrier, 256, float* out) { pass_on(out, false); }

// out[lane] = what the next lane has put into shared memory, before (if not `read_first`) or after this lane reads its own.
DEVICE void within_warp(float* out, bool meet, bool read_first) {
    float* shared = reinterpret_cast<float*>(shared_memory());
    u32 lane = threadIdx.x, next = (lane + 1) % 32;
    if (read_first) {
        out[lane] = shared[next];
    } else {
        shared[lane] = float(lane);
    }
    // A shuffle orders no memory.
    __shfl_sync(FULL_WARP, lane, 0);
    if (meet) __syncwarp();
    if (read_first) {
        shared[lane] = float(lane);
    } else {
        out[lane] = shared[next];
    }
}
KERNEL(write_meet_read, 32, float* out) { within_warp(out, true, false); }
KERNEL(write_read, 32, float* out) { within_warp(out, false, false); }
KERNEL(read_meet_write, 32, float* out) { within_warp(out, true, true); }
KERNEL(read_write, 32, float* out) { within_warp(out, false, true); }

// What the first warp writes, the second reads.
KERNEL(other_warp, 64, float* out) {
    float* shared = reinterpret_cast<float*>(shared_memory());
    if (threadIdx.x < 32) {
        shared[threadIdx.x] = 1;
    } else {
        out[threadIdx.x] = shared[threadIdx.x - 32];
    }
}

// All threads write one place: a race, unless it is atomic.
KERNEL(write_together, 256, float* out) { reinterpret_cast<float*>(shared_memory())[0] = out[0]; }
KERNEL(add_together, 256, u32* out) {
    u32* shared = reinterpret_cast<u32*>(shared_memory());
    if (threadIdx.x == 0) *shared = 0;
    __syncthreads();
    atomicAdd(shared, 1u);
    __syncthreads();
    out[threadIdx.x] = *shared;
}

// out = in, through shared memory.
DEVICE void copy_through(const float* in, float* out, bool wait) {
    float* shared = reinterpret_cast<float*>(shared_memory());
    copy_async(shared + threadIdx.x, in + threadIdx.x, true);
    commit_copies();
    if (wait) wait_copies<0>();
    out[threadIdx.x] = shared[threadIdx.x];
}
KERNEL(with_wait, 256, const float* in, float* out) { copy_through(in, out, true); }
KERNEL(without_wait, 256, const float* in, float* out) { copy_through(in, out, false); }

// As without_wait, unseen: atomics are not watched.
KERNEL(early_or_late, 256, const u32* in, u32* out) {
    u32* shared = reinterpret_cast<u32*>(shared_memory());
    copy_async(shared, in, true);
    out[0] = atomicAdd(shared, 0u);
}

// Two groups, of which the first has landed once one is left.
KERNEL(two_groups, 256, const float* in, float* out) {
    float* shared = reinterpret_cast<float*>(shared_memory());
    copy_async(shared, in, true);
    commit_copies();
    copy_async(shared + 1, in + 1, false);
    commit_copies();
    wait_copies<1>();
    out[0] = shared[0];
    wait_copies<0>();
    out[1] = shared[1];
}

KERNEL(waits_for_nobody, 256, float* out) {
    if (threadIdx.x == 0) {
        __syncwarp();
    } else {
        __syncthreads();
    }
    out[threadIdx.x] = 0;
}

KERNEL(different_meetings, 256, int* out) {
    out[threadIdx.x] = threadIdx.x % 2 ? __any_sync(FULL_WARP, 1) : __shfl_sync(FULL_WARP, 1, 0);
}

KERNEL(read_at, 256, const float* in, float* out, long long place) { out[threadIdx.x] = in[place]; }
KERNEL(write_at, 256, float* out, long long place) { out[place] = 1; }
KERNEL(write_byte_at, 256, u8* out, long long place) { out[place] = 1; }
KERNEL(read_shared_at, 256, float* out, u32 place) { out[0] = reinterpret_cast<float*>(shared_memory())[place]; }
KERNEL(write_shared_at, 256, u32 place) { reinterpret_cast<float*>(shared_memory())[place] = 1; }
KERNEL(copy_to_shared_at, 256, const float* in, u32 place) {
    copy_async(reinterpret_cast<float*>(shared_memory()) + place, in, true);
}
KERNEL(divide, 256, u32* out, u32 by) { out[0] = 100 / by; }
KERNEL(local_array, 256, float* out, u32 place) {
    float values[4] = {1, 2, 3, 4};
    out[0] = values[place];
}
KERNEL(overflow_stack, 256, u8* out) {
    volatile u8 large[256 * 1024];
    large[0] = 1;
    out[0] = large[0];
}

// The order in which the warps' first lanes come.
KERNEL(order, 1024, u32* counter, u32* out) { out[threadIdx.x] = atomicAdd(counter, 1u); }

KERNEL(shuffles, 256, u32* out) {
    u32 lane = threadIdx.x % 32;
    u32 all[] = {
        __shfl_sync(FULL_WARP, lane, 5),          __shfl_xor_sync(FULL_WARP, lane, 3),   __shfl_up_sync(FULL_WARP, lane, 2),
        __shfl_down_sync(FULL_WARP, lane, 2),     __shfl_sync(FULL_WARP, lane, 9, 8),    __shfl_xor_sync(FULL_WARP, lane, 12, 8),
        __shfl_up_sync(FULL_WARP, lane, 1, 8),    __shfl_down_sync(FULL_WARP, lane, 1, 8), __ballot_sync(FULL_WARP, lane < 4),
        u32(__all_sync(FULL_WARP, lane < 4)),     u32(__any_sync(FULL_WARP, lane < 4)),
    };
    for (u32 i = 0; i < 11; i++) out[i * 32 + lane] = all[i];
    // Some of the lanes, among themselves.
    if (lane < 16) out[11 * 32 + lane] = __shfl_xor_sync(0xffff, lane, 1);
}

// Lanes that have ended are not waited for.
KERNEL(early_end, 256, u32* out) {
    if (threadIdx.x % 2) return;
    __syncwarp();
    __syncthreads();
    out[0] = 1;
}

KERNEL(mixed, 256, float* out, u32 a, double b, u8 c) {
    out[0] = float(a);
    out[1] = float(b);
    out[2] = float(c);
}

KERNEL(add_one, 256, float* out) { out[threadIdx.x] += 1; }

// ---- the host's side ----

constexpr unsigned THREADS = 64;

static std::vector<float> counting(std::size_t count) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; i++) values[i] = float(i);
    return values;
}

// A barrier makes threads see what others wrote; without it there is a race, in whatever order they run.
static void barriers() {
    Array out(THREADS);
    CHECK(run("with_barrier", THREADS, THREADS * 4, out.start) == 0);
    std::vector<float> got = out.get();
    for (unsigned i = 0; i < THREADS; i++) CHECK(got[i] == float((i + THREADS / 2) % THREADS));
    CHECK(run("without_barrier", THREADS, THREADS * 4, out.start) == emulator::FAILED);

    CHECK(run("write_meet_read", 32, 32 * 4, out.start) == 0);
    CHECK(out.get()[3] == 4);
    CHECK(run("write_read", 32, 32 * 4, out.start) == emulator::FAILED);
    CHECK(run("read_meet_write", 32, 32 * 4, out.start) == 0);
    // Nothing has been written yet.
    CHECK(has_nan(out.get()));
    CHECK(run("read_write", 32, 32 * 4, out.start) == emulator::FAILED);
    CHECK(run("other_warp", 64, 32 * 4, out.start) == emulator::FAILED);
    CHECK(run("write_together", THREADS, 4, out.start) == emulator::FAILED);
    CHECK(run("add_together", THREADS, 4, out.start) == 0);
    CHECK(out.get<u32>()[5] == THREADS);

    CHECK(run("waits_for_nobody", THREADS, 0, out.start) == emulator::DEADLOCK);
    CHECK(run("different_meetings", THREADS, 0, out.start) == emulator::FAILED);
    CHECK(run("early_end", THREADS, 0, out.start) == 0);
    CHECK(out.get<u32>()[0] == 1);
}

static void late_copies() {
    Array in(THREADS), out(THREADS);
    in.set(counting(THREADS));
    for (const char* late : {"0", "1"}) {
        setting("HANDGRAD_EMULATOR_LATE", late);
        CHECK(run("with_wait", THREADS, THREADS * 4, in.start, out.start) == 0);
        CHECK(out.get() == counting(THREADS));
        CHECK(run("without_wait", THREADS, THREADS * 4, in.start, out.start) == emulator::FAILED);
        CHECK(run("early_or_late", 1, 4, in.start, out.start) == 0);
        CHECK(has_nan({out.get()[0]}) == (*late == '1'));
        CHECK(run("two_groups", 1, 8, in.start, out.start) == 0);
        // The second copy is of zeros.
        CHECK(out.get()[0] == 0 && out.get()[1] == 0);
    }
    setting("HANDGRAD_EMULATOR_LATE", nullptr);
}

static void bounds() {
    constexpr std::size_t COUNT = 5; // 20 bytes: 12 to the end of their allocation
    Array in(COUNT), out(THREADS);
    auto read = [&](long long place) { return run("read_at", 1, 0, in.start, out.start, place); };
    auto write = [&](long long place) { return run("write_at", 1, 0, in.start, place); };
    CHECK(read(4) == 0 && write(4) == 0);
    // In what alignment leaves, a read gives NaN and a write is seen after the launch; beyond that, both fault.
    CHECK(read(5) == 0 && has_nan(out.get()));
    CHECK(write(5) == emulator::ILLEGAL_ADDRESS);
    CHECK(run("write_byte_at", 1, 0, in.start, 20ll) == emulator::ILLEGAL_ADDRESS);
    CHECK(run("write_byte_at", 1, 0, in.start, -1ll) == emulator::ILLEGAL_ADDRESS);
    CHECK(read(8) == emulator::ILLEGAL_ADDRESS);
    CHECK(write(8) == emulator::ILLEGAL_ADDRESS);
    CHECK(write(-1) == emulator::ILLEGAL_ADDRESS);
    CHECK(read(-2000) == emulator::ILLEGAL_ADDRESS);
    CHECK(read(1ll << 40) == emulator::ILLEGAL_ADDRESS);
    CHECK(read(1ll << 60) == emulator::ILLEGAL_ADDRESS);
    // The damage has been made good.
    CHECK(write(4) == 0);

    auto read_shared = [&](u32 place) { return run("read_shared_at", 1, 4 * THREADS, out.start, place); };
    auto write_shared = [&](u32 place) { return run("write_shared_at", 1, 4 * THREADS, place); };
    CHECK(read_shared(THREADS - 1) == 0 && has_nan(out.get()));
    CHECK(read_shared(THREADS) == 0 && has_nan(out.get()));
    CHECK(read_shared(256) == emulator::ILLEGAL_ADDRESS);
    CHECK(write_shared(THREADS - 1) == 0);
    CHECK(write_shared(THREADS) == emulator::ILLEGAL_ADDRESS);
    CHECK(write_shared(256) == emulator::ILLEGAL_ADDRESS);
    CHECK(run("copy_to_shared_at", 1, 16, in.start, 3u) == 0);
    CHECK(run("copy_to_shared_at", 1, 16, in.start, 4u) == emulator::FAILED);

    CHECK(run("divide", 1, 0, out.start, 0u) == emulator::FAILED);
    CHECK(run("local_array", 1, 0, out.start, 3u) == 0);
#ifndef __SANITIZE_ADDRESS__ // It ends the process.
    CHECK(run("local_array", 1, 0, out.start, 4u) == emulator::FAILED);
#endif
    CHECK(run("overflow_stack", 1, 0, out.start) == emulator::FAILED);
}

static void unset_memory() {
    Array fresh(3);
    for (float value : fresh.get()) CHECK(value != value);
}

static void orders() {
    auto order_of = [](const char* seed) {
        setting("HANDGRAD_EMULATOR_SEED", seed);
        Array counter(1), out(THREADS);
        counter.set({0});
        CHECK(run("order", THREADS, 0, counter.start, out.start) == 0);
        setting("HANDGRAD_EMULATOR_SEED", nullptr);
        return out.get<u32>();
    };
    std::vector<u32> plain(THREADS);
    for (u32 i = 0; i < THREADS; i++) plain[i] = i;
    CHECK(order_of(nullptr) == plain);
    CHECK(order_of("1") != plain);
    CHECK(order_of("1") != order_of("2"));
    CHECK(order_of("2") == order_of("2"));
}

static void exchanges() {
    Array out(12 * 32);
    CHECK(run("shuffles", 32, 0, out.start) == 0);
    std::vector<u32> got = out.get<u32>();
    for (u32 lane = 0; lane < 32; lane++) {
        u32 segment = lane / 8 * 8;
        u32 want[] = {5,
                      lane ^ 3,
                      lane < 2 ? lane : lane - 2,
                      lane > 29 ? lane : lane + 2,
                      segment + 1,
                      lane, // the other segment's lanes are out of reach
                      lane == segment ? lane : lane - 1,
                      lane == segment + 7 ? lane : lane + 1,
                      0xf,
                      0,
                      1};
        for (u32 i = 0; i < 11; i++) CHECK(got[i * 32 + lane] == want[i]);
        if (lane < 16) CHECK(got[11 * 32 + lane] == (lane ^ 1));
    }
}

static void arguments() {
    struct {
        u64 out;
        u32 a;
        double b;
        u8 c;
    } packed{0, 1, 2.5, 3};
    Array out(3);
    packed.out = out.start;
    std::size_t bytes = offsetof(decltype(packed), c) + 1;
    void* mixed = function("mixed");
    auto launch = [&](std::size_t given) {
        void* extra[] = {reinterpret_cast<void*>(1), &packed, reinterpret_cast<void*>(2), &given, nullptr};
        return cuLaunchKernel(mixed, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, extra);
    };
    CHECK(launch(bytes) == 0);
    CHECK((out.get() == std::vector<float>{1, 2.5, 3}));
    CHECK(launch(bytes - 1) == INVALID_VALUE);
    CHECK(launch(bytes + 1) == INVALID_VALUE);
    CHECK(launch(sizeof(u64)) == INVALID_VALUE);

    const std::size_t offsets[] = {0, 8, 16, 24}, sizes[] = {8, 4, 8, 1};
    for (std::size_t i = 0; i < 4; i++) {
        std::size_t offset = 99, size = 99;
        CHECK(cuFuncGetParamInfo(mixed, i, &offset, &size) == 0);
        CHECK(offset == offsets[i] && size == sizes[i]);
    }
    CHECK(cuFuncGetParamInfo(mixed, 4, nullptr, nullptr) == INVALID_VALUE);
}

static void refusals() {
    Array out(THREADS);
    float host = 0;
    CHECK(run("add_one", 1, 0, &host) == INVALID_VALUE);
    CHECK(run("add_one", 0, 0, out.start) == INVALID_VALUE);
    CHECK(run("add_one", 1025, 0, out.start) == INVALID_VALUE);
    CHECK(run("add_one", 257, 0, out.start) == OUT_OF_RESOURCES);
    CHECK(run("add_one", 1, 48 * 1024 + 1, out.start) == INVALID_VALUE);
    CHECK(cuFuncSetAttribute(function("add_one"), SHARED_LIMIT, 227 * 1024) == 0);
    CHECK(run("add_one", 1, 227 * 1024, out.start) == 0);
    CHECK(cuFuncSetAttribute(function("add_one"), SHARED_LIMIT, 227 * 1024 + 1) == INVALID_VALUE);
    CHECK(cuMemcpyHtoDAsync_v2(u64(&host), &host, 4, nullptr) == INVALID_VALUE);
    CHECK(cuMemcpyHtoDAsync_v2(out.start, &host, THREADS * 4 + 1, nullptr) == INVALID_VALUE);
    CHECK(cuMemcpyDtoHAsync_v2(reinterpret_cast<void*>(out.start), out.start, 4, nullptr) == INVALID_VALUE);
    CHECK(cuMemFree_v2(out.start + 4) == INVALID_VALUE);

    void *module = nullptr, *found = nullptr;
    CHECK(cuModuleLoadData(&module, ".version add_one") == 0);
    CHECK(cuModuleGetFunction(&found, module, "no_such_kernel") == NOT_FOUND);
    CHECK(cuModuleGetFunction(&found, module, "with_barrier") == NOT_FOUND); // another image's
    CHECK(cuModuleLoadData(&module, "neither cubin nor PTX") != 0);
    const void* table = nullptr;
    CHECK(cuGetExportTable(&table, nullptr) == NOT_FOUND);
}

// A stream that has failed stays so; others go on.
static void failed_streams() {
    Array out(THREADS);
    void *bad = nullptr, *good = nullptr;
    CHECK(cuStreamCreate(&bad, 0) == 0 && cuStreamCreate(&good, 0) == 0);
    u64 start = out.start;
    void* arguments[] = {&start};
    CHECK(cuLaunchKernel(function("waits_for_nobody"), 1, 1, 1, 32, 1, 1, 0, bad, arguments, nullptr) == 0);
    CHECK(cuLaunchKernel(function("add_one"), 1, 1, 1, 32, 1, 1, 0, bad, arguments, nullptr) == emulator::DEADLOCK);
    CHECK(cuStreamSynchronize(bad) == emulator::DEADLOCK);
    CHECK(cuLaunchKernel(function("add_one"), 1, 1, 1, 32, 1, 1, 0, good, arguments, nullptr) == 0);
    CHECK(cuStreamSynchronize(good) == 0);
    CHECK(cuStreamDestroy_v2(bad) == 0 && cuStreamDestroy_v2(good) == 0);
    CHECK(cuStreamSynchronize(good) != 0);
}

static void graphs() {
    Array out(1);
    out.set({0});
    void *stream = nullptr, *graph = nullptr, *executable = nullptr;
    CHECK(cuStreamCreate(&stream, 0) == 0);
    CHECK(cuStreamBeginCapture_v2(stream, 0) == 0);
    for (int i = 0; i < 2; i++) {
        u64 start = out.start;
        void* arguments[] = {&start};
        CHECK(cuLaunchKernel(function("add_one"), 1, 1, 1, 1, 1, 1, 0, stream, arguments, nullptr) == 0);
    }
    CHECK(cuStreamSynchronize(stream) != 0); // not while it captures
    CHECK(cuStreamEndCapture(stream, &graph) == 0);
    CHECK(out.get()[0] == 0);
    CHECK(cuGraphInstantiateWithFlags(&executable, graph, 0) == 0);
    for (int i = 0; i < 3; i++) CHECK(cuGraphLaunch(executable, stream) == 0);
    CHECK(cuStreamSynchronize(stream) == 0);
    CHECK(out.get()[0] == 6);
    CHECK(cuGraphExecDestroy(executable) == 0 && cuGraphDestroy(graph) == 0 && cuStreamDestroy_v2(stream) == 0);
}

// In test_tensors.cpp.
void tensors_and_clusters();

int main() {
    void* context = nullptr;
    CHECK(cuMemAlloc_v2(nullptr, 4) != 0);
    CHECK(cuInit(0) == 0);
    CHECK(cuDevicePrimaryCtxRetain(&context, 0) == 0);
    CHECK(cuCtxSetCurrent(context) == 0);
    barriers();
    late_copies();
    bounds();
    unset_memory();
    orders();
    exchanges();
    arguments();
    refusals();
    failed_streams();
    graphs();
    tensors_and_clusters();
    std::printf(failures ? "%d checks failed\n" : "all is as it must be\n", failures);
    return failures != 0;
}
