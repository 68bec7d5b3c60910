// attention: hand-computed softmaxes, the device against the reference over head widths, lengths,
// masks and position biases, PyTorch's results, the rules.
#include "support.h"

#include "ref_gemm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { Q, K, V, REL_BIAS, MASK, N_INPUTS };

static ht_value build(ht_graph *g, const ht_value *in, const void *args) {
    ht_attention_args a = *(const ht_attention_args *)args;
    a.rel_bias = in[REL_BIAS];
    a.mask = in[MASK];
    return ht_op_attention(g, in[Q], in[K], in[V], &a);
}

// A score of normal q and k sums head_dim products of deviation 1 and is then divided by
// sqrt(head_dim): sqrt(head_dim) roundings of 2^-24, in quadrature, of a sum of that size, so about
// sqrt(head_dim) 2^-24 absolute; exp2 is good to 3 + |score| roundings, up to 16 in all. An error
// of a score is the same relative error of a weight. Results are means over keys, whose size is
// that of v over the root of the number of keys that matter, while errors of the weights average
// out alike. The running sums over keys add sqrt(keys) roundings.
static double f32_bound(uint32_t head_dim, uint32_t keys) {
    return 3.0 * (sqrt((double)head_dim) + sqrt((double)keys) + 16.0) / 16777216;
}

static double f16_bound(uint32_t head_dim, uint32_t keys) {
    return HT_TEST_F16_ROUNDING + f32_bound(head_dim, keys);
}

static void test_reference_by_hand(void **state) {
    (void)state;
    // One head of two channels, two queries, three keys.
    const float q[] = {1, 0, 0, 0};
    const float k[] = {0, 5, 1.0986123f, 7, 0, -9}; // log 3
    const float v[] = {1, 10, 2, 20, 6, 60};
    ht_ref_attention_args args = {
        .batch = 1, .queries = 2, .keys = 3, .heads = 1, .head_dim = 2, .scale = 1.0f};
    double scratch[3];
    float out[4];
    const float plain[] = {2.6f, 26, 3, 30}; // weights 1 3 1 and 1 1 1
    ht_ref_attention(q, k, v, &args, scratch, out);
    ht_test_assert_close("softmax", out, plain, 4, 1e-6);
    const float mask[] = {0, -INFINITY, 0};
    const float masked[] = {3.5f, 35, 3.5f, 35};
    args.mask = mask;
    ht_ref_attention(q, k, v, &args, scratch, out);
    ht_test_assert_close("mask", out, masked, 4, 1e-6);
    // Row k - q + 1: the bias by distance -1, 0, 1, 2.
    const float rel_bias[] = {0.6931472f, 0, 0, 1.0986123f};   // log 2, 0, 0, log 3
    const float biased[] = {3.5714286f, 35.714286f, 2.5f, 25}; // 1 3 3 and 2 1 1
    args.mask = NULL;
    args.rel_bias = rel_bias;
    ht_ref_attention(q, k, v, &args, scratch, out);
    ht_test_assert_close("position bias", out, biased, 4, 1e-6);
    const float nothing[] = {-INFINITY, -INFINITY, -INFINITY};
    const float mean[] = {3, 30, 3, 30};
    args.rel_bias = NULL;
    args.mask = nothing;
    ht_ref_attention(q, k, v, &args, scratch, out);
    ht_test_assert_close("all masked", out, mean, 4, 1e-6);
}

typedef struct shape {
    uint32_t batch, queries, keys, heads, head_dim;
} shape;

static ht_test_op make_op(const shape *s, const ht_attention_args *args, const char *name) {
    const uint32_t c = s->heads * s->head_dim;
    return (ht_test_op){.name = name,
                        .build = build,
                        .args = args,
                        .n_inputs = N_INPUTS,
                        .inputs = {{HT_TEST_ACTIVATIONS, 3, {s->batch, s->queries, c}, NULL},
                                   {HT_TEST_ACTIVATIONS, 3, {s->batch, s->keys, c}, NULL},
                                   {HT_TEST_ACTIVATIONS, 3, {s->batch, s->keys, c}, NULL}}};
}

