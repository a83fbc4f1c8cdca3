// The emulator's own test of what Hopper adds, and of the matrix instructions before it: right results, and mistakes found.
#include "test.h"

// ---- one product of bf16 matrices, c = a b', with a mistake or without ----

enum Mistake : u32 {
    NONE,
    NO_FULL_WAIT,
    NO_EMPTY_ARRIVAL,
    NO_BARRIER_FENCE,
    WRONG_STRIDE,
    OTHER_BITS,
    BASE_OFFSET,
    NO_PRODUCT_FENCE,
    NO_PRODUCT_WAIT,
    TOO_FEW_BYTES,
    UNALIGNED_TILE,
};

constexpr u32 ROWS = 64, COLUMNS = 128, DEPTH = 64, STAGES = 2;
constexpr u32 TILE_A = ROWS * DEPTH * 2, TILE_B = COLUMNS * DEPTH * 2;
constexpr u32 PRODUCT_SHARED = STAGES * (TILE_A + TILE_B) + STAGES * 16;

KERNEL(hopper_product, 256, const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b, float* c, u32 depth,
       u32 mistake) {
    u8 *tiles_a = shared_memory(), *tiles_b = tiles_a + STAGES * TILE_A;
    u64 *full = reinterpret_cast<u64*>(tiles_b + STAGES * TILE_B), *empty = full + STAGES;
    if (threadIdx.x == 0) {
        for (u32 stage = 0; stage < STAGES; stage++) {
            barrier_init(full + stage, 1);
            barrier_init(empty + stage, 1);
        }
        if (mistake != NO_BARRIER_FENCE) fence_tensors();
    }
    __syncthreads();
    u32 slices = depth / DEPTH;
    if (threadIdx.x < 128) {
        for (u32 slice = 0; threadIdx.x == 0 && slice < slices; slice++) {
            u32 stage = slice % STAGES;
            barrier_wait(empty + stage, (slice / STAGES & 1) ^ 1);
            barrier_arrive_expecting(full + stage, TILE_A + TILE_B - (mistake == TOO_FEW_BYTES ? 16 : 0));
            copy_tile(tiles_a + stage * TILE_A + (mistake == UNALIGNED_TILE ? 16 : 0), &a, full + stage, slice * DEPTH, 0);
            copy_tile(tiles_b + stage * TILE_B, &b, full + stage, slice * DEPTH, 0);
        }
        return;
    }
    float d[64] = {};
    for (u32 slice = 0; slice < slices; slice++) {
        u32 stage = slice % STAGES;
        if (mistake != NO_FULL_WAIT) barrier_wait(full + stage, slice / STAGES & 1);
        if (mistake != NO_PRODUCT_FENCE) fence_products();
        u64 left = matrix_descriptor(tiles_a + stage * TILE_A, mistake == WRONG_STRIDE ? 512 : 1024);
        u64 right = matrix_descriptor(tiles_b + stage * TILE_B, 1024);
        if (mistake == OTHER_BITS) left |= u64(1) << 52;
        if (mistake == BASE_OFFSET) left |= u64(1) << 49;
        for (u32 i = 0; i < DEPTH / 16; i++) multiply_64x128x16(d, left + i * 2, right + i * 2);
        commit_products();
        if (mistake != NO_PRODUCT_WAIT) wait_products<0>();
        if (threadIdx.x == 128 && mistake != NO_EMPTY_ARRIVAL) barrier_arrive(empty + stage);
    }
    u32 thread = threadIdx.x - 128;
    for (u32 i = 0; i < 64; i++) {
        u32 row = thread / 32 * 16 + thread % 32 / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + thread % 4 * 2 + i % 2;
        c[row * COLUMNS + column] = d[i];
    }
}

