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

#ifdef __cplusplus
}
#endif
#endif
