// attention by integer codes: the device against the reference, sums that must be exact, what
// smoothing is worth, what it takes over of the nodes in front of it, the rules.
#include "attention.h"

#include "ref_gemm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Reference and device differ where a rounding to a code falls the other way, because a mean was
// summed up in another order (2^-22 of a value, of which a code is 2^-7: one in 2^14 codes) or
// because exp2 is good to 2^-20 (one in 2^12 codes of weights). Such a code is off by 1, where
// rounding to codes is off by 0.29 in the mean: 2^-6 x 3.5 = 5 % of the error that the codes have,
// which is 1 % of the result for eight bits; with four bits a code of q or k that flips is 1 / 7 of
// the largest value of its row, but only one in 2^18 does.
enum { BLOCK = HT_ATTENTION_BLOCK_TOKENS };
static const double BOUND = 1e-3;

// Every pair of shape and format of activations compiles kernels for seconds: f16 where asked for.
static void check(const ht_test_attention *f, bool halves) {
    static const ht_tier tiers[] = {HT_TIER_PORTABLE, HT_TIER_CPU};
    for (size_t t = 0; t < HT_COUNT(tiers) && ht_test_context(tiers[t]) != NULL; t++) {
        for (int half = 0; half <= halves; half++) {
            ht_test_output out;
            const double bound = BOUND + (half ? HT_TEST_F16_ROUNDING : 0.0);
            ht_test_op_run(&f->op, tiers[t], half ? HT_FORMAT_F16 : HT_FORMAT_F32, &out);
            free(out.values);
            if (!(out.rel_l2 <= bound)) {
                fail_msg("%s (%s tier%s): rel L2 %.3g is above %.3g; worst difference %.3g",
                         f->op.name, ht_tier_name(tiers[t]), half ? ", f16" : "", out.rel_l2, bound,
                         out.max_abs);
            }
        }
    }
}

typedef struct shape {
    ht_attention_products products;
    ht_format values;
    uint32_t batch, queries, keys, heads, head_dim;
} shape;

static void open_shape(ht_test_attention *f, const shape *s) {
    static char name[64];
    snprintf(name, sizeof name, "int%d, values %s", s->products == HT_ATTENTION_INT8 ? 8 : 4,
             ht_format_name(s->values));
    ht_test_attention_open(f, name, s->batch, s->queries, s->keys, s->heads, s->head_dim);
    f->plan.products = s->products;
    f->plan.values = s->values;
}

static void test_shapes(void **state) {
    (void)state;
    static const shape shapes[] = {{HT_ATTENTION_INT8, HT_FORMAT_NONE, 1, 65, 130, 2, 40},
                                   {HT_ATTENTION_INT8, HT_FORMAT_E4M3, 1, 65, 130, 2, 40},
                                   {HT_ATTENTION_INT8, HT_FORMAT_INT8, 1, 5, 1, 1, 4},
                                   {HT_ATTENTION_INT4, HT_FORMAT_NONE, 2, 70, 77, 1, 72},
                                   {HT_ATTENTION_INT4, HT_FORMAT_E4M3, 1, 70, 77, 1, 132}};
    for (size_t i = 0; i < HT_COUNT(shapes); i++) {
        ht_test_attention f;
        open_shape(&f, &shapes[i]);
        check(&f, i == 0);
        ht_test_attention_close(&f);
    }
}

// The device's integer dot product gives the same int32 sums as plain arithmetic: the same bits.
static void test_dot(void **state) {
    (void)state;
    static const shape shapes[] = {{HT_ATTENTION_INT8, HT_FORMAT_NONE, 1, 65, 130, 2, 40},
                                   {HT_ATTENTION_INT4, HT_FORMAT_NONE, 2, 70, 77, 1, 72}};
    if (ht_test_context(HT_TIER_DOT) == NULL || ht_test_context(HT_TIER_PORTABLE) == NULL) {
        return;
    }
    for (size_t i = 0; i < HT_COUNT(shapes); i++) {
        ht_test_attention f;
        ht_test_output plain, dot;
        open_shape(&f, &shapes[i]);
        ht_test_op_run(&f.op, HT_TIER_PORTABLE, HT_FORMAT_F32, &plain);
        ht_test_op_run(&f.op, HT_TIER_DOT, HT_FORMAT_F32, &dot);
        assert_memory_equal(dot.values, plain.values,
                            ht_desc_count(&plain.desc) * sizeof *plain.values);
        ht_test_attention_close(&f);
        free(plain.values);
        free(dot.values);
    }
}