// A product of what the threads themselves have stored, row by row with the swizzle of 128 bytes; all ones.
KERNEL(product_of_stores, 128, float* c, u32 fenced) {
    u16* tile = reinterpret_cast<u16*>(shared_memory());
    for (u32 i = threadIdx.x; i < (ROWS + COLUMNS) * DEPTH; i += 128) tile[i] = to_bf16(1.0f);
    if (fenced) fence_tensors();
    __syncthreads();
    float d[64] = {};
    fence_products();
    multiply_64x128x16(d, matrix_descriptor(tile, 1024), matrix_descriptor(tile + ROWS * DEPTH, 1024));
    commit_products();
    wait_products<0>();
    c[threadIdx.x] = d[0] + d[63];
}

// A tile as it comes to shared memory, and how it looks there.
KERNEL(tile_bytes, 32, const __grid_constant__ TensorMap map, u32* out, u32 words, u32 bytes, int column, int row) {
    u64* barrier = reinterpret_cast<u64*>(shared_memory() + words * 4);
    if (threadIdx.x == 0) {
        barrier_init(barrier, 1);
        fence_tensors();
        barrier_arrive_expecting(barrier, bytes);
        copy_tile(shared_memory(), &map, barrier, column, row);
    }
    __syncwarp();
    barrier_wait(barrier, 0);
    for (u32 i = threadIdx.x; i < words; i += 32) out[i] = reinterpret_cast<u32*>(shared_memory())[i];
}

// ---- instructions of one warp ----

// c = a b' of 16 x 8 and 8 x 8 tf32 numbers, with a and b' by rows.
KERNEL(warp_product_tf32, 32, const float* a, const float* b, float* c) {
    float* rows = reinterpret_cast<float*>(shared_memory());
    u32 lane = threadIdx.x;
    for (u32 i = lane; i < 16 * 8; i += 32) rows[i] = a[i];
    for (u32 i = lane; i < 8 * 8; i += 32) rows[16 * 8 + i] = b[i];
    __syncwarp();
    u32 left[4], right[2];
    float d[4] = {};
    load_matrices(left, rows + lane % 16 * 8 + lane / 16 * 4);
    load_matrices(right, rows + 16 * 8 + lane % 8 * 8 + lane / 8 % 2 * 4);
    for (u32& bits : left) bits = to_tf32(of_bits(bits));
    for (u32& bits : right) bits = to_tf32(of_bits(bits));
    multiply_tf32(d, left, right);
    for (u32 i = 0; i < 4; i++) c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = d[i];
}

// The same of 16 x 16 and 8 x 16 bf16 numbers.
KERNEL(warp_product_bf16, 32, const float* a, const float* b, float* c) {
    u16* rows = reinterpret_cast<u16*>(shared_memory());
    u32 lane = threadIdx.x;
    for (u32 i = lane; i < 16 * 16; i += 32) rows[i] = to_bf16(a[i]);
    for (u32 i = lane; i < 8 * 16; i += 32) rows[16 * 16 + i] = to_bf16(b[i]);
    __syncwarp();
    u32 left[4], right[2];
    float d[4] = {};
    load_matrices(left, rows + lane % 16 * 16 + lane / 16 * 8);
    load_matrices(right, rows + 16 * 16 + lane % 8 * 16 + lane / 8 % 2 * 8);
    multiply_bf16(d, left, right);
    for (u32 i = 0; i < 4; i++) c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = d[i];
}

// ---- clusters ----

// out[rank] = what the next block of the cluster has put into its shared memory.
KERNEL(around_the_cluster, 32, u32* out, u32 blocks, u32 meet) {
    u32* mine = reinterpret_cast<u32*>(shared_memory());
    if (threadIdx.x == 0) *mine = 10 + cluster_rank();
    if (meet) cluster_barrier();
    if (threadIdx.x == 0) out[cluster_rank()] = *in_cluster(mine, (cluster_rank() + 1) % blocks);
    cluster_barrier();
}

// ---- the host's side ----

static TensorMap map_of(const Array& matrix, u64 columns, u64 rows, u32 box_columns, u32 box_rows, int type, u32 bytes, int swizzle,
                        int expected = 0) {
    TensorMap map = {};
    u64 sizes[] = {columns, rows}, stride = columns * bytes;
    u32 box[] = {box_columns, box_rows}, ones[] = {1, 1};
    CHECK(cuTensorMapEncodeTiled(&map, type, 2, matrix.start, sizes, &stride, box, ones, 0, swizzle, 0, 0) == expected);
    return map;
}

