// Streamed weights: the same results as with all of them on the device, run after run, whatever the
// size of the ring; several graphs on one ring; what does not fit.
#include "support.h"

#include "files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS = 7, WIDTH = 64, ROWS = 5, COUNT = WIDTH * WIDTH };

typedef struct fixture {
    ht_test_folder folder;
    char path[192];
    ht_context *context;
} fixture;

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof(*f));
    static float values[LAYERS * COUNT + WIDTH];
    char header[2048] = "{";
    for (int i = 0; i < LAYERS; ++i) {
        snprintf(header + strlen(header), 128,
                 "\"l%d.weight\":{\"dtype\":\"F32\",\"shape\":[64,64],\"data_offsets\":[%d,%d]},",
                 i, 4 * COUNT * i, 4 * COUNT * (i + 1));
    }
    snprintf(header + strlen(header), 128,
             "\"bias\":{\"dtype\":\"F32\",\"shape\":[64],\"data_offsets\":[%d,%d]}}",
             4 * COUNT * LAYERS, 4 * (COUNT * LAYERS + WIDTH));
    ht_test_fill_normal(5, values, LAYERS * COUNT + WIDTH);
    for (int i = 0; i < LAYERS * COUNT; ++i) {
        values[i] /= 8; // as many inputs: values stay near 1
    }
    ht_test_folder_open(&f->folder);
    strcpy(f->path,
           ht_test_write_safetensors(&f->folder, "w.safetensors", header, values, sizeof(values)));
    ht_context_desc desc = ht_test_context_desc();
    desc.no_host_import = true; // else the file is read in place
    assert_int_equal(ht_context_create(&desc, &f->context), HT_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    ht_context_destroy(&f->context);
    ht_test_folder_close(&f->folder);
    free(f);
    return 0;
}

typedef struct net {
    ht_graph *graph;
    ht_tensor *in, *out;
} net;

static void must(ht_context *context, ht_status status) {
    if (status != HT_OK) {
        fail_msg("%s: %s", ht_status_name(status), ht_context_message(context));
    }
}

// x -> l0 -> gelu -> l1 -> .. with the bias everywhere.
static void build(fixture *f, net *n, ht_weights *weights, ht_format format,
                  ht_format activations) {
    ht_tensor_desc desc = {.format = HT_FORMAT_F32, .rank = 2, .dims = {ROWS, WIDTH}, .label = "x"};
    const uint32_t square[2] = {WIDTH, WIDTH}, width = WIDTH;
    must(f->context,
         ht_graph_create(f->context, &(ht_graph_desc){.label = "net", .activations = HT_FORMAT_F32},
                         &n->graph));
    must(f->context, ht_tensor_create(f->context, &desc, &n->in));
    must(f->context, ht_tensor_create(f->context, &desc, &n->out));
    ht_value x = ht_graph_tensor(n->graph, n->in);
    for (int i = 0; i < LAYERS; ++i) {
        char name[32];
        snprintf(name, sizeof(name), "l%d.weight", i);
        ht_epilogue rest = HT_EPILOGUE_NONE;
        rest.act = HT_ACT_GELU_TANH;
        rest.bias = ht_graph_weight(n->graph, weights, "bias", HT_WEIGHT_VECTOR, 1, &width);
        ht_value y = activations != HT_FORMAT_NONE ? ht_op_quantize(n->graph, x, activations) : x;
        x = ht_op_linear(
            n->graph, y,
            ht_graph_weight_as(n->graph, weights, name, HT_WEIGHT_MATRIX, format, 2, square),
            &rest);
    }
    ht_graph_output(n->graph, x, n->out);
    must(f->context, ht_graph_finish(n->graph));
}

static void run(fixture *f, net *n, uint64_t seed, float out[ROWS * WIDTH]) {
    float in[ROWS * WIDTH];
    ht_test_fill_normal(seed, in, ROWS * WIDTH);
    must(f->context, ht_tensor_write_f32(n->in, in, ROWS * WIDTH));
    must(f->context, ht_graph_run(n->graph));
    must(f->context, ht_tensor_read_f32(n->out, out, ROWS * WIDTH));
}

