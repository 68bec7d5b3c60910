// Running layer by layer: the inputs and results of the layers are those of the whole run, while
// memory is reused.
#include "support.h"

#include "own_folder.h"

#include <halftone/ops.h>

#include <stdlib.h>
#include <string.h>

enum { ROWS = 5, K = 12, N = 12 };

static const char HEADER[] =
    "{\"a.weight\":{\"dtype\":\"F32\",\"shape\":[12,12],\"data_offsets\":[0,576]},"
    "\"b.weight\":{\"dtype\":\"F32\",\"shape\":[12,12],\"data_offsets\":[576,1152]},"
    "\"c.weight\":{\"dtype\":\"F32\",\"shape\":[12,12],\"data_offsets\":[1152,1728]}}";

typedef struct seen {
    const float *in;
    float weights[3][N * K];
    float x[ROWS * K];     // what the next layer must read
    uint32_t count, input; // layers so far; input of the first
    ht_status give;        // what the second layer's call returns
} seen;

static void multiply(const float *x, const float *w, float *y) {
    for (int r = 0; r < ROWS; r++) {
        for (int n = 0; n < N; n++) {
            double sum = 0;
            for (int k = 0; k < K; k++) {
                sum += (double)x[r * K + k] * (double)w[n * K + k];
            }
            y[r * N + n] = (float)sum;
        }
    }
}

// a and b read 2 x, c reads a + b.
static ht_status look(void *user, const ht_layer_run *run) {
    static const char *const names[] = {"a", "b", "c"};
    seen *s = user;
    float y[ROWS * N];
    assert_true(s->count < 3);
    assert_string_equal(run->layer, names[s->count]);
    assert_int_equal(run->window.kernel_h * run->window.kernel_w, 1);
    assert_int_equal(run->window.out_w, ROWS);
    if (s->count == 2) {
        assert_int_not_equal(run->input, s->input);
    } else {
        assert_true(s->count == 0 || run->input == s->input);
        s->input = run->input;
        for (int i = 0; i < ROWS * K; i++) {
            s->x[i] = 2 * s->in[i];
        }
    }
    ht_test_assert_close("x", run->x, s->x, ROWS * K, 1e-5);
    multiply(s->x, s->weights[s->count], y);
    ht_test_assert_close("y", run->y, y, ROWS * N, 1e-5);
    if (s->count == 1) {
        float first[ROWS * N];
        multiply(s->x, s->weights[0], first);
        for (int i = 0; i < ROWS * N; i++) {
            s->x[i] = first[i] + y[i];
        }
    }
    return s->count++ == 1 ? s->give : HT_OK;
}

static void test_layers(void **state) {
    (void)state;
    const uint32_t dims[2] = {N, K};
    const ht_tensor_desc io = {.format = HT_FORMAT_F32, .rank = 2, .dims = {ROWS, K}};
    const ht_graph_desc desc = {.label = "test", .activations = HT_FORMAT_F32};
    float in[ROWS * K], whole[ROWS * N], pieces[ROWS * N];
    ht_context *context = ht_test_context(HT_TIER_PORTABLE);
    if (context == NULL) {
        skip();
    }
    seen s = {.in = in};
    ht_test_fill_normal(1, in, ROWS * K);
    ht_test_fill_normal(2, s.weights[0], 3 * N * K);
    const char *path = ht_test_write_safetensors(&folder, "w.safetensors", HEADER, s.weights,
                                                 sizeof s.weights);
    ht_weights *weights = NULL;
    ht_graph *g = NULL;
    ht_tensor *x, *out;
    assert_int_equal(ht_weights_open(context, &(ht_weights_desc){.path = path}, &weights), HT_OK);
    assert_int_equal(ht_tensor_create(context, &io, &x), HT_OK);
    assert_int_equal(ht_tensor_create(context, &io, &out), HT_OK);
    assert_int_equal(ht_tensor_write_f32(x, in, ROWS * K), HT_OK);
    assert_int_equal(ht_graph_create(context, &desc, &g), HT_OK);
    ht_value v = ht_op_affine(g, ht_graph_tensor(g, x), 2, 0), sides[3];
    static const char *const names[] = {"a.weight", "b.weight", "c.weight"};
    for (int i = 0; i < 3; i++) {
        const ht_value w = ht_graph_weight(g, weights, names[i], HT_WEIGHT_MATRIX, 2, dims);
        v = i == 2 ? ht_op_add(g, sides[0], sides[1]) : v;
        sides[i] = ht_op_linear(g, v, w, &HT_EPILOGUE_NONE);
    }
    ht_graph_output(g, ht_op_affine(g, sides[2], 1, 1), out);
    assert_int_equal(ht_graph_finish(g), HT_OK);
    assert_int_equal(ht_graph_run(g), HT_OK);
    assert_int_equal(ht_tensor_read_f32(out, whole, ROWS * N), HT_OK);
    for (int again = 0; again < 2; again++) {
        memset(pieces, 0, sizeof pieces);
        assert_int_equal(ht_tensor_write_f32(out, pieces, ROWS * N), HT_OK);
        s.count = 0;
        assert_int_equal(ht_graph_observe(g, true, look, &s), HT_OK);
        assert_int_equal(s.count, 3);
        assert_int_equal(ht_tensor_read_f32(out, pieces, ROWS * N), HT_OK);
        assert_memory_equal(pieces, whole, sizeof whole);
    }
    s.count = 0;
    s.give = HT_ERR_CANCELLED;
    assert_int_equal(ht_graph_observe(g, true, look, &s), HT_ERR_CANCELLED);
    assert_int_equal(s.count, 2);
    ht_graph_destroy(&g);
    ht_tensor_destroy(&x);
    ht_tensor_destroy(&out);
    ht_weights_destroy(&weights);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_layers, open_folder, close_folder)};
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}
