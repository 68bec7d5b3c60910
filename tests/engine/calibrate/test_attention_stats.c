// Orders and blocks of attentions: planted neighbourhoods choose their order; budgets; what keeping
// blocks costs, with the chosen orders and without, which is printed as a table.
#include "attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 8, TOKENS = SIDE * SIDE * SIDE, DIM = 32, HEADS = 6, WIDTH = HEADS * DIM };
static const ht_attention_grid grid = {0, SIDE, SIDE, SIDE};

// How far along frames, rows and columns a head looks. The first three along one axis, the next
// three within a plane.
static const float reach[HEADS][3] = {{6, 0.7f, 0.7f}, {0.7f, 6, 0.7f}, {0.7f, 0.7f, 6},
                                      {0.5f, 4, 4},    {4, 0.5f, 4},    {4, 4, 0.5f}};

// Queries and keys whose products fall with the distance as a Gaussian bell of these widths: random
// Fourier features (Rahimi and Recht 2007), for logits up to `peak`.
static void plant(float peak, float *q) {
    const float size = sqrtf(2.0f * peak * sqrtf((float)DIM) / DIM);
    for (int head = 0; head < HEADS; head++) {
        float w[3 * DIM], phase[DIM];
        ht_test_fill_normal(100 + (uint64_t)head, w, 3 * DIM);
        ht_test_fill_uniform(200 + (uint64_t)head, phase, DIM, 0.0f, 6.2831853f);
        for (int t = 0; t < TOKENS; t++) {
            const int at[3] = {t / (SIDE * SIDE), t / SIDE % SIDE, t % SIDE};
            for (int d = 0; d < DIM; d++) {
                float angle = phase[d];
                for (int axis = 0; axis < 3; axis++) {
                    angle += w[3 * d + axis] * (float)at[axis] / reach[head][axis];
                }
                q[t * WIDTH + head * DIM + d] = size * cosf(angle);
            }
        }
    }
}

static ht_attention_stats *watch(ht_context *context, const float *q) {
    ht_attention_stats *stats = NULL;
    assert_int_equal(ht_attention_stats_create(context, &grid, HEADS, DIM, &stats), HT_OK);
    assert_int_equal(ht_attention_stats_add(stats, q, q), HT_OK);
    return stats;
}

static void test_orders(void **state) {
    (void)state;
    // Blocks of 64 are planes of the two fastest axes. Orders come in pairs with the same planes.
    // Along an axis any order will do that has it inside; within a plane the plane must be inside.
    static const char *const planes[HEADS] = {NULL, NULL, NULL, "HW", "FW", "FH"};
    static const char axes[] = "FHW";
    static float q[TOKENS * WIDTH];
    plant(12.0f, q);
    ht_attention_stats *stats = watch(ht_test_context(HT_TIER_CPU), q);
    for (uint32_t head = 0; head < HEADS; head++) {
        const uint32_t order = ht_attention_stats_order(stats, head);
        const char *name = ht_attention_order_name(order);
        const char *inside = planes[head];
        if (inside != NULL) {
            assert_non_null(strchr(inside, name[1]));
            assert_non_null(strchr(inside, name[2]));
        } else {
            assert_int_not_equal(name[0], axes[head]);
        }
        const ht_attention_quality natural = ht_attention_stats_quality(stats, head, 0);
        const ht_attention_quality chosen = ht_attention_stats_quality(stats, head, order);
        assert_true(chosen.density <= natural.density);
    }
    ht_attention_stats_destroy(&stats);
}

// Even attention: every row's mass is 1, no order is better, none is chosen.
static void test_indifferent(void **state) {
    (void)state;
    static float zeros[TOKENS * WIDTH];
    float masses[64];
    memset(zeros, 0, sizeof zeros);
    ht_attention_stats *stats = watch(ht_test_context(HT_TIER_CPU), zeros);
    assert_int_equal(ht_attention_stats_order(stats, 2), 0);
    ht_attention_stats_masses(stats, 2, 3, masses);
    for (int i = 0; i < 64; i++) {
        assert_float_equal(masses[i], 1.0f / 8, 1e-5);
    }
    assert_float_equal(ht_attention_stats_quality(stats, 0, 1).density, 1.0, 1e-9);
    ht_attention_stats_destroy(&stats);
}

static void test_codes(void **state) {
    (void)state;
    assert_int_equal(ht_attention_mass_code(1.0f), 0);
    assert_int_equal(ht_attention_mass_code(0.5f), 8);
    assert_int_equal(ht_attention_mass_code(0.0f), 255);
    assert_int_equal(ht_attention_mass_code(1e-30f), 255);
}

