// Graphs: planning, barriers, outputs, replay and failures, on networks of exact integer sums.
#include "support.h"

#include <halftone/ops.h>

#include <stdio.h>
#include <string.h>

enum { WIDTH = 300 };

typedef struct fixture {
    ht_context *context;
    ht_graph *graph;
} fixture;

static void start(fixture *f, ht_format activations, bool keep, bool profile) {
    ht_context_desc desc = ht_test_context_desc();
    const ht_graph_desc graph = {
        .label = "test", .activations = activations, .keep_values = keep, .profile = profile};
    assert_int_equal(ht_context_create(&desc, &f->context), HT_OK);
    assert_int_equal(ht_graph_create(f->context, &graph, &f->graph), HT_OK);
}

static void stop(fixture *f) {
    ht_graph_destroy(&f->graph);
    ht_context_destroy(&f->context);
}

static ht_tensor *make_tensor(fixture *f, ht_format format, float first) {
    const ht_tensor_desc desc = {
        .format = format, .rank = 2, .dims = {3, WIDTH / 3}, .label = "io"};
    ht_tensor *tensor;
    float values[WIDTH];
    for (int i = 0; i < WIDTH; i++) {
        values[i] = first + (float)(i % 11);
    }
    assert_int_equal(ht_tensor_create(f->context, &desc, &tensor), HT_OK);
    assert_int_equal(ht_tensor_write_f32(tensor, values, WIDTH), HT_OK);
    return tensor;
}

static void test_chain_reuses_memory(void **state) {
    (void)state;
    fixture f;
    float out[WIDTH];
    ht_graph_stats stats;
    start(&f, HT_FORMAT_F32, false, false);
    ht_tensor *in = make_tensor(&f, HT_FORMAT_F32, 1);
    ht_tensor *result = make_tensor(&f, HT_FORMAT_F32, 0);
    ht_value x = ht_graph_tensor(f.graph, in);
    for (int i = 0; i < 40; i++) {
        x = ht_op_affine(f.graph, x, 1.0f, 2.0f);
    }
    ht_graph_output(f.graph, x, result);
    assert_int_equal(ht_graph_finish(f.graph), HT_OK);
    ht_graph_get_stats(f.graph, &stats);
    // 39 intermediate values of 1200 bytes (1280 with alignment), two alive at any time.
    assert_int_equal(stats.nodes, 40);
    assert_int_equal(stats.unshared_bytes, 39 * 1280);
    assert_int_equal(stats.activation_bytes, 2 * 1280);
    assert_int_equal(stats.barriers, 39);
    assert_int_equal(ht_graph_run(f.graph), HT_OK);
    assert_int_equal(ht_tensor_read_f32(result, out, WIDTH), HT_OK);
    for (int i = 0; i < WIDTH; i++) {
        assert_true(out[i] == 1.0f + (float)(i % 11) + 80.0f);
    }
    ht_graph_destroy(&f.graph);
    ht_tensor_destroy(&in);
    ht_tensor_destroy(&result);
    stop(&f);
}

// An activation takes over its input's memory, unless that is read later.
static void test_in_place(void **state) {
    (void)state;
    enum { BYTES = 1280 }; // of a value, aligned
    for (int kept = 0; kept < 2; kept++) {
        fixture f;
        float out[WIDTH];
        ht_graph_stats stats;
        start(&f, HT_FORMAT_F32, false, false);
        ht_tensor *in = make_tensor(&f, HT_FORMAT_F32, -5);
        ht_tensor *result = make_tensor(&f, HT_FORMAT_F32, 0);
        ht_value x = ht_op_affine(f.graph, ht_graph_tensor(f.graph, in), 2, 0);
        ht_value y = ht_op_activation(f.graph, x, HT_ACT_RELU);
        y = ht_op_activation(f.graph, y, HT_ACT_RELU);
        y = ht_op_affine(f.graph, y, 1, 1);
        y = kept ? ht_op_add(f.graph, y, x) : y;
        ht_graph_output(f.graph, y, result);
        assert_int_equal(ht_graph_finish(f.graph), HT_OK);
        ht_graph_get_stats(f.graph, &stats);
        // Without x's use at the end both activations lie where x does.
        assert_int_equal(stats.unshared_bytes, (kept ? 4 : 3) * BYTES);
        assert_int_equal(stats.activation_bytes, (kept ? 3 : 1) * BYTES);
        assert_int_equal(stats.barriers, kept ? 4 : 3);
        assert_int_equal(ht_graph_run(f.graph), HT_OK);
        assert_int_equal(ht_tensor_read_f32(result, out, WIDTH), HT_OK);
        for (int i = 0; i < WIDTH; i++) {
            const float value = 2 * (-5.0f + (float)(i % 11)), positive = value > 0 ? value : 0;
            assert_true(out[i] == positive + 1 + (kept ? value : 0));
        }
        ht_graph_destroy(&f.graph);
        ht_tensor_destroy(&in);
        ht_tensor_destroy(&result);
        stop(&f);
    }
}

