// One attention by a plan as a test op: which blocks are kept, the orders of its heads, a mask.
#ifndef HT_TEST_ATTENTION_H
#define HT_TEST_ATTENTION_H

#include "support.h"

enum {
    HT_TEST_ATTN_Q,
    HT_TEST_ATTN_K,
    HT_TEST_ATTN_V,
    HT_TEST_ATTN_MASK,
    HT_TEST_ATTN_BLOCKS,
    HT_TEST_ATTN_ORDERS,
    HT_TEST_ATTN_HEAD_ORDERS,
    HT_TEST_ATTN_INPUTS
};

typedef struct ht_test_attention {
    ht_test_op op;
    ht_attention_args args;
    ht_attention_plan plan; // products alone
    float *blocks, *orders, *head_orders;
} ht_test_attention;

// The builder of such an op; args: an ht_test_attention.
ht_value ht_test_attention_build(ht_graph *g, const ht_value *in, const void *args);
// Seeded normal values, all blocks, tokens in their order. Release with ht_test_attention_close.
void ht_test_attention_open(ht_test_attention *f, const char *name, uint32_t batch,
                            uint32_t queries, uint32_t keys, uint32_t heads, uint32_t head_dim);
void ht_test_attention_close(ht_test_attention *f);
// Keep the blocks of `keep` [heads, rows, columns] that are not 0.
void ht_test_attention_keep(ht_test_attention *f, const uint8_t *keep);
// Keep about `share` of the blocks, and at least one in each row where `at_least` is not 0.
void ht_test_attention_blocks(ht_test_attention *f, double share, uint32_t at_least);
// Head n has order n of six.
void ht_test_attention_orders(ht_test_attention *f, const ht_attention_grid *grid);

#endif
