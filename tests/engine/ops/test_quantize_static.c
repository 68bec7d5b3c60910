// Packing with a scale that is there before: codes and scales against packing on the host, alone and
// fused into the op before; scales that change between runs; what is refused.
#include "support.h"

#include "formats.h"
#include "own_folder.h"

#include <halftone/ops.h>

#include <math.h>
#include <string.h>

enum { ROWS = 7, SCALES = 3 };
static const ht_format FORMATS[] = {HT_FORMAT_INT8, HT_FORMAT_E4M3, HT_FORMAT_INT8_PLANES};
static const ht_tier TIERS[] = {HT_TIER_PORTABLE, HT_TIER_CPU};

// x, an activation before it or not, packed with scale 2, and read by a product.
typedef struct chain {
    ht_graph *graph;
    ht_tensor *x, *scales, *out;
    ht_weights *weights;
    ht_graph_stats stats;
} chain;

static ht_tensor *tensor(ht_context *context, uint32_t rank, uint32_t a, uint32_t b) {
    const ht_tensor_desc desc = {.format = HT_FORMAT_F32, .rank = rank, .dims = {a, b}};
    ht_tensor *out;
    assert_int_equal(ht_tensor_create(context, &desc, &out), HT_OK);
    return out;
}

// What the product reads: the packed values.
static ht_status keep(void *user, const ht_layer_run *run) {
    memcpy(user, run->x, ht_desc_count(&run->x_desc) * sizeof(float));
    return HT_OK;
}

static void report(void *user, const ht_node_check *check) {
    double *worst = user;
    assert_true(check->finite);
    *worst = check->rel_l2 > *worst ? check->rel_l2 : *worst;
}

static const char HEADER[] =
    "{\"w.weight\":{\"dtype\":\"F32\",\"shape\":[4,96],\"data_offsets\":[0,1536]}}";

static ht_format weights_of(ht_format x) {
    return ht_fmt_in_planes(ht_fmt_find(x)) ? HT_FORMAT_BIN1 : HT_FORMAT_INT8;
}

static void build(chain *c, ht_context *context, ht_format format, bool fused, bool keep_values) {
    const ht_graph_desc desc = {
        .label = "static", .activations = HT_FORMAT_F32, .keep_values = keep_values};
    const uint32_t dims[2] = {4, 96};
    float w[4 * 96];
    ht_test_fill_normal(9, w, 4 * 96);
    const char *path = ht_test_write_safetensors(&folder, "w.safetensors", HEADER, w, sizeof w);
    *c = (chain){.x = tensor(context, 2, ROWS, 96),
                 .scales = tensor(context, 1, SCALES, 0),
                 .out = tensor(context, 2, ROWS, 4)};
    assert_int_equal(ht_weights_open(context, &(ht_weights_desc){.path = path}, &c->weights),
                     HT_OK);
    assert_int_equal(ht_graph_create(context, &desc, &c->graph), HT_OK);
    ht_value v = ht_graph_tensor(c->graph, c->x);
    v = fused ? ht_op_activation(c->graph, v, HT_ACT_SILU) : v;
    const ht_value scales = ht_graph_tensor(c->graph, c->scales);
    const ht_value packed = ht_op_quantize_static(c->graph, v, format, scales, 2);
    // The same again is the same node.
    assert_int_equal(ht_op_quantize_static(c->graph, v, format, scales, 2).id, packed.id);
    const ht_value weight = ht_graph_weight_as(c->graph, c->weights, "w.weight", HT_WEIGHT_MATRIX,
                                               weights_of(format), 2, dims);
    ht_graph_output(c->graph, ht_op_linear(c->graph, packed, weight, &HT_EPILOGUE_NONE), c->out);
    assert_int_equal(ht_graph_finish(c->graph), HT_OK);
    ht_graph_get_stats(c->graph, &c->stats);
}