static void test_plan(void **state) {
    (void)state;
    const ht_attention_grid grid = {.text = 13, .frames = 3, .height = 6, .width = 9};
    enum { TOKENS = 13 + 3 * 6 * 9 };
    static const ht_attention_products all[] = {HT_ATTENTION_INT8, HT_ATTENTION_INT4};
    float mask[TOKENS];
    ht_test_fill_normal(3, mask, HT_COUNT(mask));
    for (size_t i = 0; i < HT_COUNT(all); i++) {
        ht_test_attention f;
        ht_test_attention_open(&f, "orders, blocks, mask", 1, TOKENS, TOKENS, 6, 40);
        f.plan.products = all[i];
        ht_test_attention_blocks(&f, 0.5, 0);
        ht_test_attention_orders(&f, &grid);
        f.op.inputs[HT_TEST_ATTN_MASK] = (ht_test_input){HT_FORMAT_F32, 2, {1, TOKENS}, mask};
        check(&f, false);
        ht_test_attention_close(&f);
    }
}

// q and k are whole numbers within the codes, each row with the largest one, so that the codes are
// these numbers; k and -k take turns, so that their mean is 0, and q within a block too. With a
// factor that makes a difference of 1 between two scores one of 2^20 between their weights, a query
// gets the mean of v over the keys of the greatest score, and a sum that is off by 1 another one.
static void test_sums_are_exact(void **state) {
    (void)state;
    enum { TOKENS = 128, DIM = 64 };
    static float q[TOKENS * DIM], k[TOKENS * DIM], v[TOKENS * DIM], want[TOKENS * DIM];
    for (int bits = 8; bits >= 4; bits -= 4) {
        const int top = bits == 8 ? 127 : 7;
        uint64_t seed = 5;
        for (int t = 0; t < TOKENS; t++) {
            for (int d = 0; d < DIM; d++) {
                const int at = t * DIM + d;
                const uint32_t random = ht_test_random(&seed);
                q[at] = t % 2    ? -q[at - DIM]
                        : d == 3 ? (float)top
                                 : (float)((int)(random % (2 * top + 1)) - top);
                k[at] = t % 2    ? -k[at - DIM]
                        : d == 5 ? (float)top
                                 : (float)((int)((random >> 8) % (2 * top + 1)) - top);
                // Of each channel +-127 and what lies between: codes with the scale 1, mean 0.
                v[at] = t % 2              ? -v[at - DIM]
                        : t / 2 % DIM == d ? 127.0f
                                           : (float)((int)((random >> 16) % 255) - 127);
            }
        }
        for (int t = 0; t < TOKENS; t++) {
            double best = -1e30;
            int count = 0;
            for (int n = 0; n < TOKENS; n++) {
                double sum = 0.0;
                for (int d = 0; d < DIM; d++) {
                    sum += (double)q[t * DIM + d] * k[n * DIM + d];
                }
                if (sum > best) {
                    best = sum;
                    count = 0;
                }
                if (sum == best) {
                    count++;
                    for (int d = 0; d < DIM; d++) {
                        float *mean = &want[t * DIM + d];
                        *mean = count == 1 ? v[n * DIM + d]
                                           : *mean + (v[n * DIM + d] - *mean) / (float)count;
                    }
                }
            }
        }
        ht_test_attention f;
        ht_test_attention_open(&f, "argmax", 1, TOKENS, TOKENS, 1, DIM);
        f.plan.products = bits == 8 ? HT_ATTENTION_INT8 : HT_ATTENTION_INT4;
        f.args.scale = 20.0f / 1.44269504f;
        f.op.inputs[HT_TEST_ATTN_Q].values = q;
        f.op.inputs[HT_TEST_ATTN_K].values = k;
        f.op.inputs[HT_TEST_ATTN_V].values = v;
        const uint32_t dims[] = {1, TOKENS, DIM};
        // A few roundings of f32; whole numbers are stored exactly in f16, a mean of two may not be.
        ht_test_op_expect(&f.op, 3, dims, want, 1e-6, HT_TEST_F16_ROUNDING);
        ht_test_attention_close(&f);
    }
}

