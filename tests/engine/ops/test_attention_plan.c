// Attention by a plan: orders of tokens and lists of blocks by hand, the device against the
// reference with dropped blocks, all blocks kept against the dense kernels, the rules.
#include "support.h"

#include "ref_gemm.h"

#include <math.h>
#include <stdlib.h>

enum { Q, K, V, MASK, BLOCKS, ORDERS, HEAD_ORDERS, N_INPUTS };
enum { BLOCK = HT_ATTENTION_BLOCK_TOKENS };

static ht_value build(ht_graph *g, const ht_value *in, const void *args) {
    const ht_attention_plan plan = {
        .blocks = in[BLOCKS], .orders = in[ORDERS], .head_orders = in[HEAD_ORDERS]};
    ht_attention_args a = *(const ht_attention_args *)args;
    a.rel_bias = HT_NO_VALUE;
    a.mask = in[MASK];
    a.plan = &plan;
    return ht_op_attention(g, in[Q], in[K], in[V], &a);
}

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

typedef struct fixture {
    ht_test_op op;
    ht_attention_args args;
    float *blocks, *orders, *head_orders;
} fixture;

// As much of f32 as test_attention.c allows: the same sums over fewer keys.
static double bound(uint32_t head_dim, uint32_t keys) {
    return 3.0 * (sqrt((double)head_dim) + sqrt((double)keys) + 16.0) / 16777216;
}

static void check(const fixture *f, uint32_t head_dim, uint32_t keys) {
    const double f32 = bound(head_dim, keys);
    ht_test_op_check(&f->op, f32, HT_TEST_F16_ROUNDING + f32);
}

static float *as_floats(const int32_t *values, uint64_t count) {
    float *floats = malloc(count * sizeof *floats);
    assert_non_null(floats);
    for (uint64_t i = 0; i < count; i++) {
        floats[i] = (float)values[i];
    }
    return floats;
}

static void open_fixture(fixture *f, const char *name, uint32_t batch, uint32_t queries,
                         uint32_t keys, uint32_t heads, uint32_t head_dim) {
    const uint32_t c = heads * head_dim;
    *f = (fixture){.args = {.heads = heads}};
    f->op = (ht_test_op){.name = name,
                         .build = build,
                         .n_inputs = N_INPUTS,
                         .inputs = {{HT_TEST_ACTIVATIONS, 3, {batch, queries, c}, NULL},
                                    {HT_TEST_ACTIVATIONS, 3, {batch, keys, c}, NULL},
                                    {HT_TEST_ACTIVATIONS, 3, {batch, keys, c}, NULL}}};
    f->op.args = &f->args;
}

static void close_fixture(fixture *f) {
    free(f->blocks);
    free(f->orders);
    free(f->head_orders);
}

// Keep about `share` of the blocks, and `at_least` in each row.
static void add_blocks(fixture *f, double share, uint32_t at_least) {
    const uint32_t heads = f->args.heads;
    const uint32_t rows = ht_attention_block_count(f->op.inputs[Q].dims[1]);
    const uint32_t columns = ht_attention_block_count(f->op.inputs[K].dims[1]);
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
    const uint64_t count = ht_attention_lists_count(keep, heads, rows, columns);
    int32_t *lists = malloc(count * sizeof *lists);
    assert_non_null(lists);
    ht_attention_lists(keep, heads, rows, columns, lists);
    f->blocks = as_floats(lists, count);
    f->op.inputs[BLOCKS] = (ht_test_input){HT_FORMAT_I32, 1, {(uint32_t)count}, f->blocks};
    free(lists);
    free(keep);
}

static void add_orders(fixture *f, const ht_attention_grid *grid) {
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
    f->op.inputs[ORDERS] =
        (ht_test_input){HT_FORMAT_I32, 2, {HT_ATTENTION_ORDERS, tokens}, f->orders};
    f->op.inputs[HEAD_ORDERS] = (ht_test_input){HT_FORMAT_I32, 1, {heads}, f->head_orders};
    free(orders);
}

