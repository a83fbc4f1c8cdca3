// What kernels of random numbers share: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011), kernels/src/philox.
#pragma once
#include "dev.cuh"

// A block of four random words.
struct Block {
    u32 at[4];
};

// A sequence of random words. `key`: low half first.
struct Words {
    u64 key;
    u32 upper0, upper1;
};

// Words 4 `index` to 4 `index` + 3, from the counter [index low, index high, upper0, upper1].
DEVICE Block block_of(const Words& words, u64 index) {
    Block block{{u32(index), u32(index >> 32), words.upper0, words.upper1}};
    u32 key0 = u32(words.key), key1 = u32(words.key >> 32);
    UNROLL
    for (int round = 0; round < 10; round++) {
        u64 left = u64(0xD2511F53) * block.at[0], right = u64(0xCD9E8D57) * block.at[2];
        block = {{u32(right >> 32) ^ block.at[1] ^ key0, u32(right), u32(left >> 32) ^ block.at[3] ^ key1, u32(left)}};
        key0 += 0x9E3779B9;
        key1 += 0xBB67AE85;
    }
    return block;
}

// Selects, since an array that a variable indexes lies in memory.
DEVICE u32 word_of(const Words& words, u64 position) {
    Block block = block_of(words, position / 4);
    u32 first = position % 2 ? block.at[1] : block.at[0], second = position % 2 ? block.at[3] : block.at[2];
    return position / 2 % 2 ? second : first;
}

// A number in [0, 1), a multiple of 2^-53.
DEVICE double uniform(u32 low, u32 high) {
    u64 bits = u64(high) << 32 | low;
    return double(bits >> 11) / 9007199254740992.0;
}

// A uniform number of words 2 `position` and 2 `position` + 1.
DEVICE double uniform_of(const Words& words, u64 position) {
    Block block = block_of(words, position / 2);
    return uniform(position % 2 ? block.at[2] : block.at[0], position % 2 ? block.at[3] : block.at[1]);
}

// A standard normal number, the first or second of a block's two by the method of Box and Muller.
DEVICE double normal_of(const Words& words, u64 position) {
    Block block = block_of(words, position / 2);
    double u = uniform(block.at[0], block.at[1]), turns = uniform(block.at[2], block.at[3]);
    return root(-2.0 * log(1.0 - u)) * (position % 2 ? sine_of_turns(turns) : cosine_of_turns(turns));
}

// A uniform word taken to 0 .. n.
DEVICE u32 scaled(u32 word, u32 n) { return u32(u64(word) * n >> 32); }

// The position of an item's draw in a step.
DEVICE u64 item_position(u32 step, u32 item) { return u64(step) << 32 | item; }