// Relative error against attention by floats of the same values.
static double error_of(ht_test_attention *f, ht_attention_products products) {
    ht_test_output exact, codes;
    f->plan.products = HT_ATTENTION_FLOATS;
    ht_test_op_run(&f->op, HT_TIER_CPU, HT_FORMAT_F32, &exact);
    f->plan.products = products;
    ht_test_op_run(&f->op, HT_TIER_CPU, HT_FORMAT_F32, &codes);
    const ht_test_error e =
        ht_test_compare(codes.values, exact.values, (size_t)ht_desc_count(&exact.desc));
    free(exact.values);
    free(codes.values);
    return e.rel_l2;
}

// Offsets that all keys, all queries and all values share must cost nothing but their rounding:
// the means are taken off. Without that an offset of 20 in one channel costs 12 dB (a factor of 4)
// at eight bits, and four bits see nothing but the offset.
static void test_offsets(void **state) {
    (void)state;
    enum { TOKENS = 256, DIM = 64, COUNT = TOKENS * DIM };
    static float q[COUNT], k[COUNT], v[COUNT];
    ht_test_attention f;
    if (ht_test_context(HT_TIER_CPU) == NULL) {
        return;
    }
    ht_test_attention_open(&f, "offsets", 1, TOKENS, TOKENS, 1, DIM);
    ht_test_fill_normal(21, q, COUNT);
    ht_test_fill_normal(22, k, COUNT);
    ht_test_fill_normal(23, v, COUNT);
    f.op.inputs[HT_TEST_ATTN_Q].values = q;
    f.op.inputs[HT_TEST_ATTN_K].values = k;
    f.op.inputs[HT_TEST_ATTN_V].values = v;
    const double plain8 = error_of(&f, HT_ATTENTION_INT8);
    const double plain4 = error_of(&f, HT_ATTENTION_INT4);
    f.plan.values = HT_FORMAT_E4M3;
    const double plain_e4m3 = error_of(&f, HT_ATTENTION_INT8);
    f.plan.values = HT_FORMAT_NONE;
    // Scores of deviation 1 with errors of 1 / 127 / sqrt(12) x 3 of an operand each, and weights
    // of seven bits, of results that are means of some 100 values: percents. Four bits: 18 times.
    assert_true(plain8 > 1e-4 && plain8 < 0.03);
    assert_true(plain4 > plain8 && plain4 < 0.3);
    // E4M3 is off by up to 2^-4 of v and of a weight, in the mean by 2^-4 / sqrt(12) / 1.4 of each,
    // in results of the size of an error of v.
    assert_true(plain_e4m3 > 0.25 * plain8 && plain_e4m3 < 0.06);
    for (int t = 0; t < TOKENS; t++) {
        k[t * DIM + 3] += 20.0f;
        q[t * DIM + 7] += 20.0f;
    }
    const double offset8 = error_of(&f, HT_ATTENTION_INT8);
    const double offset4 = error_of(&f, HT_ATTENTION_INT4);
    // With eight bits q keeps its offset, and its codes are 6 times as coarse.
    assert_true(offset8 < 6.0 * plain8);
    // With four its mean is taken off too; k's channel 7 then counts 20 times in scores, exactly.
    assert_true(offset4 < 1.5 * plain4);
    ht_test_attention_close(&f);
}

// v the same for all keys gives itself, whatever the weights: they are 1 together.
static void test_weights_are_one_together(void **state) {
    (void)state;
    enum { TOKENS = 200, DIM = 8 };
    static float v[TOKENS * DIM], want[TOKENS * DIM];
    ht_test_attention f;
    ht_test_attention_open(&f, "constant v", 1, TOKENS, TOKENS, 1, DIM);
    for (int i = 0; i < TOKENS * DIM; i++) {
        v[i] = want[i] = 1.0f + (float)(i % DIM);
    }
    f.plan.products = HT_ATTENTION_INT8;
    f.op.inputs[HT_TEST_ATTN_V].values = v;
    const uint32_t dims[] = {1, TOKENS, DIM};
    ht_test_op_expect(&f.op, 3, dims, want, 1e-6, 1e-6 + HT_TEST_F16_ROUNDING);
    ht_test_attention_close(&f);
}

