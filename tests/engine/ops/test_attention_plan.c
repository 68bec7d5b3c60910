// Attention by a plan: orders of tokens and lists of blocks by hand, the device against the
// reference with dropped blocks, all blocks kept against the dense kernels, the rules.
#include "attention.h"

#include "ref_gemm.h"

#include <math.h>
#include <stdlib.h>

static void test_orders_by_hand(void **state) {
    (void)state;
    // Two words, then 2 frames of 2 rows of 3: token 2 + 6 f + 3 h + w.
    const ht_attention_grid grid = {.text = 2, .frames = 2, .height = 2, .width = 3};
    static const int32_t want[HT_ATTENTION_ORDERS][14] = {
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},  // F H W
        {0, 1, 2, 5, 3, 6, 4, 7, 8, 11, 9, 12, 10, 13},  // F W H
        {0, 1, 2, 8, 3, 9, 4, 10, 5, 11, 6, 12, 7, 13},  // H W F
        {0, 1, 2, 3, 4, 8, 9, 10, 5, 6, 7, 11, 12, 13},  // H F W
        {0, 1, 2, 8, 5, 11, 3, 9, 6, 12, 4, 10, 7, 13},  // W H F
        {0, 1, 2, 5, 8, 11, 3, 6, 9, 12, 4, 7, 10, 13}}; // W F H
    int32_t tokens[14];
    assert_int_equal(ht_attention_grid_tokens(&grid), 14);
    for (uint32_t order = 0; order < HT_ATTENTION_ORDERS; order++) {
        ht_attention_order(&grid, order, tokens);
        assert_memory_equal(tokens, want[order], sizeof tokens);
    }
    assert_string_equal(ht_attention_order_name(4), "WHF");
}

static void test_lists_by_hand(void **state) {
    (void)state;
    // 1 head, 2 blocks of queries, 3 of keys; 2 heads of one row.
    const uint8_t keep[] = {1, 0, 1, 0, 1, 0};
    const int32_t one_head[] = {4, 2, 6, 1, 0, 2, 1};
    int32_t blocks[HT_COUNT(one_head)];
    assert_int_equal(ht_attention_lists_count(keep, 1, 2, 3), HT_COUNT(one_head));
    ht_attention_lists(keep, 1, 2, 3, blocks);
    assert_memory_equal(blocks, one_head, sizeof blocks);
    assert_int_equal(ht_attention_lists_count(keep, 2, 1, 3), HT_COUNT(one_head));
    ht_attention_lists(keep, 2, 1, 3, blocks);
    assert_memory_equal(blocks, one_head, sizeof blocks);
    assert_int_equal(ht_attention_block_count(0), 0);
    assert_int_equal(ht_attention_block_count(64), 1);
    assert_int_equal(ht_attention_block_count(65), 2);
}

// Two keys in blocks 0 and 1 of 65: the second query block attends to the second only.
static void test_reference_by_hand(void **state) {
    (void)state;
    float q[65] = {0}, k[65] = {0}, v[65] = {0}, out[65];
    const float blocks[] = {4, 2, 6, 1, 0, 1, 1};
    double scratch[65];
    const ht_ref_attention_args args = {.batch = 1,
                                        .queries = 65,
                                        .keys = 65,
                                        .heads = 1,
                                        .head_dim = 1,
                                        .scale = 1.0f,
                                        .blocks = blocks};
    v[0] = 65.0f;
    v[64] = 130.0f;
    ht_ref_attention(q, k, v, &args, scratch, out);
    assert_float_equal(out[0], 3.0f, 1e-6);    // all scores are 0: the mean
    assert_float_equal(out[64], 130.0f, 1e-6); // its only key
}

// As much of f32 as test_attention.c allows: the same sums over fewer keys.
static double bound(uint32_t head_dim, uint32_t keys) {
    return 3.0 * (sqrt((double)head_dim) + sqrt((double)keys) + 16.0) / 16777216;
}

static void check(const ht_test_attention *f, uint32_t head_dim, uint32_t keys) {
    const double f32 = bound(head_dim, keys);
    ht_test_op_check(&f->op, f32, HT_TEST_F16_ROUNDING + f32);
}

static void test_dropped_blocks(void **state) {
    (void)state;
    ht_test_attention f;
    ht_test_attention_open(&f, "some blocks", 2, 200, 330, 3, 40);
    ht_test_attention_blocks(&f, 0.4, 1);
    check(&f, 40, 330);
    ht_test_attention_close(&f);
    ht_test_attention_open(&f, "one block a row", 1, 130, 256, 2, 64);
    ht_test_attention_blocks(&f, 0.0, 1);
    check(&f, 64, 256);
    ht_test_attention_close(&f);
    ht_test_attention_open(&f, "some rows without a block", 1, 130, 130, 2, 64);
    ht_test_attention_blocks(&f, 0.2, 0);
    check(&f, 64, 130);
    ht_test_attention_close(&f);
}