static void check_shape(const shape *s) {
    const ht_attention_args args = {.heads = s->heads};
    char name[96];
    snprintf(name, sizeof name, "attention %u x %u -> %u, %u heads of %u", s->batch, s->queries,
             s->keys, s->heads, s->head_dim);
    const ht_test_op op = make_op(s, &args, name);
    ht_test_op_check(&op, f32_bound(s->head_dim, s->keys), f16_bound(s->head_dim, s->keys));
}

static void test_lengths(void **state) {
    (void)state;
    // Around the tiles: 16, 32 (from 512 queries on) or 64 queries, 32 keys.
    static const shape shapes[] = {
        {1, 1, 1, 1, 32},  {2, 15, 31, 2, 32}, {1, 16, 32, 3, 32},  {2, 17, 33, 1, 32},
        {1, 63, 7, 1, 32}, {1, 65, 65, 2, 32}, {3, 130, 77, 2, 32}, {1, 5, 300, 1, 32},
        {2, 513, 33, 1, 40}, {1, 545, 40, 2, 64},
    };
    for (size_t i = 0; i < HT_COUNT(shapes); i++) {
        check_shape(&shapes[i]);
    }
}

static void test_head_widths(void **state) {
    (void)state;
    static const uint32_t widths[] = {1, 12, 40, 64, 72, 160};
    for (size_t i = 0; i < HT_COUNT(widths); i++) {
        const shape s = {2, 19, 37, 2, widths[i]};
        check_shape(&s);
    }
}

// The middle of a VAE: one head of all channels.
static void test_widest_head(void **state) {
    (void)state;
    const shape s = {1, 24, 40, 1, 512};
    check_shape(&s);
}

static void test_mask(void **state) {
    (void)state;
    enum { KEYS = 45 };
    const shape s = {3, 9, KEYS, 2, 32};
    const ht_attention_args args = {.heads = 2};
    float mask[3 * KEYS];
    for (int i = 0; i < KEYS; i++) {
        mask[i] = i < 40 ? 0.0f : -10000.0f;            // padding, as PyTorch's models write it
        mask[KEYS + i] = i % 3 == 0 ? 0.0f : -INFINITY; // some keys only
        mask[2 * KEYS + i] = -INFINITY;                 // none: all scores are equal
    }
    ht_test_op op = make_op(&s, &args, "attention with masks");
    op.inputs[MASK] = (ht_test_input){HT_FORMAT_F32, 2, {3, KEYS}, mask};
    ht_test_op_check(&op, f32_bound(32, KEYS), f16_bound(32, KEYS));
    // Every key at -10000: the scores themselves still decide, to the rounding of sums near 10000
    // (2^-11 absolute, so up to 2^-10 of a weight in reference and device).
    for (int i = 0; i < 3 * KEYS; i++) {
        mask[i] = -10000.0f;
    }
    op.name = "attention with every key at -10000";
    ht_test_op_check(&op, 2.0 / 1024, 2.0 / 1024 + HT_TEST_F16_ROUNDING);
}

static void test_position_bias(void **state) {
    (void)state;
    const shape shapes[] = {{2, 20, 20, 3, 32}, {1, 7, 50, 3, 32}, {1, 50, 7, 3, 32}};
    for (size_t i = 0; i < HT_COUNT(shapes); i++) {
        const shape *s = &shapes[i];
        const ht_attention_args args = {.heads = 3, .scale = 1.0f / 8};
        ht_test_op op = make_op(s, &args, "attention with position bias and mask");
        op.inputs[REL_BIAS] =
            (ht_test_input){HT_FORMAT_F32, 2, {s->queries + s->keys - 1, 3}, NULL};
        op.inputs[MASK] = (ht_test_input){HT_FORMAT_F32, 2, {s->batch, s->keys}, NULL};
        ht_test_op_check(&op, f32_bound(32, s->keys), f16_bound(32, s->keys));
    }
}

