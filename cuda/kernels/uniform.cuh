// What philox.cu and permutation.cu share.
#pragma once
#include "dev.cuh"

// A uniform word taken to 0 .. n.
DEVICE u32 scaled(u32 word, u32 n) { return u32(u64(word) * n >> 32); }