// Random sums of earlier values, and activations that change nothing but may work in place: a wrong
// lifetime or a missing barrier gives a wrong number.
static void check_random_network(uint32_t seed) {
    enum { NODES = 150 };
    fixture f;
    ht_value values[NODES];
    int64_t expected[NODES]; // of element 0; element i has the same with its own start
    float out[WIDTH];
    start(&f, HT_FORMAT_F32, false, false);
    ht_tensor *in = make_tensor(&f, HT_FORMAT_F32, 1);
    ht_tensor *outputs[3];
    values[0] = ht_graph_tensor(f.graph, in);
    expected[0] = 1;
    for (int i = 1; i < NODES; i++) {
        seed = seed * 1664525u + 1013904223u;
        int reach = i < 40 ? i : 40;
        int a = i - 1 - (int)(seed >> 8) % reach;
        seed = seed * 1664525u + 1013904223u;
        int b = i - 1 - (int)(seed >> 8) % reach;
        // Scaled down before it leaves the range of exact integers in f32.
        bool large = expected[a] + expected[b] > 100000;
        bool same = !large && (seed >> 5) % 3 == 0; // nothing is below 0
        values[i] = large  ? ht_op_affine(f.graph, values[a], 0.0f, (float)i)
                    : same ? ht_op_activation(f.graph, values[a], HT_ACT_RELU)
                           : ht_op_add(f.graph, values[a], values[b]);
        expected[i] = large ? i : same ? expected[a] : expected[a] + expected[b];
    }
    for (int k = 0; k < 3; k++) {
        outputs[k] = make_tensor(&f, HT_FORMAT_F32, 0);
        ht_graph_output(f.graph, values[NODES - 1 - 37 * k], outputs[k]);
    }
    assert_int_equal(ht_graph_finish(f.graph), HT_OK);
    for (int run = 0; run < 2; run++) {
        assert_int_equal(ht_graph_run(f.graph), HT_OK);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(ht_tensor_read_f32(outputs[k], out, WIDTH), HT_OK);
            assert_true(out[0] == (float)expected[NODES - 1 - 37 * k]);
            assert_true(out[11] == out[0]);
        }
    }
    ht_graph_destroy(&f.graph);
    ht_tensor_destroy(&in);
    for (int k = 0; k < 3; k++) {
        ht_tensor_destroy(&outputs[k]);
    }
    stop(&f);
}

static void test_random_networks(void **state) {
    (void)state;
    for (uint32_t seed = 1; seed <= 8; seed++) {
        check_random_network(seed);
    }
}

static void test_outputs_copies_and_formats(void **state) {
    (void)state;
    fixture f;
    float out[WIDTH];
    start(&f, HT_FORMAT_F32, false, false);
    ht_tensor *in = make_tensor(&f, HT_FORMAT_F32, 1);
    ht_tensor *copy = make_tensor(&f, HT_FORMAT_F32, 50);
    ht_tensor *half = make_tensor(&f, HT_FORMAT_F16, 50);
    ht_tensor *twice = make_tensor(&f, HT_FORMAT_F32, 50);
    ht_value x = ht_graph_tensor(f.graph, in);
    ht_value y = ht_op_affine(f.graph, x, 2.0f, 0.0f);
    ht_graph_output(f.graph, x, copy);  // an input as output
    ht_graph_output(f.graph, y, half);  // another format
    ht_graph_output(f.graph, y, twice); // bound directly
    ht_graph_output(f.graph, y, in);    // an input of the graph: written after its last read
    assert_int_equal(ht_graph_finish(f.graph), HT_OK);
    assert_int_equal(ht_graph_run(f.graph), HT_OK);
    assert_int_equal(ht_tensor_read_f32(copy, out, WIDTH), HT_OK);
    assert_true(out[3] == 4.0f);
    assert_int_equal(ht_tensor_read_f32(half, out, WIDTH), HT_OK);
    assert_true(out[3] == 8.0f);
    assert_int_equal(ht_graph_run(f.graph), HT_OK);
    assert_int_equal(ht_tensor_read_f32(twice, out, WIDTH), HT_OK);
    assert_true(out[3] == 16.0f);
    assert_int_equal(ht_tensor_read_f32(in, out, WIDTH), HT_OK);
    assert_true(out[3] == 16.0f);
    ht_graph_destroy(&f.graph);
    ht_tensor_destroy(&in);
    ht_tensor_destroy(&copy);
    ht_tensor_destroy(&half);
    ht_tensor_destroy(&twice);
    stop(&f);
}