// One key whose score is 6 above all others, which are then 0.0025 of it: as seven bits 0, as E4M3 not.
// v is 1 in one channel of the others; 63 of them together are 0.135 of the weights.
static void test_diffuse(void **state) {
    (void)state;
    enum { KEYS = 64, DIM = 8 };
    static float q[KEYS * DIM], k[KEYS * DIM], v[KEYS * DIM];
    const double share = (KEYS - 1) * exp(-6.0) / (1.0 + (KEYS - 1) * exp(-6.0));
    ht_test_attention f;
    ht_test_output out;
    if (ht_test_context(HT_TIER_CPU) == NULL) {
        return;
    }
    for (int n = 0; n < KEYS; n++) {
        q[n * DIM] = 1.0f;
        k[n * DIM] = n == 0 ? 6.0f : 0.0f;
        v[n * DIM + 1] = n == 0 ? 0.0f : 1.0f;
    }
    ht_test_attention_open(&f, "diffuse", 1, KEYS, KEYS, 1, DIM);
    f.args.scale = 1.0f;
    f.plan.products = HT_ATTENTION_INT8;
    f.op.inputs[HT_TEST_ATTN_Q].values = q;
    f.op.inputs[HT_TEST_ATTN_K].values = k;
    f.op.inputs[HT_TEST_ATTN_V].values = v;
    for (int e4m3 = 0; e4m3 < 2; e4m3++) {
        f.plan.values = e4m3 ? HT_FORMAT_E4M3 : HT_FORMAT_INT8;
        ht_test_op_run(&f.op, HT_TIER_CPU, HT_FORMAT_F32, &out);
        assert_float_equal(out.values[1], e4m3 ? share : 0.0, e4m3 ? share / 16 : 0.02);
        free(out.values);
    }
    ht_test_attention_close(&f);
}

// --- norms and rotary positions in front of it, which it takes over ------------------------------

enum { CHAIN_BATCH = 2, CHAIN_TOKENS = 67, CHAIN_HEADS = 2, CHAIN_DIM = 40 };
enum { CHAIN_WIDTH = CHAIN_HEADS * CHAIN_DIM };
enum { CHAIN_VALUES = CHAIN_BATCH * CHAIN_TOKENS * CHAIN_WIDTH };

typedef struct chain {
    const char *name;
    enum { TURN, NORM, NORM_TURN, TURN_NORM } stages;
    // Width of the norm. CHAIN_WIDTH: rms_norm with a weight, else layer_norm with weight and bias.
    uint32_t norm;
    bool modulated; // with a scale besides
    bool of_tensor; // q and k are the caller's
    ht_attention_products products;
    uint32_t fused;       // nodes that vanish
    uint32_t fused_first; // where the results of the first stage are seen elsewhere
} chain;

static const chain CHAINS[] = {
    {"rms_norm, rope", NORM_TURN, CHAIN_WIDTH, false, false, HT_ATTENTION_INT8, 4, 2},
    {"layer_norm, rope", NORM_TURN, CHAIN_DIM, false, false, HT_ATTENTION_INT8, 4, 2},
    {"layer_norm", NORM, CHAIN_DIM, false, false, HT_ATTENTION_INT8, 2, 0},
    {"rope", TURN, CHAIN_DIM, false, false, HT_ATTENTION_INT8, 2, 0},
    // k with four bits is multiplied with the means of q, as floats.
    {"rms_norm, rope, four bits", NORM_TURN, CHAIN_WIDTH, false, false, HT_ATTENTION_INT4, 2, 1},
    // What is turned is not normalised any more.
    {"rope, layer_norm", TURN_NORM, CHAIN_DIM, false, false, HT_ATTENTION_INT8, 2, 2},
    {"layer_norm with a scale, rope", NORM_TURN, CHAIN_DIM, true, false, HT_ATTENTION_INT8, 2, 2},
    {"layer_norm of half heads, rope", NORM_TURN, CHAIN_DIM / 2, false, false, HT_ATTENTION_INT8, 2,
     2},
    // A tensor might be written between the nodes.
    {"rms_norm of a tensor, rope", NORM_TURN, CHAIN_WIDTH, false, true, HT_ATTENTION_INT8, 2, 2},
};