// Scores far apart: the running maximum must rescale, and exp2 must neither overflow nor make NaN.
static void test_large_scores(void **state) {
    (void)state;
    enum { KEYS = 70, DIM = 32, QUERIES = 18 };
    static float q[QUERIES * DIM];
    static float k[KEYS * DIM];
    ht_test_fill_normal(5, q, HT_COUNT(q));
    ht_test_fill_normal(6, k, HT_COUNT(k));
    for (size_t i = 0; i < HT_COUNT(k); i++) {
        k[i] *= 1.0f + 20.0f * (float)(i / DIM) / KEYS; // later keys win
    }
    const shape s = {1, QUERIES, KEYS, 1, DIM};
    const ht_attention_args args = {.heads = 1, .scale = 1.0f};
    ht_test_op op = make_op(&s, &args, "attention with large scores");
    op.inputs[Q].values = q;
    op.inputs[K].values = k;
    // Scores reach 20 sqrt(32) = 113 times their usual size, and so do their errors.
    ht_test_op_check(&op, 113.0 * f32_bound(DIM, KEYS),
                     HT_TEST_F16_ROUNDING + 113.0 * f32_bound(DIM, KEYS));
}

// [B, H, T, D] as PyTorch has it -> [B, T, H * D].
static float *read_heads(const ht_test_golden *golden, const char *name, const char *part,
                         ht_tensor_desc *desc) {
    char tensor[64];
    snprintf(tensor, sizeof tensor, "%s/%s", name, part);
    float *values = ht_test_golden_read(golden, tensor, desc);
    float *result = malloc(ht_desc_count(desc) * sizeof *result);
    assert_non_null(result);
    assert_int_equal(desc->rank, 4);
    const uint32_t *n = desc->dims;
    size_t at = 0;
    for (uint32_t b = 0; b < n[0]; b++) {
        for (uint32_t h = 0; h < n[1]; h++) {
            for (uint32_t t = 0; t < n[2]; t++) {
                for (uint32_t d = 0; d < n[3]; d++) {
                    result[((b * n[2] + t) * n[1] + h) * n[3] + d] = values[at++];
                }
            }
        }
    }
    free(values);
    return result;
}

static void check_golden(const ht_test_golden *golden, const char *name, bool masked) {
    const char *const parts[] = {"q", "k", "v", masked ? "y_mask" : "y"};
    float *values[4];
    ht_tensor_desc desc[4];
    for (size_t p = 0; p < HT_COUNT(parts); p++) {
        values[p] = read_heads(golden, name, parts[p], &desc[p]);
    }
    const uint32_t *n = desc[0].dims;
    const shape s = {n[0], n[2], desc[1].dims[2], n[1], n[3]};
    const ht_attention_args args = {.heads = s.heads};
    ht_test_op op = make_op(&s, &args, name);
    float *mask = NULL;
    if (masked) {
        char tensor[64];
        snprintf(tensor, sizeof tensor, "%s/mask", name);
        mask = ht_test_golden_read(golden, tensor, NULL);
        op.inputs[MASK] = (ht_test_input){HT_FORMAT_F32, 2, {s.batch, s.keys}, mask};
    }
    for (size_t p = 0; p < 3; p++) {
        op.inputs[p].values = values[p];
    }
    const uint32_t dims[] = {s.batch, s.queries, s.heads * s.head_dim};
    // With f16 activations q, k and v are rounded too: scores of size 1 to 2 move by some 2^-11 for
    // q and for k each, and with them the weights; v and the result are rounded once each.
    ht_test_op_expect(&op, 3, dims, values[3], f32_bound(s.head_dim, s.keys),
                      6.0 * HT_TEST_F16_ROUNDING + f32_bound(s.head_dim, s.keys));
    for (size_t p = 0; p < HT_COUNT(parts); p++) {
        free(values[p]);
    }
    free(mask);
}