static void test_first_failure_is_kept(void **state) {
    (void)state;
    fixture f;
    char first[1024];
    start(&f, HT_FORMAT_F32, false, false);
    ht_tensor *in = make_tensor(&f, HT_FORMAT_F32, 1);
    ht_value x = ht_graph_tensor(f.graph, in);
    const uint32_t wrong[1] = {WIDTH + 1};
    ht_graph_scope(f.graph, "block 3");
    ht_value bad = ht_op_reshape(f.graph, x, 1, wrong);
    assert_int_equal(bad.id, 0);
    snprintf(first, sizeof first, "%s", ht_context_message(f.context));
    assert_true(strlen(first) > 0);
    assert_int_equal(ht_op_add(f.graph, bad, x).id, 0);
    assert_int_equal(ht_op_affine(f.graph, x, 1, 1).id, 0);
    ht_graph_output(f.graph, bad, in);
    assert_int_equal(ht_graph_finish(f.graph), HT_ERR_INVALID);
    assert_int_equal(ht_graph_run(f.graph), HT_ERR_INVALID);
    assert_string_equal(ht_context_message(f.context), first);
    ht_graph_destroy(&f.graph);
    ht_tensor_destroy(&in);
    stop(&f);
}

typedef struct report {
    int nodes;
    double worst;
    bool finite;
} report;

static void on_check(void *user, const ht_node_check *check) {
    report *r = user;
    r->nodes++;
    r->worst = check->rel_l2 > r->worst ? check->rel_l2 : r->worst;
    r->finite = r->finite && check->finite;
}

static void test_check_and_timings(void **state) {
    (void)state;
    fixture f;
    report r = {.finite = true};
    ht_node_timing timings[4];
    start(&f, HT_FORMAT_F16, true, true);
    ht_tensor *in = make_tensor(&f, HT_FORMAT_F32, 1);
    ht_tensor *out = make_tensor(&f, HT_FORMAT_F32, 1);
    ht_value x = ht_graph_tensor(f.graph, in);
    ht_graph_scope(f.graph, "first");
    ht_value y = ht_op_affine(f.graph, x, 2.0f, 1.0f);
    ht_graph_scope(f.graph, "second");
    ht_graph_output(f.graph, ht_op_mul(f.graph, y, y), out);
    assert_int_equal(ht_graph_finish(f.graph), HT_OK);
    assert_int_equal(ht_graph_timings(f.graph, timings, 4), 0);
    assert_int_equal(ht_graph_check(f.graph, on_check, &r), HT_OK);
    assert_int_equal(r.nodes, 3); // affine, mul, and the conversion of the f16 result
    assert_true(r.finite);
    assert_true(r.worst <= 1.0 / 2048.0); // one rounding to f16
    assert_int_equal(ht_graph_timings(f.graph, timings, 4), 3);
    assert_string_equal(timings[0].label, "first/affine");
    assert_string_equal(timings[1].label, "second/mul");
    assert_string_equal(timings[1].op, "mul");
    ht_graph_destroy(&f.graph);
    ht_tensor_destroy(&in);
    ht_tensor_destroy(&out);
    stop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain_reuses_memory),
        cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_random_networks),
        cmocka_unit_test(test_outputs_copies_and_formats),
        cmocka_unit_test(test_first_failure_is_kept),
        cmocka_unit_test(test_check_and_timings),
    };
    return ht_test_run_gpu(tests, sizeof tests / sizeof tests[0]);
}