constexpr int TYPE_F32 = 7, TYPE_BF16 = 9;

static void products() {
    constexpr u32 INNER = 5 * DEPTH;
    auto value = [](u32 row, u32 k) { return float(int(row * 7 + k * 3) % 13 - 6) / 4; };
    auto bf16_rows = [&](const Array& to, u32 rows) {
        std::vector<u16> values(rows * INNER);
        for (u32 i = 0; i < values.size(); i++) values[i] = to_bf16(value(i / INNER, i % INNER));
        CHECK(cuMemcpyHtoDAsync_v2(to.start, values.data(), values.size() * 2, nullptr) == 0);
    };
    Array a(ROWS * INNER / 2), b(COLUMNS * INNER / 2), c(ROWS * COLUMNS);
    bf16_rows(a, ROWS);
    bf16_rows(b, COLUMNS);
    TensorMap map_a = map_of(a, INNER, ROWS, DEPTH, ROWS, TYPE_BF16, 2, 3);
    TensorMap map_b = map_of(b, INNER, COLUMNS, DEPTH, COLUMNS, TYPE_BF16, 2, 3);
    CHECK(cuFuncSetAttribute(function("hopper_product"), SHARED_LIMIT, PRODUCT_SHARED) == 0);
    auto product = [&](u32 mistake) {
        return run("hopper_product", 256, PRODUCT_SHARED, map_a, map_b, c.start, INNER, mistake);
    };
    auto is_right = [&] {
        std::vector<float> got = c.get();
        bool right = true;
        for (u32 i = 0; i < got.size(); i++) {
            float sum = 0;
            for (u32 k = 0; k < INNER; k++) sum += value(i / COLUMNS, k) * value(i % COLUMNS, k);
            right = right && got[i] == sum;
        }
        return right;
    };
    for (const char* late : {"0", "1"}) {
        setting("HANDGRAD_EMULATOR_LATE", late);
        CHECK(product(NONE) == 0 && is_right());
        CHECK(product(NO_FULL_WAIT) == emulator::FAILED);
        CHECK(product(NO_EMPTY_ARRIVAL) == emulator::DEADLOCK);
        CHECK(product(NO_BARRIER_FENCE) == emulator::FAILED);
        CHECK(product(WRONG_STRIDE) == 0 && !is_right());
        CHECK(product(OTHER_BITS) == emulator::FAILED);
        CHECK(product(BASE_OFFSET) == emulator::FAILED);
        CHECK(product(NO_PRODUCT_FENCE) == emulator::FAILED);
        CHECK(product(TOO_FEW_BYTES) == emulator::DEADLOCK);
        CHECK(product(UNALIGNED_TILE) == emulator::FAILED);
        CHECK(run("product_of_stores", 128, (ROWS + COLUMNS) * DEPTH * 2, c.start, 1u) == 0);
        CHECK(c.get()[5] == 32);
        CHECK(run("product_of_stores", 128, (ROWS + COLUMNS) * DEPTH * 2, c.start, 0u) == emulator::FAILED);
    }
    // Only where products come late does it matter that nobody waits for them.
    CHECK(product(NO_PRODUCT_WAIT) != 0 || !is_right());
    setting("HANDGRAD_EMULATOR_LATE", nullptr);
}