static void destroy(chain *c) {
    ht_graph_destroy(&c->graph);
    ht_weights_destroy(&c->weights);
    ht_tensor_destroy(&c->x);
    ht_tensor_destroy(&c->scales);
    ht_tensor_destroy(&c->out);
}

static void check_values(chain *c, const float *x, ht_format format, bool fused, float scale) {
    static float got[ROWS * 96], want[ROWS * 96];
    const ht_fmt_row *row = ht_fmt_find(format);
    const float scales[SCALES] = {1000, 1e-6f, scale};
    const float top = ht_fmt_largest(row) * scale;
    uint32_t clipped = 0;
    double off = 0;
    assert_int_equal(ht_tensor_write_f32(c->x, x, ROWS * 96), HT_OK);
    assert_int_equal(ht_tensor_write_f32(c->scales, scales, SCALES), HT_OK);
    assert_int_equal(ht_graph_observe(c->graph, false, keep, got), HT_OK);
    for (int i = 0; i < ROWS * 96; i++) {
        const float v = fused ? x[i] / (1 + expf(-x[i])) : x[i];
        want[i] = ht_fmt_decode(row, ht_fmt_encode(row, v / scale)) * scale;
        clipped += fabsf(v) > top;
        off += got[i] != want[i];
    }
    // Beside clipping, a value on the edge between two codes may go either way (the device divides by
    // multiplying, and computes SiLU by itself).
    assert_true(off <= ROWS * 96 * 0.01);
    assert_true(top > 2 || clipped > 10);
    ht_test_assert_close("static", got, want, ROWS * 96, 0.01);
}

static void test_values(void **state) {
    (void)state;
    float x[ROWS * 96];
    ht_test_fill_normal(4, x, ROWS * 96);
    for (size_t t = 0; t < HT_COUNT(TIERS); t++) {
        ht_context *context = ht_test_context(TIERS[t]);
        for (size_t f = 0; context != NULL && f < HT_COUNT(FORMATS); f++) {
            const float top = ht_fmt_largest(ht_fmt_find(FORMATS[f]));
            for (int fused = 0; fused < 2; fused++) {
                chain c;
                build(&c, context, FORMATS[f], fused, false);
                assert_int_equal(c.stats.fused, fused);
                check_values(&c, x, FORMATS[f], fused, 4 / top); // recorded once, two scales
                check_values(&c, x, FORMATS[f], fused, 1 / top); // beyond 1: the largest code
                destroy(&c);
                build(&c, context, FORMATS[f], fused, true);
                const float scales[SCALES] = {1000, 1e-6f, 1 / top};
                double worst = 0;
                assert_int_equal(ht_tensor_write_f32(c.x, x, ROWS * 96), HT_OK);
                assert_int_equal(ht_tensor_write_f32(c.scales, scales, SCALES), HT_OK);
                assert_int_equal(ht_graph_check(c.graph, report, &worst), HT_OK);
                assert_true(worst < 0.01);
                destroy(&c);
            }
        }
    }
}

static ht_value by_group(ht_graph *g, const ht_value *in, const void *args) {
    (void)args;
    return ht_op_quantize_static(g, in[0], HT_FORMAT_INT8_G32, in[1], 0);
}

static ht_value beyond(ht_graph *g, const ht_value *in, const void *args) {
    (void)args;
    return ht_op_quantize_static(g, in[0], HT_FORMAT_INT8, in[1], SCALES);
}

static void test_refused(void **state) {
    (void)state;
    ht_test_op op = {.name = "static",
                     .build = by_group,
                     .n_inputs = 2,
                     .inputs = {{.format = HT_FORMAT_F32, .rank = 2, .dims = {ROWS, 96}},
                                {.format = HT_FORMAT_F32, .rank = 1, .dims = {SCALES}}}};
    ht_test_op_refuse(&op, HT_ERR_INVALID, "one a row");
    op.build = beyond;
    ht_test_op_refuse(&op, HT_ERR_INVALID, "scales must be f32");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_values, open_folder, close_folder),
        cmocka_unit_test(test_refused)};
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}