// Text of 70 tokens and 250 of a picture: 5 blocks, of which two have text and the last is whole.
static void test_budget(void **state) {
    (void)state;
    const ht_attention_grid joint = {70, 1, 25, 10};
    uint8_t codes[25], keep[25];
    const ht_attention_masses layer = {joint, 1, codes, keep};
    for (int i = 0; i < 25; i++) {
        codes[i] = (uint8_t)(25 - i);
    }
    ht_attention_keep(&layer, 1, 0.01); // text's rows and columns, and the diagonal
    for (int u = 0; u < 5; u++) {
        for (int v = 0; v < 5; v++) {
            assert_int_equal(keep[u * 5 + v], u < 2 || v < 2 || u == v);
        }
    }
    ht_attention_keep(&layer, 1, 21.0 / 25); // 19 of these, and the two of the most mass
    int kept = 0;
    for (int i = 0; i < 25; i++) {
        kept += keep[i];
    }
    assert_int_equal(kept, 21);
    assert_true(keep[4 * 5 + 3] && keep[4 * 5 + 2]);
    // Equals: as many as the budget says, spread over all.
    memset(codes, 9, sizeof codes);
    ht_attention_keep(&layer, 1, 22.0 / 25);
    kept = 0;
    for (int i = 0; i < 25; i++) {
        kept += keep[i];
    }
    assert_int_equal(kept, 22);
}

// One attention with blocks kept at a density, relative to that of floats and all blocks.
static double error_of(const float *q, const ht_attention_stats *stats, bool ordered,
                       double density, ht_attention_products products, const float *exact) {
    enum { BLOCKS = TOKENS / 64, MAP = BLOCKS * BLOCKS };
    static uint8_t codes[HEADS * MAP], keep[HEADS * MAP];
    ht_test_attention f;
    ht_test_output out;
    float masses[MAP];
    ht_test_attention_open(&f, "planted", 1, TOKENS, TOKENS, HEADS, DIM);
    f.plan.products = products;
    ht_test_attention_orders(&f, &grid);
    for (uint32_t head = 0; head < HEADS; head++) {
        const uint32_t order = ordered ? ht_attention_stats_order(stats, head) : 0;
        f.head_orders[head] = (float)order;
        ht_attention_stats_masses(stats, head, order, masses);
        for (uint32_t i = 0; i < MAP; i++) {
            codes[head * MAP + i] = ht_attention_mass_code(masses[i]);
        }
    }
    ht_attention_keep(&(ht_attention_masses){grid, HEADS, codes, keep}, 1, density);
    ht_test_attention_keep(&f, keep);
    f.op.inputs[HT_TEST_ATTN_Q].values = f.op.inputs[HT_TEST_ATTN_K].values = q;
    ht_test_op_run(&f.op, HT_TIER_CPU, HT_FORMAT_F32, &out);
    const double error = exact ? ht_test_compare(out.values, exact, TOKENS * WIDTH).rel_l2 : 0.0;
    ht_test_attention_close(&f);
    free(out.values);
    return error;
}

// Planted tokens, what is counted of them, and their exact attention; false where there is no device.
static bool open_planted(float q[TOKENS * WIDTH], ht_attention_stats **stats, ht_test_attention *f,
                         ht_test_output *exact) {
    ht_context *context = ht_test_context(HT_TIER_CPU);
    if (context == NULL) {
        return false;
    }
    plant(12.0f, q);
    *stats = watch(context, q);
    ht_test_attention_open(f, "dense", 1, TOKENS, TOKENS, HEADS, DIM);
    f->op.inputs[HT_TEST_ATTN_Q].values = f->op.inputs[HT_TEST_ATTN_K].values = q;
    ht_test_op_run(&f->op, HT_TIER_CPU, HT_FORMAT_F32, exact);
    return true;
}

static void test_reordering_wins(void **state) {
    (void)state;
    static const double densities[] = {0.5, 0.3, 0.2};
    static const ht_attention_products all[] = {HT_ATTENTION_FLOATS, HT_ATTENTION_INT8,
                                                HT_ATTENTION_INT4};
    static const char *const names[] = {"floats", "int8", "int4"};
    static float q[TOKENS * WIDTH];
    ht_attention_stats *stats = NULL;
    ht_test_attention f;
    ht_test_output exact;
    if (!open_planted(q, &stats, &f, &exact)) {
        return;
    }
    for (size_t p = 0; p < HT_COUNT(all); p++) {
        for (size_t i = 0; i < HT_COUNT(densities); i++) {
            const double natural = error_of(q, stats, false, densities[i], all[p], exact.values);
            const double ordered = error_of(q, stats, true, densities[i], all[p], exact.values);
            print_message("%-6s density %.2f: error %.4f in the natural order, %.4f reordered\n",
                          names[p], densities[i], natural, ordered);
            // Four bits cost some 0.1 by themselves, which at half of the blocks hides the rest.
            const bool hidden = all[p] == HT_ATTENTION_INT4 && densities[i] > 0.4;
            assert_true(ordered < (hidden ? 1.0 : 0.7) * natural);
        }
    }
    ht_attention_stats_destroy(&stats);
    ht_test_attention_close(&f);
    free(exact.values);
}