static void tiles() {
    constexpr u32 WIDTH = 32, HEIGHT = 16, WORDS = WIDTH * HEIGHT;
    Array matrix(WORDS), out(WORDS);
    std::vector<float> values(WORDS);
    for (u32 i = 0; i < WORDS; i++) values[i] = float(i + 1);
    matrix.set(values);
    // A swizzle is of 16-byte units, 4 floats: unit u of row r is where u ^ (r mod 8) is, in rows of 128 bytes, and likewise of
    // every two rows of 64 and every four of 32.
    for (int swizzle = 0; swizzle < 4; swizzle++) {
        u32 columns = swizzle ? 4u << swizzle : WIDTH;
        TensorMap map = map_of(matrix, WIDTH, HEIGHT, columns, 8, TYPE_F32, 4, swizzle);
        // Partly beyond the first row and the last column.
        int column = WIDTH - columns / 2, row = -2;
        CHECK(run("tile_bytes", 32, columns * 32 + 8, map, out.start, columns * 8, columns * 32, column, row) == 0);
        std::vector<float> got = out.get();
        for (u32 r = 0; r < 8; r++) {
            for (u32 c = 0; c < columns; c++) {
                u32 bytes = r * columns * 4, permuted = c / 4 ^ (bytes / 128 & ((1u << swizzle) - 1));
                int from_row = row + int(r), from_column = column + int(c);
                bool inside = from_row >= 0 && from_column < int(WIDTH);
                float want = inside ? values[from_row * WIDTH + from_column] : 0;
                CHECK(got[r * columns + permuted * 4 + c % 4] == want);
            }
        }
    }
    map_of(matrix, WIDTH, HEIGHT, 8, 8, TYPE_F32, 4, 4, NOT_SUPPORTED);
    map_of(matrix, WIDTH, HEIGHT, 8, 8, 10, 4, 0, NOT_SUPPORTED);
    map_of(matrix, WIDTH, HEIGHT, 32, 8, TYPE_F32, 4, 1, INVALID_VALUE);
    map_of(matrix, WIDTH, HEIGHT, 257, 8, TYPE_F32, 4, 0, INVALID_VALUE);
    map_of(matrix, WIDTH, HEIGHT + 1, 8, 8, TYPE_F32, 4, 0, INVALID_VALUE);
    TensorMap blank = {};
    CHECK(run("tile_bytes", 32, 64 * 4 + 8, blank, out.start, 64u, 256u, 0, 0) == emulator::FAILED);
}

static void warp_products() {
    for (u32 depth : {8u, 16u}) {
        Array a(16 * depth), b(8 * depth), c(16 * 8);
        std::vector<float> left(16 * depth), right(8 * depth);
        for (u32 i = 0; i < left.size(); i++) left[i] = float(int(i * 5 % 11) - 5) / 4;
        for (u32 i = 0; i < right.size(); i++) right[i] = float(int(i * 3 % 7) - 3) / 2;
        a.set(left);
        b.set(right);
        const char* name = depth == 8 ? "warp_product_tf32" : "warp_product_bf16";
        CHECK(run(name, 32, 24 * 32, a.start, b.start, c.start) == 0);
        std::vector<float> got = c.get();
        for (u32 i = 0; i < got.size(); i++) {
            float sum = 0;
            for (u32 k = 0; k < depth; k++) sum += left[i / 8 * depth + k] * right[i % 8 * depth + k];
            CHECK(got[i] == sum);
        }
    }
    CHECK(of_bits(to_tf32(1.0f + 0x1p-11f)) == 1.0f + 0x1p-10f);
    CHECK(to_bf16(1.0f + 0x1p-8f) == 0x3f80 && to_bf16(1.0f + 0x3p-8f) == 0x3f82);
}

static void clusters() {
    Array out(4);
    CHECK(run_cluster("around_the_cluster", 4, 32, 4, out.start, 4u, 1u) == 0);
    CHECK((out.get<u32>() == std::vector<u32>{11, 12, 13, 10}));
    CHECK(run_cluster("around_the_cluster", 4, 32, 4, out.start, 4u, 0u) == 0);
    CHECK(out.get<u32>()[0] != 11);
    CHECK(run_cluster("around_the_cluster", 9, 32, 4, out.start, 9u, 1u) == INVALID_VALUE);
    CHECK(run_cluster("around_the_cluster", 2, 32, 4, out.start, 7u, 1u) == emulator::FAILED);
}

void tensors_and_clusters() {
    products();
    tiles();
    warp_products();
    clusters();
}