typedef enum watched { NOTHING, FIRST_STAGE, ALL_STAGES } watched;

typedef struct outcome {
    ht_graph_stats stats;
    float y[CHAIN_VALUES], q[CHAIN_VALUES]; // result, and q as it is multiplied
    double rel_l2;                          // of the attention against its reference
} outcome;

enum { Q, K, V, TABLE, WEIGHT, BIAS, Y, SEEN, TENSORS = SEEN + 4 };

typedef struct fixture {
    ht_graph *graph;
    ht_tensor *tensors[TENSORS];
    ht_value in[Y];
} fixture;

static void keep_error(void *user, const ht_node_check *node) {
    outcome *o = user;
    if (strcmp(node->op, "attention by codes") == 0) {
        o->rel_l2 = node->rel_l2;
    }
}

static ht_status keep_q(void *user, const ht_attention_run *run) {
    outcome *o = user;
    memcpy(o->q, run->q, sizeof o->q);
    return HT_OK;
}

static void open_fixture(fixture *f, ht_context *context, ht_format activations, const chain *c) {
    static float values[CHAIN_VALUES];
    const ht_graph_desc desc = {.label = "inputs", .activations = activations, .keep_values = true};
    assert_int_equal(ht_graph_create(context, &desc, &f->graph), HT_OK);
    for (int i = 0; i < TENSORS; i++) {
        ht_tensor_desc d = {HT_FORMAT_F32, 3, {CHAIN_BATCH, CHAIN_TOKENS, CHAIN_WIDTH}, NULL};
        if (i == TABLE) {
            d = (ht_tensor_desc){HT_FORMAT_F32, 2, {CHAIN_TOKENS, CHAIN_DIM}, NULL};
        } else if (i == WEIGHT || i == BIAS) {
            d = (ht_tensor_desc){HT_FORMAT_F32, 1, {c->norm}, NULL};
        }
        assert_int_equal(ht_tensor_create(context, &d, &f->tensors[i]), HT_OK);
        ht_test_fill_normal((uint64_t)i + 1, values, ht_desc_count(&d));
        assert_int_equal(ht_tensor_write_f32(f->tensors[i], values, ht_desc_count(&d)), HT_OK);
    }
    for (int i = 0; i < Y; i++) {
        f->in[i] = ht_graph_tensor(f->graph, f->tensors[i]);
    }
}

static ht_value normalised(const fixture *f, const chain *c, ht_value x) {
    static const uint32_t dims[] = {CHAIN_BATCH, CHAIN_TOKENS, CHAIN_WIDTH};
    const uint32_t rows[] = {CHAIN_BATCH, CHAIN_TOKENS * CHAIN_WIDTH / c->norm, c->norm};
    const float eps = 0.1f; // seen in the result
    const ht_layer_norm_args args = {.eps = eps,
                                     .weight = f->in[WEIGHT],
                                     .bias = f->in[BIAS],
                                     .scale = c->modulated ? f->in[BIAS] : HT_NO_VALUE,
                                     .shift = HT_NO_VALUE};
    if (c->norm == CHAIN_WIDTH) {
        return ht_op_rms_norm(f->graph, x, f->in[WEIGHT], eps);
    }
    x = ht_op_layer_norm(f->graph, ht_op_reshape(f->graph, x, 3, rows), &args);
    return ht_op_reshape(f->graph, x, 3, dims);
}

// Input Q or K through the stages.
static ht_value staged(const fixture *f, const chain *c, int input, watched seen) {
    const int norm_at = c->stages == NORM || c->stages == NORM_TURN ? 0 : 1;
    const int count = c->stages == NORM || c->stages == TURN ? 1 : 2;
    ht_value x = f->in[input];
    if (!c->of_tensor) {
        x = ht_op_affine(f->graph, x, 1.0f, 0.5f);
    }
    for (int i = 0; i < count; i++) {
        x = i == norm_at ? normalised(f, c, x) : ht_op_rope(f->graph, x, f->in[TABLE]);
        if (i < (int)seen) {
            ht_graph_output(f->graph, x, f->tensors[SEEN + 2 * input + i]);
        }
    }
    return x;
}

