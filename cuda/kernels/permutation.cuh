// The items in the places of a random permutation: kernels/src/permutation has the formula. Items are pairs row + rows * column.
#pragma once
#include "uniform.cuh"

constexpr u32 ROUNDS = 12;

// A word whose upper bits depend on all of x and key.
DEVICE u32 mix(u32 x, u32 key) {
    u32 product = (x ^ key) * 0x85EBCA6B;
    return (product ^ product >> 13) * 0xC2B2AE35;
}

DEVICE u32 add_modulo(u32 x, u32 word, u32 size) {
    u32 sum = x + scaled(word, size);
    return sum < size ? sum : sum - size;
}

// The item in a place of the permutation of 0 .. n that belongs to `keys`, one for each of the rounds.
DEVICE u32 permuted(u32 item, u32 n, u32 rows, u32 columns, const u32* keys) {
    // Results that are no item go through the rounds again.
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