static void test_dropped_blocks(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, "some blocks", 2, 200, 330, 3, 40);
    add_blocks(&f, 0.4, 1);
    check(&f, 40, 330);
    close_fixture(&f);
    open_fixture(&f, "one block a row", 1, 130, 256, 2, 64);
    add_blocks(&f, 0.0, 1);
    check(&f, 64, 256);
    close_fixture(&f);
    open_fixture(&f, "some rows without a block", 1, 130, 130, 2, 64);
    add_blocks(&f, 0.2, 0);
    check(&f, 64, 130);
    close_fixture(&f);
}

// Six heads, each in its order, with a text of a length that blurs the blocks, and a mask by token.
static void test_orders(void **state) {
    (void)state;
    const ht_attention_grid grid = {.text = 13, .frames = 3, .height = 6, .width = 9};
    enum { TOKENS = 13 + 3 * 6 * 9 };
    float mask[2 * TOKENS];
    fixture f;
    ht_test_fill_normal(3, mask, HT_COUNT(mask));
    open_fixture(&f, "orders, blocks and a mask", 2, TOKENS, TOKENS, 6, 40);
    add_blocks(&f, 0.5, 1);
    add_orders(&f, &grid);
    f.op.inputs[MASK] = (ht_test_input){HT_FORMAT_F32, 2, {2, TOKENS}, mask};
    check(&f, 40, TOKENS);
    close_fixture(&f);
}

static void run(const fixture *f, ht_tier tier, ht_test_output *out) {
    ht_test_op_run(&f->op, tier, HT_FORMAT_F32, out);
}

// All blocks kept is the dense kernel's own sequence of sums: the same bits. In another order of
// the tokens the same sums in another order.
static void test_all_kept(void **state) {
    (void)state;
    const ht_attention_grid grid = {.text = 3, .frames = 2, .height = 7, .width = 10};
    const ht_tier tiers[] = {HT_TIER_CPU, HT_TIER_PORTABLE};
    for (size_t t = 0; t < HT_COUNT(tiers); t++) {
        fixture f;
        ht_test_output dense, kept, ordered;
        if (ht_test_context(tiers[t]) == NULL) {
            continue;
        }
        open_fixture(&f, "all blocks", 1, 143, 143, 6, 40);
        run(&f, tiers[t], &dense);
        add_blocks(&f, 1.1, 1);
        run(&f, tiers[t], &kept);
        add_orders(&f, &grid);
        run(&f, tiers[t], &ordered);
        assert_memory_equal(dense.values, kept.values, 143 * 240 * sizeof *dense.values);
        ht_test_assert_close("all blocks, in order", ordered.values, dense.values, 143 * 240,
                             2.0 * bound(40, 143));
        close_fixture(&f);
        free(dense.values);
        free(kept.values);
        free(ordered.values);
    }
}

static void test_rules(void **state) {
    (void)state;
    static const ht_attention_args two = {.heads = 2};
    const ht_test_input q = {HT_FORMAT_F32, 3, {1, 70, 8}, NULL};
    const ht_test_input other = {HT_FORMAT_F32, 3, {1, 71, 8}, NULL};
    const ht_test_input orders = {HT_FORMAT_I32, 2, {6, 70}, NULL};
    const ht_test_input heads = {HT_FORMAT_I32, 1, {2}, NULL};
    const struct {
        ht_test_op op;
        const char *part;
    } rows[] = {
        {{.inputs = {q, q, q, [BLOCKS] = {HT_FORMAT_I32, 1, {7}, NULL}}}, "at least 8"},
        {{.inputs = {q, q, q, [BLOCKS] = {HT_FORMAT_F32, 1, {8}, NULL}}}, "blocks must be i32"},
        {{.inputs = {q, q, q, [ORDERS] = orders}}, "need each other"},
        {{.inputs = {q, other, other, [ORDERS] = orders, [HEAD_ORDERS] = heads}}, "i32 [n, 71]"},
        {{.inputs = {q, q, q, [ORDERS] = {HT_FORMAT_I32, 2, {6, 64}, NULL}, [HEAD_ORDERS] = heads}},
         "i32 [n, 70]"},
        {{.inputs = {q, q, q, [ORDERS] = orders, [HEAD_ORDERS] = {HT_FORMAT_I32, 1, {3}, NULL}}},
         "head_orders must be"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        ht_test_op op = rows[i].op;
        op.name = rows[i].part;
        op.args = &two;
        op.build = build;
        op.n_inputs = N_INPUTS;
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