static void run_chain(ht_tier tier, ht_format activations, const chain *c, watched seen,
                      outcome *out) {
    const ht_attention_plan plan = {.blocks = HT_NO_VALUE,
                                    .orders = HT_NO_VALUE,
                                    .head_orders = HT_NO_VALUE,
                                    .products = c->products};
    const ht_attention_args args = {
        .heads = CHAIN_HEADS, .rel_bias = HT_NO_VALUE, .mask = HT_NO_VALUE, .plan = &plan};
    fixture f = {0};
    open_fixture(&f, ht_test_context(tier), activations, c);
    const ht_value q = staged(&f, c, Q, seen), k = staged(&f, c, K, seen);
    ht_graph_output(f.graph, ht_op_attention(f.graph, q, k, f.in[V], &args), f.tensors[Y]);
    assert_int_equal(ht_graph_finish(f.graph), HT_OK);
    ht_graph_get_stats(f.graph, &out->stats);
    assert_int_equal(ht_graph_check(f.graph, keep_error, out), HT_OK);
    assert_int_equal(ht_tensor_read_f32(f.tensors[Y], out->y, CHAIN_VALUES), HT_OK);
    assert_int_equal(ht_graph_observe_attentions(f.graph, keep_q, out), HT_OK);
    ht_graph_destroy(&f.graph);
    for (int i = 0; i < TENSORS; i++) {
        ht_tensor_destroy(&f.tensors[i]);
    }
}

// Where the floats behind the stages are seen by nothing else they are not in memory; what is there
// besides is a mean and a root for each row that a norm has.
static void check_memory(const chain *c, const ht_graph_stats *fused, const ht_graph_stats *apart) {
    enum { ROUNDING = 256 };
    const uint64_t floats = (CHAIN_VALUES * sizeof(float) + ROUNDING - 1) / ROUNDING * ROUNDING;
    const int stages = c->stages == NORM || c->stages == TURN ? 1 : 2;
    const uint32_t left = 2 * (uint32_t)stages - c->fused;
    const uint64_t moments = 2 * (uint64_t)CHAIN_VALUES / CHAIN_DIM * 2 * sizeof(float); // at most
    const uint64_t least = apart->unshared_bytes + left * floats;
    assert_int_equal(fused->fused, c->fused);
    assert_int_equal(fused->nodes + fused->fused, apart->nodes);
    assert_in_range(fused->unshared_bytes, least, least + moments + ROUNDING);
}

// The attention takes over what it can: the same bits.
static void test_taken_over(void **state) {
    (void)state;
    static const ht_tier tiers[] = {HT_TIER_CPU, HT_TIER_PORTABLE};
    static outcome fused, first, apart;
    for (size_t i = 0; i < 2 * HT_COUNT(CHAINS); i++) {
        const chain *c = &CHAINS[i / 2];
        const ht_tier tier = tiers[i % 2];
        // What differs between tiers is in the first two.
        if (ht_test_context(tier) == NULL || (i / 2 > 1 && i % 2 == 1)) {
            continue;
        }
        run_chain(tier, HT_FORMAT_F32, c, NOTHING, &fused);
        run_chain(tier, HT_FORMAT_F32, c, ALL_STAGES, &apart);
        check_memory(c, &fused.stats, &apart.stats);
        assert_int_equal(apart.stats.fused, 0);
        assert_memory_equal(fused.y, apart.y, sizeof fused.y);
        if (c->fused_first != c->fused) {
            run_chain(tier, HT_FORMAT_F32, c, FIRST_STAGE, &first);
            assert_int_equal(first.stats.fused, c->fused_first);
            assert_memory_equal(first.y, apart.y, sizeof first.y);
        }
        assert_true(fused.rel_l2 <= BOUND);
        // Of references that sum in double.
        ht_test_assert_close("q", fused.q, apart.q, CHAIN_VALUES, 1e-6);
    }
}