// Six heads, each in its order, with a text of a length that blurs the blocks, and a mask by token.
static void test_orders(void **state) {
    (void)state;
    const ht_attention_grid grid = {.text = 13, .frames = 3, .height = 6, .width = 9};
    enum { TOKENS = 13 + 3 * 6 * 9 };
    float mask[2 * TOKENS];
    ht_test_attention f;
    ht_test_fill_normal(3, mask, HT_COUNT(mask));
    ht_test_attention_open(&f, "orders, blocks and a mask", 2, TOKENS, TOKENS, 6, 40);
    ht_test_attention_blocks(&f, 0.5, 1);
    ht_test_attention_orders(&f, &grid);
    f.op.inputs[HT_TEST_ATTN_MASK] = (ht_test_input){HT_FORMAT_F32, 2, {2, TOKENS}, mask};
    check(&f, 40, TOKENS);
    ht_test_attention_close(&f);
}

static void run(const ht_test_attention *f, ht_tier tier, ht_test_output *out) {
    ht_test_op_run(&f->op, tier, HT_FORMAT_F32, out);
}

// All blocks kept is the dense kernel's own sequence of sums: the same bits. In another order of
// the tokens the same sums in another order.
static void test_all_kept(void **state) {
    (void)state;
    const ht_attention_grid grid = {.text = 3, .frames = 2, .height = 7, .width = 10};
    const ht_tier tiers[] = {HT_TIER_CPU, HT_TIER_PORTABLE};
    for (size_t t = 0; t < HT_COUNT(tiers); t++) {
        ht_test_attention f;
        ht_test_output dense, kept, ordered;
        if (ht_test_context(tiers[t]) == NULL) {
            continue;
        }
        ht_test_attention_open(&f, "all blocks", 1, 143, 143, 6, 40);
        run(&f, tiers[t], &dense);
        ht_test_attention_blocks(&f, 1.1, 1);
        run(&f, tiers[t], &kept);
        ht_test_attention_orders(&f, &grid);
        run(&f, tiers[t], &ordered);
        assert_memory_equal(dense.values, kept.values, 143 * 240 * sizeof *dense.values);
        ht_test_assert_close("all blocks, in order", ordered.values, dense.values, 143 * 240,
                             2.0 * bound(40, 143));
        ht_test_attention_close(&f);
        free(dense.values);
        free(kept.values);
        free(ordered.values);
    }
}

static void test_rules(void **state) {
    (void)state;
    static const ht_test_attention two = {.args = {.heads = 2}};
    const ht_test_input q = {HT_FORMAT_F32, 3, {1, 70, 8}, NULL};
    const ht_test_input other = {HT_FORMAT_F32, 3, {1, 71, 8}, NULL};
    const ht_test_input orders = {HT_FORMAT_I32, 2, {6, 70}, NULL};
    const ht_test_input heads = {HT_FORMAT_I32, 1, {2}, NULL};
    const struct {
        ht_test_op op;
        const char *part;
    } rows[] = {
        {{.inputs = {q, q, q, [HT_TEST_ATTN_BLOCKS] = {HT_FORMAT_I32, 1, {7}, NULL}}},
         "at least 8"},
        {{.inputs = {q, q, q, [HT_TEST_ATTN_BLOCKS] = {HT_FORMAT_F32, 1, {8}, NULL}}},
         "blocks must be i32"},
        {{.inputs = {q, q, q, [HT_TEST_ATTN_ORDERS] = orders}}, "need each other"},
        {{.inputs = {q, other,
                     other, [HT_TEST_ATTN_ORDERS] = orders, [HT_TEST_ATTN_HEAD_ORDERS] = heads}},
         "i32 [n, 71]"},
        {{.inputs = {q, q, q, [HT_TEST_ATTN_ORDERS] = {HT_FORMAT_I32, 2, {6, 64}, NULL},
                     [HT_TEST_ATTN_HEAD_ORDERS] = heads}},
         "i32 [n, 70]"},
        {{.inputs = {q, q, q, [HT_TEST_ATTN_ORDERS] = orders,
                     [HT_TEST_ATTN_HEAD_ORDERS] = {HT_FORMAT_I32, 1, {3}, NULL}}},
         "head_orders must be"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        ht_test_op op = rows[i].op;
        op.name = rows[i].part;
        op.args = &two;
        op.build = ht_test_attention_build;
        op.n_inputs = HT_TEST_ATTN_INPUTS;
        ht_test_op_refuse(&op, HT_ERR_INVALID, rows[i].part);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders_by_hand),
        cmocka_unit_test(test_lists_by_hand),
        cmocka_unit_test(test_reference_by_hand),
        cmocka_unit_test(test_dropped_blocks),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_all_kept),
        cmocka_unit_test(test_rules),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}
