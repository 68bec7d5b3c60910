// Predicted blocks of an attention: lists by hand, the device's equal to the reference's, everything
// kept equal to dense, attention by such lists, the rules.
#include "attention.h"

#include "ref_gemm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = HT_ATTENTION_BLOCK_TOKENS };

typedef struct predict {
    ht_attention_predict_args args;
    bool attend; // the attention by the lists, instead of them
} predict;

enum { IN_Q, IN_K, IN_V, IN_ORDERS, IN_HEAD_ORDERS, INPUTS };

static ht_value build(ht_graph *g, const ht_value *in, const void *args) {
    const predict *p = args;
    ht_attention_predict_args a = p->args;
    a.orders = in[IN_ORDERS];
    a.head_orders = in[IN_HEAD_ORDERS];
    const ht_value blocks = ht_op_attention_predict(g, in[IN_Q], in[IN_K], &a);
    if (!p->attend) {
        return blocks;
    }
    const ht_attention_plan plan = {
        .blocks = blocks, .orders = a.orders, .head_orders = a.head_orders, .by_picture = true};
    const ht_attention_args of = {.heads = a.heads,
                                  .scale = a.scale,
                                  .rel_bias = HT_NO_VALUE,
                                  .mask = HT_NO_VALUE,
                                  .plan = &plan};
    return ht_op_attention(g, in[IN_Q], in[IN_K], in[IN_V], &of);
}

static ht_test_op open_op(const char *name, const predict *p, uint32_t batch, uint32_t queries,
                          uint32_t keys, uint32_t channels) {
    return (ht_test_op){.name = name,
                        .build = build,
                        .n_inputs = INPUTS,
                        .inputs = {{HT_TEST_ACTIVATIONS, 3, {batch, queries, channels}, NULL},
                                   {HT_TEST_ACTIVATIONS, 3, {batch, keys, channels}, NULL},
                                   {HT_TEST_ACTIVATIONS, 3, {batch, keys, channels}, NULL}},
                        .args = p};
}

// Rows of every block around a centre of its own; every fifth block has nothing in common.
static float *cluster(uint64_t seed, uint32_t batch, uint32_t tokens, uint32_t channels) {
    const uint64_t count = (uint64_t)batch * tokens * channels;
    float *x = malloc(count * sizeof *x);
    float *centre = malloc(channels * sizeof *centre);
    assert_true(x != NULL && centre != NULL);
    ht_test_fill_normal(seed, x, count);
    for (uint32_t n = 0; n < batch * tokens; n++) {
        const uint32_t block = n / tokens * 100 + n % tokens / BLOCK;
        ht_test_fill_normal(seed + 1 + block, centre, channels);
        for (uint32_t c = 0; c < channels && block % 5 != 3; c++) {
            x[(uint64_t)n * channels + c] =
                centre[c] + 0.5f * x[(uint64_t)n * channels + c] + (c == 2 ? 3.0f : 0.0f);
        }
    }
    free(centre);
    return x;
}

// Three blocks of keys that are directions; queries look along one of them, or along none.
static void test_reference_by_hand(void **state) {
    (void)state;
    enum { TOKENS = 3 * BLOCK, LISTS = 3, ALL = 2 * LISTS + 9 };
    static float q[TOKENS * 4], k[TOKENS * 4];
    static double scratch[256];
    float out[ALL];
    for (int n = 0; n < TOKENS; n++) {
        k[4 * n + n / BLOCK] = 3.0f;
        q[4 * n + n / BLOCK] = n / BLOCK == 2 ? (n % 2 ? 3.0f : -3.0f) : 3.0f;
    }
    // Weights of the first row exp(9 - 9) and two of exp(-9): the first is 0.9998 of all.
    ht_ref_predict_args args = {.shape = {.batch = 1,
                                          .queries = TOKENS,
                                          .keys = TOKENS,
                                          .heads = 1,
                                          .head_dim = 4,
                                          .scale = 1.0f},
                                .share = 0.99,
                                .similarity = 0.1};
    assert_true(ht_ref_attention_predict_scratch(&args) <= HT_COUNT(scratch));
    ht_ref_attention_predict(q, k, &args, scratch, out);
    // The queries of the last block are one another's opposites.
    const float want[ALL] = {6, 1, 9, 1, 12, 3, 0, 0, 0, 1, 0, 0, 0, 1, 2};
    assert_memory_equal(out, want, sizeof want);
    args.share = 0.9999; // the two others are equal
    args.text = 1;
    ht_ref_attention_predict(q, k, &args, scratch, out);
    assert_float_equal(out[1], 3.0f, 0);
    args.share = 0.99;
    ht_ref_attention_predict(q, k, &args, scratch, out);
    const float text[ALL] = {6, 3, 9, 2, 12, 3, 0, 1, 2, 0, 1, 0, 0, 1, 2};
    assert_memory_equal(out, text, sizeof text);
}

