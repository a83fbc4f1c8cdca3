// Integers below n from Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011), bit for bit those of the CPU: kernels/src/philox.
//
// Any grid of one dimension, blocks of at most 256 threads, no shared memory; writes out[0 .. count), the draws at the positions
// from `start` on. `key`: low half first; the counter is [block low, block high, upper0, upper1].
#include "uniform.cuh"

struct Words {
    u32 at[4];
};

DEVICE Words philox(u64 block, u32 upper0, u32 upper1, u64 key) {
    Words words{{u32(block), u32(block >> 32), upper0, upper1}};
    u32 key0 = u32(key), key1 = u32(key >> 32);
    UNROLL
    for (int round = 0; round < 10; round++) {
        u64 left = u64(0xD2511F53) * words.at[0], right = u64(0xCD9E8D57) * words.at[2];
        words = {{u32(right >> 32) ^ words.at[1] ^ key0, u32(right), u32(left >> 32) ^ words.at[3] ^ key1, u32(left)}};
        key0 += 0x9E3779B9;
        key1 += 0xBB67AE85;
    }
    return words;
}

KERNEL(philox_below, 256, u32* out, u64 count, u64 key, u64 start, u32 upper0, u32 upper1, u32 n) {
    FOR_ELEMENTS(i, count) {
        u64 position = start + i;
        out[i] = scaled(philox(position / 4, upper0, upper1, key).at[position % 4], n);
    }
}