static void test_golden(void **state) {
    (void)state;
    static const char *const names[] = {"attention_12", "attention_32", "attention_64",
                                        "attention_72"};
    ht_test_golden golden;
    ht_test_golden_open(&golden, "ops");
    for (size_t i = 0; i < HT_COUNT(names); i++) {
        check_golden(&golden, names[i], false);
        check_golden(&golden, names[i], true);
    }
    check_golden(&golden, "attention_long", false);
    ht_test_golden_close(&golden);
}

static void test_rules(void **state) {
    (void)state;
    static const ht_attention_args two = {.heads = 2};
    static const ht_attention_args none = {.heads = 0};
    static const ht_attention_args three = {.heads = 3};
    static const ht_attention_args infinite = {.heads = 2, .scale = INFINITY};
    static const ht_attention_args one = {.heads = 1};
    const ht_test_input q = {HT_FORMAT_F32, 3, {2, 5, 8}, NULL};
    const ht_test_input kv = {HT_FORMAT_F32, 3, {2, 7, 8}, NULL};
    const ht_test_input flat = {HT_FORMAT_F32, 2, {5, 8}, NULL};
    const ht_test_input ids = {HT_FORMAT_I32, 3, {2, 7, 8}, NULL};
    const ht_test_input narrow = {HT_FORMAT_F32, 3, {2, 7, 6}, NULL};
    const ht_test_input wide = {HT_FORMAT_F32, 3, {2, 7, 513}, NULL};
    const struct {
        ht_test_op op;
        const char *part;
    } rows[] = {
        {{.inputs = {flat, kv, kv}, .args = &two}, "q must be"},
        {{.inputs = {q, ids, kv}, .args = &two}, "k must be"},
        {{.inputs = {q, narrow, kv}, .args = &two}, "k must have"},
        {{.inputs = {q, kv, q}, .args = &two}, "v must have"},
        {{.inputs = {q, {HT_FORMAT_F32, 3, {1, 7, 8}, NULL}, kv}, .args = &two}, "k must have"},
        {{.inputs = {q, kv, kv}, .args = &none}, "into 0 heads"},
        {{.inputs = {q, kv, kv}, .args = &three}, "into 3 heads"},
        {{.inputs = {wide, wide, wide}, .args = &one}, "may have 512 channels"},
        {{.inputs = {q, kv, kv}, .args = &infinite}, "scale"},
        {{.inputs = {q, kv, kv, {HT_FORMAT_F32, 2, {12, 2}, NULL}}, .args = &two}, "rel_bias"},
        {{.inputs = {q, kv, kv, {HT_FORMAT_F16, 2, {11, 2}, NULL}}, .args = &two}, "rel_bias"},
        {{.inputs = {q, kv, kv, [MASK] = {HT_FORMAT_F32, 2, {2, 5}, NULL}}, .args = &two}, "mask"},
        {{.inputs = {q, kv, kv, [MASK] = {HT_FORMAT_F32, 1, {7}, NULL}}, .args = &two}, "mask"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        ht_test_op op = rows[i].op;
        op.name = rows[i].part;
        op.build = build;
        op.n_inputs = N_INPUTS;
        ht_test_op_refuse(&op, HT_ERR_INVALID, rows[i].part);
    }
}

static void test_memory(void **state) {
    (void)state;
    static const ht_attention_args args = {.heads = 2};
    const shape s = {1, 4, 4, 2, 32};
    const ht_test_op op = make_op(&s, &args, "attention");
    ht_test_op_starve(&op);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_by_hand),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_head_widths),
        cmocka_unit_test(test_widest_head),
        cmocka_unit_test(test_mask),
        cmocka_unit_test(test_position_bias),
        cmocka_unit_test(test_large_scores),
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_memory),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}
