// Attention by a plan as a test op.
#include "attention.h"

#include <stdlib.h>

ht_value ht_test_attention_build(ht_graph *g, const ht_value *in, const void *args) {
    const ht_test_attention *f = args;
    ht_attention_plan plan = f->plan;
    ht_attention_args a = f->args;
    plan.blocks = in[HT_TEST_ATTN_BLOCKS];
    plan.orders = in[HT_TEST_ATTN_ORDERS];
    plan.head_orders = in[HT_TEST_ATTN_HEAD_ORDERS];
    a.rel_bias = HT_NO_VALUE;
    a.mask = in[HT_TEST_ATTN_MASK];
    a.plan = &plan;
    return ht_op_attention(g, in[HT_TEST_ATTN_Q], in[HT_TEST_ATTN_K], in[HT_TEST_ATTN_V], &a);
}

static float *as_floats(const int32_t *values, uint64_t count) {
    float *floats = malloc(count * sizeof *floats);
    assert_non_null(floats);
    for (uint64_t i = 0; i < count; i++) {
        floats[i] = (float)values[i];
    }
    return floats;
}

void ht_test_attention_open(ht_test_attention *f, const char *name, uint32_t batch,
                            uint32_t queries, uint32_t keys, uint32_t heads, uint32_t head_dim) {
    const uint32_t c = heads * head_dim;
    *f = (ht_test_attention){.args = {.heads = heads}};
    f->op = (ht_test_op){.name = name,
                         .build = ht_test_attention_build,
                         .n_inputs = HT_TEST_ATTN_INPUTS,
                         .inputs = {{HT_TEST_ACTIVATIONS, 3, {batch, queries, c}, NULL},
                                    {HT_TEST_ACTIVATIONS, 3, {batch, keys, c}, NULL},
                                    {HT_TEST_ACTIVATIONS, 3, {batch, keys, c}, NULL}}};
    f->op.args = f;
}

void ht_test_attention_close(ht_test_attention *f) {
    free(f->blocks);
    free(f->orders);
    free(f->head_orders);
}

void ht_test_attention_keep(ht_test_attention *f, const uint8_t *keep) {
    const uint32_t heads = f->args.heads;
    const uint32_t rows = ht_attention_block_count(f->op.inputs[HT_TEST_ATTN_Q].dims[1]);
    const uint32_t columns = ht_attention_block_count(f->op.inputs[HT_TEST_ATTN_K].dims[1]);
    const uint64_t count = ht_attention_lists_count(keep, heads, rows, columns);
    int32_t *lists = malloc(count * sizeof *lists);
    assert_non_null(lists);
    ht_attention_lists(keep, heads, rows, columns, lists);
    f->blocks = as_floats(lists, count);
    f->op.inputs[HT_TEST_ATTN_BLOCKS] =
        (ht_test_input){HT_FORMAT_I32, 1, {(uint32_t)count}, f->blocks};
    free(lists);
}

void ht_test_attention_blocks(ht_test_attention *f, double share, uint32_t at_least) {
    const uint32_t heads = f->args.heads;
    const uint32_t rows = ht_attention_block_count(f->op.inputs[HT_TEST_ATTN_Q].dims[1]);
    const uint32_t columns = ht_attention_block_count(f->op.inputs[HT_TEST_ATTN_K].dims[1]);
    uint8_t *keep = calloc((size_t)heads * rows * columns, 1);
    uint64_t seed = 11;
    assert_non_null(keep);
    for (uint32_t row = 0; row < heads * rows; row++) {
        for (uint32_t column = 0; column < columns; column++) {
            keep[row * columns + column] = ht_test_random(&seed) < share * 4294967296.0;
        }
        if (at_least > 0) {
            keep[row * columns + ht_test_random(&seed) % columns] = 1;
        }
    }
    ht_test_attention_keep(f, keep);
    free(keep);
}

void ht_test_attention_orders(ht_test_attention *f, const ht_attention_grid *grid) {
    const uint32_t tokens = ht_attention_grid_tokens(grid);
    const uint32_t heads = f->args.heads;
    int32_t *orders = malloc(HT_ATTENTION_ORDERS * tokens * sizeof *orders);
    f->head_orders = malloc(heads * sizeof *f->head_orders);
    assert_true(orders != NULL && f->head_orders != NULL);
    for (uint32_t order = 0; order < HT_ATTENTION_ORDERS; order++) {
        ht_attention_order(grid, order, orders + order * tokens);
    }
    for (uint32_t head = 0; head < heads; head++) {
        f->head_orders[head] = (float)(head % HT_ATTENTION_ORDERS);
    }
    f->orders = as_floats(orders, (uint64_t)HT_ATTENTION_ORDERS * tokens);
    f->op.inputs[HT_TEST_ATTN_ORDERS] =
        (ht_test_input){HT_FORMAT_I32, 2, {HT_ATTENTION_ORDERS, tokens}, f->orders};
    f->op.inputs[HT_TEST_ATTN_HEAD_ORDERS] =
        (ht_test_input){HT_FORMAT_I32, 1, {heads}, f->head_orders};
    free(orders);
}