// Attention of blocks that are predicted, or their lists.
typedef struct predicted {
    float share;
    bool lists;
} predicted;

enum { IN_Q, IN_K, IN_V, IN_ORDERS, IN_HEAD_ORDERS, INPUTS };

static ht_value build_predicted(ht_graph *g, const ht_value *in, const void *args) {
    const predicted *p = args;
    const ht_attention_predict_args of = {.heads = HEADS,
                                          .share = p->share,
                                          .similarity = 0.1f,
                                          .orders = in[IN_ORDERS],
                                          .head_orders = in[IN_HEAD_ORDERS]};
    const ht_attention_plan plan = {.blocks = ht_op_attention_predict(g, in[IN_Q], in[IN_K], &of),
                                    .orders = in[IN_ORDERS],
                                    .head_orders = in[IN_HEAD_ORDERS],
                                    .by_picture = true};
    const ht_attention_args a = {
        .heads = HEADS, .rel_bias = HT_NO_VALUE, .mask = HT_NO_VALUE, .plan = &plan};
    return p->lists ? plan.blocks : ht_op_attention(g, in[IN_Q], in[IN_K], in[IN_V], &a);
}

// The share of the blocks that are predicted to matter, and the error of attention by them.
static double predict(const float *q, const ht_attention_stats *stats, bool ordered, float share,
                      const float *exact, double *density) {
    predicted p = {.share = share, .lists = true};
    ht_test_attention f;
    ht_test_output out;
    ht_test_attention_open(&f, "orders", 1, TOKENS, TOKENS, HEADS, DIM);
    ht_test_attention_orders(&f, &grid);
    for (uint32_t head = 0; head < HEADS; head++) {
        f.head_orders[head] = ordered ? (float)ht_attention_stats_order(stats, head) : 0.0f;
    }
    ht_test_op op = {.name = "predicted", .build = build_predicted, .n_inputs = INPUTS, .args = &p};
    memcpy(op.inputs, f.op.inputs, 3 * sizeof op.inputs[0]); // q, k, v
    op.inputs[IN_Q].values = op.inputs[IN_K].values = q;
    op.inputs[IN_ORDERS] = f.op.inputs[HT_TEST_ATTN_ORDERS];
    op.inputs[IN_HEAD_ORDERS] = f.op.inputs[HT_TEST_ATTN_HEAD_ORDERS];
    ht_test_op_run(&op, HT_TIER_CPU, HT_FORMAT_F32, &out);
    *density = 0.0;
    for (int list = 0; list < HEADS * TOKENS / 64; list++) {
        *density += out.values[2 * list + 1] / (HEADS * TOKENS / 64.0 * TOKENS / 64.0);
    }
    free(out.values);
    p.lists = false;
    ht_test_op_run(&op, HT_TIER_CPU, HT_FORMAT_F32, &out);
    const double error = ht_test_compare(out.values, exact, TOKENS * WIDTH).rel_l2;
    free(out.values);
    ht_test_attention_close(&f);
    return error;
}

// In the chosen orders blocks are alike and their means say more: fewer are kept, and less is lost.
static void test_prediction(void **state) {
    (void)state;
    static const float shares[] = {0.95f, 0.9f, 0.8f};
    static float q[TOKENS * WIDTH];
    ht_attention_stats *stats = NULL;
    ht_test_attention f;
    ht_test_output exact;
    if (!open_planted(q, &stats, &f, &exact)) {
        return;
    }
    for (size_t i = 0; i < HT_COUNT(shares); i++) {
        double kept[2], error[2];
        for (int ordered = 0; ordered < 2; ordered++) {
            error[ordered] =
                predict(q, stats, ordered != 0, shares[i], exact.values, &kept[ordered]);
        }
        print_message("sparge:%.2f: density %.3f, error %.4f in the natural order; %.3f, %.4f "
                      "reordered\n",
                      shares[i], kept[0], error[0], kept[1], error[1]);
        assert_true(kept[1] < 0.7 * kept[0]);
        // What is dropped is a share of the weights of about 1 - share, of values that are not alike.
        assert_true(error[1] < 2.0 * (1.0 - shares[i]));
    }
    ht_attention_stats_destroy(&stats);
    ht_test_attention_close(&f);
    free(exact.values);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),           cmocka_unit_test(test_budget),
        cmocka_unit_test(test_orders),          cmocka_unit_test(test_indifferent),
        cmocka_unit_test(test_reordering_wins), cmocka_unit_test(test_prediction),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}
