// Labels replaced by random classes, bit for bit those of the CPU: kernels/src/class_noise. Of the two sequences of words, one
// decides and the other gives classes.
//
// Any grid of one dimension, blocks of at most 256 threads, no shared memory; `count` items and labels. `step`: one number, or null
// for 0.
#include "uniform.cuh"

KERNEL(class_noise, 256, const u32* items, const u32* step, u32* labels, u64 count, u32 classes, double probability,
       u64 decides_key, u32 decides0, u32 decides1, u64 gives_key, u32 gives0, u32 gives1) {
    Words decides{decides_key, decides0, decides1}, gives{gives_key, gives0, gives1};
    FOR_ELEMENTS(i, count) {
        u64 position = item_position(step ? step[0] : 0, items[i]);
        if (uniform_of(decides, position) < probability) labels[i] = scaled(word_of(gives, position), classes);
    }
}
