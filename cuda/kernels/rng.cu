// Draws of the counter-based generator and shuffled orders, bit for bit those of the CPU's: Philox4x32-10 (Salmon, Moraes, Dror,
// Shaw 2011) with the seed as its key and the counter [block low, block high, stream, kind], and a Feistel permutation
// computed item by item.
//
// Every entry: any grid of one dimension, blocks of at most 256 threads, no shared memory; writes out[0 .. count), the draws at
// the positions from `start` on.
#include "dev.cuh"

// The fourth word of the counter.
enum Kind { WORD = 0, UNIFORM = 1, PERMUTATION = 3 };

struct Words {
    u32 at[4];
};

// Block `block` of the sequence whose counter has these two upper words.
DEVICE Words philox(u64 block, u32 stream, u32 kind, u64 seed) {
    Words words{{u32(block), u32(block >> 32), stream, kind}};
    u32 key0 = u32(seed), key1 = u32(seed >> 32);
    UNROLL
    for (int round = 0; round < 10; round++) {
        u64 left = u64(0xD2511F53) * words.at[0], right = u64(0xCD9E8D57) * words.at[2];
        words = {{u32(right >> 32) ^ words.at[1] ^ key0, u32(right), u32(left >> 32) ^ words.at[3] ^ key1, u32(left)}};
        key0 += 0x9E3779B9;
        key1 += 0xBB67AE85;
    }
    return words;
}

DEVICE u32 word_at(u64 position, u32 stream, u64 seed) { return philox(position / 4, stream, WORD, seed).at[position % 4]; }

// A uniform word taken to 0 .. n.
DEVICE u32 scaled(u32 word, u32 n) { return u32(u64(word) * n >> 32); }

// A uniform multiple of 2^-53 in [0, 1).
DEVICE double uniform_at(u64 position, u32 stream, u64 seed) {
    Words words = philox(position / 2, stream, UNIFORM, seed);
    u32 low = words.at[position % 2 * 2], high = words.at[position % 2 * 2 + 1];
    return double((u64(high) << 32 | low) >> 11) * 1.1102230246251565e-16;
}

constexpr u32 ROUNDS = 12;
constexpr u32 SMALLEST_SIDE = 8;

// The permutation of 0 .. n of one epoch; items are pairs row + rows * column.
struct Permutation {
    u32 n, rows, columns;
    u32 keys[ROUNDS];

    __device__ Permutation(u64 seed, u32 stream, u64 epoch, u32 size) : n(size ? size : 1) {
        // The root is right to within one, and then exactly.
        u32 side = u32(root(double(n - 1)));
        while (u64(side) * side > n - 1) side--;
        while (u64(side + 1) * (side + 1) <= n - 1) side++;
        side++;
        // An even number of rows: with both numbers odd, every round would be an even permutation.
        rows = max(side + side % 2, SMALLEST_SIDE);
        columns = max(n / rows + (n % rows ? 1 : 0), SMALLEST_SIDE);
        for (u32 block = 0; block < ROUNDS / 4; block++) {
            Words words = philox(epoch * (ROUNDS / 4) + block, stream, PERMUTATION, seed);
            for (u32 i = 0; i < 4; i++) keys[block * 4 + i] = words.at[i];
        }
    }

    __device__ Permutation(const u32* keys_of_rounds, u32 n, u32 rows, u32 columns) : n(n), rows(rows), columns(columns) {
        UNROLL
        for (u32 round = 0; round < ROUNDS; round++) keys[round] = keys_of_rounds[round];
    }

    // A word whose upper bits depend on all of x and key.
    __device__ static u32 mix(u32 x, u32 key) {
        u32 product = (x ^ key) * 0x85EBCA6B;
        return (product ^ product >> 13) * 0xC2B2AE35;
    }

    __device__ static u32 add_modulo(u32 x, u32 word, u32 size) {
        u32 sum = x + scaled(word, size);
        return sum < size ? sum : sum - size;
    }

    // The item in a place; results that are no item go through the rounds again.
    __device__ u32 at(u32 place) const {
        u32 item = place % n;
        do {
            u32 row = item % rows, column = item / rows;
            UNROLL
            for (u32 round = 0; round < ROUNDS; round += 2) {
                row = add_modulo(row, mix(column, keys[round]), rows);
                column = add_modulo(column, mix(row, keys[round + 1]), columns);
            }
            item = row + rows * column;
        } while (item >= n);
        return item;
    }
};

KERNEL(rng_words, 256, u32* out, u64 count, u64 seed, u64 start, u32 stream) {
    FOR_ELEMENTS(i, count) out[i] = word_at(start + i, stream, seed);
}

KERNEL(rng_below, 256, u32* out, u64 count, u64 seed, u64 start, u32 stream, u32 n) {
    FOR_ELEMENTS(i, count) out[i] = scaled(word_at(start + i, stream, seed), n);
}

KERNEL(rng_uniform, 256, double* out, u64 count, u64 seed, u64 start, u32 stream) {
    FOR_ELEMENTS(i, count) out[i] = uniform_at(start + i, stream, seed);
}

// Places count modulo n; `start` is the first.
KERNEL(rng_permutation, 256, u32* out, u64 count, u64 seed, u64 epoch, u32 stream, u32 n, u32 start) {
    Permutation permutation(seed, stream, epoch, n);
    FOR_ELEMENTS(i, count) out[i] = permutation.at(u32((start % permutation.n + i) % permutation.n));
}

// As rng_below, of any key (as `seed`) and any two upper words of the counter: kernels/src/philox.
KERNEL(rng_philox_below, 256, u32* out, u64 count, u64 seed, u64 start, u32 upper0, u32 upper1, u32 n) {
    FOR_ELEMENTS(i, count) {
        u64 position = start + i;
        out[i] = scaled(philox(position / 4, upper0, upper1, seed).at[position % 4], n);
    }
}

// As rng_permutation, with ROUNDS keys and the sides given: kernels/src/permutation.
KERNEL(rng_permutation_fill, 256, u32* out, const u32* keys, u64 count, u32 n, u32 rows, u32 columns, u32 first) {
    Permutation permutation(keys, n, rows, columns);
    FOR_ELEMENTS(i, count) out[i] = permutation.at(u32((first % n + i) % n));
}