// Lists are numbers: they are equal or not. That no weight lies on the edge is up to the seeds.
static void test_lists(void **state) {
    (void)state;
    const predict p = {.args = {.heads = 2, .scale = 0.5f, .share = 0.8f, .similarity = 0.1f}};
    float *q = cluster(1000, 2, 500, 48), *k = cluster(5000, 2, 700, 48);
    ht_test_op op = open_op("lists", &p, 2, 500, 700, 48);
    ht_test_output out;
    op.inputs[IN_Q].values = q;
    op.inputs[IN_K].values = k;
    ht_test_op_check(&op, 0.0, 0.0);
    if (ht_test_context(HT_TIER_CPU) != NULL) {
        ht_test_op_run(&op, HT_TIER_CPU, HT_FORMAT_F32, &out);
        int kept = 0;
        for (int list = 0; list < 2 * 2 * 8; list++) {
            kept += (int)out.values[2 * list + 1];
        }
        assert_true(kept > 2 * 2 * 8 * 11 / 10 && kept < 2 * 2 * 8 * 9); // not all, not one each
        free(out.values);
    }
    free(q);
    free(k);
}

// In each head's order, with a text, attention by the lists and all; batch of two.
static void test_attention(void **state) {
    (void)state;
    const ht_attention_grid grid = {.text = 13, .frames = 4, .height = 6, .width = 9};
    enum { TOKENS = 13 + 4 * 6 * 9 };
    const predict p = {.args = {.heads = 6, .share = 0.7f, .similarity = 0.02f, .text = 13},
                       .attend = true};
    ht_test_attention orders;
    ht_test_attention_open(&orders, "orders", 2, TOKENS, TOKENS, 6, 40);
    ht_test_attention_orders(&orders, &grid);
    ht_test_op op = open_op("attention by lists", &p, 2, TOKENS, TOKENS, 240);
    op.inputs[IN_ORDERS] = orders.op.inputs[HT_TEST_ATTN_ORDERS];
    op.inputs[IN_HEAD_ORDERS] = orders.op.inputs[HT_TEST_ATTN_HEAD_ORDERS];
    const double bound = 3.0 * (sqrt(40.0) + sqrt((double)TOKENS) + 16.0) / 16777216; // as dense
    ht_test_op_check(&op, bound, HT_TEST_F16_ROUNDING + bound);
    ht_test_attention_close(&orders);
}

// A share of 1 keeps every block: the bits of the dense kernels.
static void test_everything(void **state) {
    (void)state;
    enum { TOKENS = 143, CHANNELS = 80 };
    const predict p = {.args = {.heads = 2, .share = 1.0f, .similarity = -1.0f}, .attend = true};
    const ht_tier tiers[] = {HT_TIER_CPU, HT_TIER_PORTABLE};
    for (size_t t = 0; t < HT_COUNT(tiers) && ht_test_context(tiers[t]) != NULL; t++) {
        ht_test_attention dense;
        ht_test_output a, b;
        ht_test_attention_open(&dense, "dense", 2, TOKENS, TOKENS, 2, 40);
        const ht_test_op op = open_op("everything", &p, 2, TOKENS, TOKENS, CHANNELS);
        ht_test_op_run(&dense.op, tiers[t], HT_FORMAT_F32, &a);
        ht_test_op_run(&op, tiers[t], HT_FORMAT_F32, &b);
        assert_memory_equal(a.values, b.values, 2 * TOKENS * CHANNELS * sizeof *a.values);
        ht_test_attention_close(&dense);
        free(a.values);
        free(b.values);
    }
}

static void test_rules(void **state) {
    (void)state;
    static const struct {
        predict p;
        uint32_t channels;
        const char *part;
    } rows[] = {
        {{.args = {.heads = 2, .share = 0.0f}}, 8, "share must be"},
        {{.args = {.heads = 2, .share = 1.5f}}, 8, "share must be"},
        {{.args = {.heads = 2, .share = 0.5f, .similarity = 2.0f}}, 8, "similarity -1 to 1"},
        {{.args = {.heads = 2, .share = 0.5f}}, 12, "multiple of 4"},
        {{.args = {.heads = 0, .share = 0.5f}}, 8, "0 heads"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        const ht_test_op op = open_op(rows[i].part, &rows[i].p, 1, 5, 5, rows[i].channels);
        ht_test_op_refuse(&op, HT_ERR_INVALID, rows[i].part);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_by_hand),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_rules),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}
