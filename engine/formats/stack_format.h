// Blocks of residual stacks (Wang et al. 2024, "BitStack"): a weight is a sum of blocks, each the signs
// of what the blocks before it leave, times magnitudes A B of low rank.
#ifndef HT_FORMATS_STACK_H
#define HT_FORMATS_STACK_H

#include "core.h"

#include <halftone/tensor.h>

// Blocks of a weight, and columns of A, at most; unstack.shared.h has the first for the kernel.
enum { HT_STACK_MAX_BLOCKS = 16, HT_STACK_MAX_RANK = 64 };

// One block: words of 32 signs (bit 1 for +1) [rows][padded / 32], then A, f16 [rows][rank], then B,
// f16 [rank][padded]. Rows as in ht_packed_layout: of a convolution, taps of outputs.
typedef struct ht_stack_layout {
    uint64_t rows;
    uint32_t width, padded, rank;
    uint64_t left, right, bytes; // where A and B begin (multiples of 16); the end, likewise
} ht_stack_layout;

// On the device a stack is this table of its blocks.
typedef struct ht_stack_table {
    uint32_t count, unused;
    uint64_t blocks[HT_STACK_MAX_BLOCKS]; // addresses
} ht_stack_table;

void ht_stack_layout_of(const ht_tensor_desc *desc, uint32_t rank, ht_stack_layout *out);
// The rank whose factors take an eighth of a bit a weight: 16 of 4096 x 4096, and at least 1.
uint32_t ht_stack_rank(const ht_tensor_desc *desc);

// values[rows][width] += what the block stands for.
void ht_stack_add(const ht_stack_layout *at, const void *block, float *values);
// The block of `rest`, which becomes what the block leaves. Magnitudes are the nearest of that rank,
// by subspace iteration. Returns the sum of squares that is left; HUGE_VAL when out of memory.
double ht_stack_take(ht_context *context, const ht_stack_layout *at, float *rest, void *block);
// Are all of A and B numbers?
bool ht_stack_is_finite(const ht_stack_layout *at, const void *block);

#endif
