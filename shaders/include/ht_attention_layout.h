// Numbers that C and the attention kernels share, and how the scratch memory of attention by codes
// is laid out. Rows are of one head's positions (tokens in the head's order), rows of codes whole
// 16 bytes:
//   q, k     [batch, heads, position] rows, first code in the lowest bits, of q and of k - its mean;
//            with four bits of q - the mean of its block too
//   v        [batch, heads, position / 4, channel] words: a channel's codes of four positions, of
//            v - its mean; integers of eight bits, or E4M3
//   scales   [2][batch, heads, position] f32: of q, with the factor of the scores in it, and of k
//   channels [batch, HT_CODES_CHANNEL_ROWS, C] f32
//   q_means  [batch, heads, block, head_dim] f32: of the positions of a block; four bits only
//   moments  [batch, tokens, 1 or heads, 2] f32: of q and of k, where a norm is in front of them
#ifndef HT_ATTENTION_LAYOUT_H
#define HT_ATTENTION_LAYOUT_H

// Queries and keys of a block that is kept or skipped as a whole.
#define HT_ATTENTION_BLOCK 64

// Kernels for GPUs: invocations; groups of them that own a row; channels that pass through shared
// memory at a time; up to how many such chunks in a head an invocation owns four rows, else one.
#define HT_ATTENTION_INVOCATIONS 128
#define HT_ATTENTION_LINES 16
#define HT_ATTENTION_CHUNK 32
#define HT_ATTENTION_FEW_CHUNKS 4

// Largest codes of q and k of eight and four bits, of v, and of the weights; of those that are E4M3
// the largest number.
#define HT_CODES_TOP8 127
#define HT_CODES_TOP4 7
#define HT_CODES_TOP_V 127
#define HT_CODES_TOP_WEIGHT 127
#define HT_CODES_TOP_E4M3 448

// What is summed up of each slice of the tokens, and what comes of it: rows of C values.
#define HT_CODES_SUM_K 0
#define HT_CODES_SUM_V 1
#define HT_CODES_LEAST_V 2
#define HT_CODES_MOST_V 3
#define HT_CODES_PARTIAL_ROWS 4
#define HT_CODES_MEAN_K 0
#define HT_CODES_MEAN_V 1
#define HT_CODES_SCALE_V 2
#define HT_CODES_CHANNEL_ROWS 3

// Steps of attention_pack.
#define HT_CODES_SLICES 0  // partial sums of k and v
#define HT_CODES_COMBINE 1 // channels
#define HT_CODES_MEANS_Q 2 // q_means
#define HT_CODES_PACK_Q 3
#define HT_CODES_PACK_K 4
#define HT_CODES_PACK_V 5

// The norm in front of q or k: of all heads of a token together, or of each.
#define HT_CODES_NORM_NONE 0
#define HT_CODES_NORM_TOKENS 1
#define HT_CODES_NORM_HEADS 2

#endif