// In half floats what is between the stages is not rounded.
static void test_halves(void **state) {
    (void)state;
    static outcome fused, apart;
    if (ht_test_context(HT_TIER_CPU) == NULL) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        run_chain(HT_TIER_CPU, HT_FORMAT_F16, &CHAINS[i], NOTHING, &fused);
        run_chain(HT_TIER_CPU, HT_FORMAT_F16, &CHAINS[i], ALL_STAGES, &apart);
        assert_int_equal(fused.stats.fused, CHAINS[i].fused);
        assert_true(fused.rel_l2 <= BOUND + HT_TEST_F16_ROUNDING);
        // Each of two stages rounds once.
        ht_test_assert_close("q", fused.q, apart.q, CHAIN_VALUES, 2 * HT_TEST_F16_ROUNDING);
    }
}

// One key counts; those of the other block have 2^-13 of its weight each for some queries, which is
// negligible and 0.8 % together, and 2^-6.5 for others of the same tile. The second block of queries
// needs no product with it. Scores, codes and v, 0 or 1 by the block, are exact.
static void test_negligible(void **state) {
    (void)state;
    enum { TOKENS = 2 * BLOCK, DIM = 8 };
    static const ht_tier tiers[] = {HT_TIER_PORTABLE, HT_TIER_CPU};
    static float q[TOKENS * DIM], k[TOKENS * DIM], v[TOKENS * DIM], want[TOKENS * DIM];
    const double share = BLOCK * exp2(-6.5);
    ht_test_attention f;
    for (int n = 0; n < TOKENS; n++) {
        const bool far = n % 2 == 0 || n >= BLOCK;
        q[n * DIM] = far ? 1.0f : 0.5f;
        k[n * DIM] = n == 0 ? 0.0f : n < BLOCK ? -40.0f : -13.0f;
        v[n * DIM + 1] = n < BLOCK ? 0.0f : 1.0f;
        want[n * DIM + 1] = far ? 0.0f : (float)(share / (1.0 + share));
    }
    ht_test_attention_open(&f, "negligible", 1, TOKENS, TOKENS, 1, DIM);
    f.args.scale = 0.693147181f; // a score of 1 is a factor of 2
    f.plan.products = HT_ATTENTION_INT8;
    f.plan.negligible = 12;
    f.op.inputs[HT_TEST_ATTN_Q].values = q;
    f.op.inputs[HT_TEST_ATTN_K].values = k;
    f.op.inputs[HT_TEST_ATTN_V].values = v;
    for (size_t t = 0; t < HT_COUNT(tiers) && ht_test_context(tiers[t]) != NULL; t++) {
        ht_test_output out;
        ht_test_op_run(&f.op, tiers[t], HT_FORMAT_F32, &out);
        ht_test_assert_close("result", out.values, want, TOKENS * DIM, 1e-4);
        assert_true(out.rel_l2 <= BOUND); // against the reference
        free(out.values);
    }
    ht_test_attention_close(&f);
}

static void test_rules(void **state) {
    (void)state;
    ht_test_attention f;
    ht_test_attention_open(&f, "widths", 1, 5, 5, 2, 6);
    f.plan.products = HT_ATTENTION_INT8;
    ht_test_op_refuse(&f.op, HT_ERR_INVALID, "a multiple of 4 channels");
    f.plan.values = HT_FORMAT_FP4;
    ht_test_op_refuse(&f.op, HT_ERR_INVALID, "values must be");
    ht_test_attention_close(&f);
}

static void test_memory(void **state) {
    (void)state;
    ht_test_attention f;
    ht_test_attention_open(&f, "memory", 1, 4, 4, 1, 32);
    f.plan.products = HT_ATTENTION_INT4;
    ht_test_op_starve(&f.op);
    ht_test_attention_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_are_exact), cmocka_unit_test(test_weights_are_one_together),
        cmocka_unit_test(test_shapes),         cmocka_unit_test(test_dot),
        cmocka_unit_test(test_plan),           cmocka_unit_test(test_diffuse),
        cmocka_unit_test(test_offsets),        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_memory),         cmocka_unit_test(test_negligible),
        cmocka_unit_test(test_taken_over),     cmocka_unit_test(test_halves),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}