static void destroy(net *n) {
    ht_graph_destroy(&n->graph);
    ht_tensor_destroy(&n->in);
    ht_tensor_destroy(&n->out);
}

static ht_weights *open_weights(fixture *f, uint64_t bytes) {
    ht_weights *weights;
    must(f->context, ht_weights_open(f->context, &(ht_weights_desc){.path = f->path}, &weights));
    if (bytes > 0) {
        must(f->context, ht_weights_stream(weights, bytes));
    }
    return weights;
}

// Two graphs on one ring, run in turn, against one with everything on the device.
static void check(fixture *f, uint64_t ring, ht_format format, ht_format activations) {
    float want[ROWS * WIDTH], got[ROWS * WIDTH];
    uint64_t whole_bytes, ring_bytes, imported;
    net whole, first, second;
    ht_weights *all = open_weights(f, 0), *streamed = open_weights(f, ring);
    build(f, &whole, all, format, activations);
    build(f, &first, streamed, format, activations);
    build(f, &second, streamed, format, activations);
    for (uint64_t seed = 1; seed < 6; ++seed) {
        run(f, &whole, seed, want);
        run(f, seed % 2 ? &first : &second, seed, got);
        assert_memory_equal(got, want, sizeof(got));
    }
    destroy(&second); // its slots are nobody's now
    run(f, &whole, 9, want);
    run(f, &first, 9, got);
    assert_memory_equal(got, want, sizeof(got));
    ht_weights_device_bytes(all, &whole_bytes, &imported);
    ht_weights_device_bytes(streamed, &ring_bytes, &imported);
    const bool fits = format != HT_FORMAT_NONE || ring / 2 >= 4 * COUNT; // a layer, in a slot
    assert_true(!fits || ring_bytes <= ring + 4 * WIDTH);
    assert_true(!fits || ring >= whole_bytes || ring_bytes < whole_bytes);
    destroy(&whole);
    destroy(&first);
    ht_weights_destroy(&all);
    ht_weights_destroy(&streamed);
}

static void test_same_results(void **state) {
    fixture *f = *state;
    // Slots of one layer, of two and a bit, of all.
    static const uint64_t floats[] = {2 * 4 * COUNT, 5 * 4 * COUNT, 16 * 4 * COUNT};
    for (size_t i = 0; i < HT_COUNT(floats); ++i) {
        check(f, floats[i], HT_FORMAT_NONE, HT_FORMAT_NONE);
    }
    check(f, 2 * COUNT, HT_FORMAT_FP4, HT_FORMAT_INT8);
    check(f, 5 * COUNT, HT_FORMAT_INT8, HT_FORMAT_INT8);
}

// Tensors larger than a slot are on the device as ever.
static void test_large_ones_stay(void **state) {
    check(*state, 4 * COUNT, HT_FORMAT_NONE, HT_FORMAT_NONE);
}

static void test_refusals(void **state) {
    fixture *f = *state;
    ht_weights *weights = open_weights(f, 0);
    net n;
    uint32_t nodes = 0;
    assert_int_equal(ht_weights_stream(weights, 100), HT_ERR_INVALID);
    must(f->context, ht_weights_stream(weights, 2 * 4 * COUNT));
    build(f, &n, weights, HT_FORMAT_NONE, HT_FORMAT_NONE);
    assert_int_equal(ht_graph_check(n.graph, NULL, &nodes), HT_ERR_INVALID);
    assert_int_equal(ht_graph_observe(n.graph, false, NULL, NULL), HT_ERR_INVALID);
    assert_non_null(strstr(ht_context_message(f->context), "streams its weights"));
    destroy(&n);
    ht_weights_destroy(&weights);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_same_results, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_large_ones_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}
