// Sums over more elements than one block has, in an order that the number of elements alone decides: a launch in which each
// block sums one chunk into `partial`, and a second one whose only block sums these.
//
// Both: blocks of SUM_THREADS threads, SUM_THREADS/32 elements of the sum's type in shared memory. First launch: as many
// blocks as there are chunks, n/SUM_CHUNK rounded up, and as many elements in `partial`.
#pragma once
#include "dev.cuh"

constexpr u32 SUM_THREADS = 256;
constexpr u64 SUM_CHUNK = 4096;

// partial[chunk] = the sum of term(i) over the i below n of the block's chunk.
template <class S, class Term> DEVICE void sum_chunk(S* partial, u64 n, Term term) {
    u64 start = blockIdx.x * SUM_CHUNK;
    u64 end = start + SUM_CHUNK < n ? start + SUM_CHUNK : n;
    S sum = 0;
    for (u64 i = start + threadIdx.x; i < end; i += blockDim.x) sum += term(i);
    sum = block_sum(sum, reinterpret_cast<S*>(shared_memory()));
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// The sum of all `chunks` partial sums, the same in every thread.
template <class S> DEVICE S sum_partials(const S* partial, u64 chunks) {
    S sum = 0;
    for (u64 i = threadIdx.x; i < chunks; i += blockDim.x) sum += partial[i];
    return block_sum(sum, reinterpret_cast<S*>(shared_memory()));
}
