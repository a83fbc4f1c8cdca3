// Random windows of padded images and of their mirror images, bit for bit those of the CPU: kernels/src/crop_flip. x and out
// n x height x width x channels; `step` one number.
//
// Any grid of one dimension, whose blocks take images in turn; at most 256 threads, no shared memory.
#include "uniform.cuh"

#define CROP_FLIP(T, suffix)                                                                                                     \
    KERNEL(crop_flip_##suffix, 256, const T* x, const u32* items, const u32* step, T* out, u32 n, u32 height, u32 width,         \
           u32 channels, u32 padding, u64 key, u32 upper0, u32 upper1) {                                                         \
        Words words{key, upper0, upper1};                                                                                        \
        u32 offsets = 2 * padding + 1;                                                                                           \
        u64 numbers = u64(height) * width * channels;                                                                            \
        for (u64 image = blockIdx.x; image < n; image += gridDim.x) {                                                            \
            u32 draw = scaled(word_of(words, item_position(step[0], items[image])), 2 * offsets * offsets);                      \
            u32 down = draw / 2 / offsets, right = draw / 2 % offsets;                                                           \
            bool flip = draw % 2 == 1;                                                                                           \
            for (u64 i = threadIdx.x; i < numbers; i += blockDim.x) {                                                            \
                u32 column = u32(i / channels % width);                                                                          \
                if (flip) column = width - 1 - column;                                                                           \
                /* What lies above or to the left of the image wraps to a large number. */                                       \
                u32 line = u32(i / channels / width) + down - padding;                                                           \
                column += right - padding;                                                                                       \
                u64 from = (image * height + line) * width + column;                                                             \
                out[image * numbers + i] = line < height && column < width ? x[from * channels + i % channels] : T(0);           \
            }                                                                                                                    \
        }                                                                                                                        \
    }
FOR_REALS(CROP_FLIP)
