// What an ht_attention_plan is made of: orders of the tokens of a picture or clip, and lists of the
// blocks of an attention that are kept (Zhao et al. 2025, PAROAttention).
#ifndef HALFTONE_ATTENTION_H
#define HALFTONE_ATTENTION_H

#include <halftone/ops.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    HT_ATTENTION_BLOCK_TOKENS = 64, // queries, and keys, of a block
    HT_ATTENTION_ORDERS = 6,
};

// Tokens of an attention: those of a text, then those of a clip by frame, row and column (of a
// picture one frame).
typedef struct ht_attention_grid {
    uint32_t text;
    uint32_t frames, height, width;
} ht_attention_grid;

HT_API uint32_t ht_attention_grid_tokens(const ht_attention_grid *grid);
// "FHW", "FWH", "HWF", "HFW", "WHF", "WFH": axes of order 0 .. 5 from the slowest to the fastest.
// Pictures have two different ones, 0 and 1.
HT_API const char *ht_attention_order_name(uint32_t order);
// The token at each position of an order; text stays in front. tokens: as many as the grid has.
HT_API void ht_attention_order(const ht_attention_grid *grid, uint32_t order, int32_t *tokens);

// Blocks of `tokens` tokens; the last may be shorter.
HT_API uint32_t ht_attention_block_count(uint32_t tokens);
// Numbers of ht_attention_plan.blocks for `keep` [heads, rows, columns], rows of blocks of queries
// and columns of blocks of keys, where not 0 means kept. Lists ascend.
HT_API uint64_t ht_attention_lists_count(const uint8_t *keep, uint32_t heads, uint32_t rows,
                                         uint32_t columns);
HT_API void ht_attention_lists(const uint8_t *keep, uint32_t heads, uint32_t rows, uint32_t columns,
                               int32_t *blocks);

// --- calibration: which order a head gets, and which blocks matter -------------------------------

// What is known of the heads of an attention: per order and block the mass (the share of their
// attention that the queries of a block give to the keys of another, which is 1 over a row), and how
// evenly it lies in a block. Sampled from queries and keys, one call after the other.
typedef struct ht_attention_stats ht_attention_stats;

HT_API ht_status ht_attention_stats_create(ht_context *context, const ht_attention_grid *grid,
                                           uint32_t heads, uint32_t head_dim,
                                           ht_attention_stats **out);
HT_API void ht_attention_stats_destroy(ht_attention_stats **stats);
HT_API const ht_attention_grid *ht_attention_stats_grid(const ht_attention_stats *stats);
HT_API uint32_t ht_attention_stats_heads(const ht_attention_stats *stats);
// One picture's q and k [tokens, heads * head_dim], as they are multiplied. Pictures, in which the
// orders with frames inside repeat the others, are counted in two orders.
HT_API ht_status ht_attention_stats_add(ht_attention_stats *stats, const float *q, const float *k);

// What `from` was given too: the same attention in other steps.
HT_API void ht_attention_stats_merge(ht_attention_stats *into, const ht_attention_stats *from);

// How good an order is for a head: `density` is the share of the blocks that hold 95 % of the mass
// of every row, `incoherence` the mean of largest / mean within the blocks that are not empty.
typedef struct ht_attention_quality {
    double density, incoherence;
} ht_attention_quality;
HT_API ht_attention_quality ht_attention_stats_quality(const ht_attention_stats *stats,
                                                       uint32_t head, uint32_t order);
// The order to take: the best of both measures, each beside its sum over the orders. One that is not
// clearly better than the natural order is not worth it.
HT_API uint32_t ht_attention_stats_order(const ht_attention_stats *stats, uint32_t head);
// Mean masses of a head in an order, [blocks, blocks].
HT_API void ht_attention_stats_masses(const ht_attention_stats *stats, uint32_t head,
                                      uint32_t order, float *masses);

// Masses as bytes, eighths of a power of two below 1: 0 is 1, 255 is 2^-31.9 and all below.
HT_API uint8_t ht_attention_mass_code(float mass);

// Attentions that share a budget: as many blocks are kept as give all together this density, those
// of the largest mass, wherever they are. Always kept: blocks with a token of the text, the last
// block where it is short, the diagonal.
typedef struct ht_attention_masses {
    ht_attention_grid grid;
    uint32_t heads;
    const uint8_t *codes; // [heads, blocks, blocks]
    uint8_t *keep;        // the same; written
} ht_attention_masses;
HT_API void ht_attention_keep(const ht_attention_masses *layers, size_t count, double density);

#ifdef __cplusplus
}
#endif
#endif
