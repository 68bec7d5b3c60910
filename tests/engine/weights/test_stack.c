// Residual stacks: blocks taken off a matrix, their order in a file, budgets that load and free the
// difference alone, and floats made on the device of what is loaded.
#include "support.h"

#include "own_folder.h"
#include "stack.h"

#include <halftone/quantize.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- one block after the other

// Whatever is taken off is what adding the blocks gives; the rest shrinks with each. Rows that are no
// whole words, a single row, and ranks that the matrix does not have.
static void test_blocks_of_a_matrix(void **state) {
    (void)state;
    static const struct {
        uint32_t rows, width, rank;
    } shapes[] = {{24, 77, 1}, {40, 64, 4}, {1, 33, 2}, {5, 3, 8}};
    ht_context *context = NULL;
    assert_int_equal(ht_context_create(&(ht_context_desc){.host_only = true}, &context), HT_OK);
    for (size_t i = 0; i < HT_COUNT(shapes); ++i) {
        const ht_tensor_desc desc = {
            .format = HT_FORMAT_STACK, .rank = 2, .dims = {shapes[i].rows, shapes[i].width}};
        const uint32_t count = shapes[i].rows * shapes[i].width;
        float *whole = malloc(3 * count * sizeof(*whole)), *rest = whole + count,
              *sum = rest + count;
        ht_stack_layout at;
        double before = 0;
        ht_stack_layout_of(&desc, shapes[i].rank, &at);
        uint8_t *block = malloc(at.bytes);
        ht_test_fill_normal(i, whole, count);
        memcpy(rest, whole, count * sizeof(*rest));
        memset(sum, 0, count * sizeof(*sum));
        for (uint32_t k = 0; k < count; ++k) {
            before += (double)whole[k] * whole[k];
        }
        const double signal = before;
        for (int b = 0; b < 6; ++b) {
            const double left = ht_stack_take(context, &at, rest, block);
            // Less each time, until half floats (2^-11 of A and of B) can do no more.
            assert_true(left < before || left < 0x1p-20 * signal);
            assert_true(ht_stack_is_finite(&at, block));
            // |R| of normal numbers is 0.8 on average: a scale alone leaves 0.36 of the square.
            assert_true(b > 0 || left < 0.4 * signal);
            before = left;
            ht_stack_add(&at, block, sum);
            for (uint32_t r = 0; r < at.rows; ++r) { // no sign beyond the width
                for (uint32_t k = at.width; k < at.padded; ++k) {
                    assert_int_equal(block[(r * at.padded + k) / 8] >> k % 8 & 1, 0);
                }
            }
        }
        for (uint32_t k = 0; k < count; ++k) { // 12 roundings of numbers of at most 8
            assert_true(fabsf(sum[k] + rest[k] - whole[k]) <= 12 * 8 * 0x1p-24f);
        }
        free(block);
        free(whole);
    }
    ht_context_destroy(&context);
}

static void test_rank_by_size(void **state) {
    (void)state;
    static const uint32_t rows[][3] = {
        {4096, 4096, 16}, {192, 192, 1}, {8, 8, 1}, {65535, 65535, HT_STACK_MAX_RANK}};
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        const ht_tensor_desc desc = {
            .format = HT_FORMAT_STACK, .rank = 2, .dims = {rows[i][0], rows[i][1]}};
        const int rank = (int)ht_stack_rank(&desc);
        assert_in_range(rank, rows[i][2] - (rows[i][2] > 8), rows[i][2]);
    }
}

// ---- a file, and budgets

// A matrix whose rows are no whole words, a convolution, and a vector.
static const char HEADER[] =
    "{\"a.weight\":{\"dtype\":\"F32\",\"shape\":[24,77],\"data_offsets\":[0,7392]},"
    "\"b.bias\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[7392,7416]},"
    "\"b.weight\":{\"dtype\":\"F32\",\"shape\":[6,40,3,2],\"data_offsets\":[7416,13176]}}";
enum { VALUES = 3294, A = 24 * 77, B = 6 * 40 * 3 * 2, LAYERS = 2 };

static const struct {
    const char *name;
    ht_weight_layout layout;
    uint32_t rank, dims[4], count;
} layers[LAYERS] = {{"a.weight", HT_WEIGHT_MATRIX, 2, {24, 77}, A},
                    {"b.weight", HT_WEIGHT_CONV, 4, {6, 40, 3, 2}, B}};

static ht_format stacks(void *user, const char *layer) {
    (void)user, (void)layer;
    return HT_FORMAT_STACK;
}

static ht_weights *open_file(ht_context *context, const char *name) {
    ht_weights *weights = NULL;
    const ht_weights_desc desc = {.path = ht_test_folder_file(&folder, name)};
    assert_int_equal(ht_weights_open(context, &desc, &weights), HT_OK);
    return weights;
}

static ht_weights *make_file(ht_context *context) {
    static float values[VALUES];
    ht_test_fill_normal(7, values, VALUES);
    ht_test_write_safetensors(&folder, "float.safetensors", HEADER, values, sizeof(values));
    ht_weights *plain = open_file(context, "float.safetensors");
    char path[192];
    snprintf(path, sizeof(path), "%s/stack.safetensors", folder.path);
    const ht_quantize_desc desc = {.path = path, .replace = true, .format = stacks};
    assert_int_equal(ht_weights_quantize(plain, &desc), HT_OK);
    ht_weights_destroy(&plain);
    return open_file(context, "stack.safetensors");
}

static ht_stack_state state_of(ht_weights *weights) {
    ht_stack_state s;
    assert_int_equal(ht_weights_stack_state(weights, &s), HT_OK);
    return s;
}

typedef struct made {
    ht_graph *graph;
    ht_tensor *out[LAYERS];
} made;

// A graph that makes floats of both weights, recorded once.
static void build(ht_context *context, ht_weights *weights, made *m) {
    const ht_graph_desc desc = {.label = "stacks", .activations = HT_FORMAT_F32};
    assert_int_equal(ht_graph_create(context, &desc, &m->graph), HT_OK);
    for (int i = 0; i < LAYERS; ++i) {
        const ht_value w = ht_graph_weight(m->graph, weights, layers[i].name, layers[i].layout,
                                           layers[i].rank, layers[i].dims);
        const ht_value y =
            ht_op_unstack(m->graph, w, ht_weights_find(weights, layers[i].name)->stack_rank);
        ht_tensor_desc out = ht_graph_value_desc(m->graph, y);
        assert_int_equal(ht_tensor_create(context, &out, &m->out[i]), HT_OK);
        ht_graph_output(m->graph, y, m->out[i]);
    }
    assert_int_equal(ht_graph_finish(m->graph), HT_OK);
}

// Runs it, and compares with the host; the sum of squares by which the weights are off.
static double run(ht_weights *weights, const made *m) {
    static float host[A > B ? A : B], device[A > B ? A : B], values[VALUES];
    double error = 0;
    ht_test_fill_normal(7, values, VALUES);
    assert_int_equal(ht_graph_run(m->graph), HT_OK);
    for (int i = 0; i < LAYERS; ++i) {
        const float *want = i ? values + A + 6 : values;
        assert_int_equal(ht_weights_stack_floats(weights, layers[i].name, host, layers[i].count),
                         HT_OK);
        assert_int_equal(ht_tensor_read_f32(m->out[i], device, layers[i].count), HT_OK);
        for (uint32_t k = 0; k < layers[i].count; ++k) {
            // Sums of 8 blocks below 8, each rounded once more where products are not fused.
            assert_true(fabsf(device[k] - host[k]) <= 16 * 8 * 0x1p-24f);
            const uint32_t o = k / 240, t = k / 40 % 6, c = k % 40; // file: [O, I, taps]
            const float off = device[k] - (i ? want[(o * 40 + c) * 6 + t] : want[k]);
            error += (double)off * off;
        }
    }
    return error;
}

static void test_budgets(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_CPU);
    context = context ? context : ht_test_context(HT_TIER_PORTABLE);
    ht_weights *weights = make_file(context);
    made m;
    assert_int_equal(ht_weights_count(weights), 3); // blocks are no tensors of their own
    const ht_stack_state none = state_of(weights);
    assert_int_equal(none.blocks, 16);
    assert_int_equal(none.loaded + none.read + none.bytes, 0);
    assert_int_equal(ht_weights_budget(weights, none.least - 1), HT_ERR_INVALID);
    assert_non_null(strstr(ht_context_message(context), "too small"));
    assert_int_equal(ht_weights_budget(weights, none.least), HT_OK);
    build(context, weights, &m);
    double error = INFINITY;
    uint64_t read = 0;
    uint32_t loaded = 0;
    for (uint64_t bytes = none.least; bytes <= none.most; bytes += 97) { // grow
        assert_int_equal(ht_weights_budget(weights, bytes), HT_OK);
        const ht_stack_state s = state_of(weights);
        assert_true(s.loaded >= loaded && s.bytes <= bytes);
        assert_true(s.read == s.bytes); // no byte twice
        if (s.loaded > loaded) {
            const double now = run(weights, &m);
            assert_true(now < error);
            error = now;
        }
        loaded = s.loaded;
        read = s.read;
    }
    assert_int_equal(ht_weights_budget(weights, UINT64_MAX), HT_OK);
    const ht_stack_state all = state_of(weights);
    assert_int_equal(all.loaded, all.blocks);
    const double best = run(weights, &m);
    assert_int_equal(ht_weights_budget(weights, none.least), HT_OK); // shrink: nothing is read
    const ht_stack_state few = state_of(weights);
    assert_int_equal(few.loaded, 2);
    assert_true(few.read == all.read && few.bytes < all.bytes && read <= all.read);
    assert_true(run(weights, &m) > best);
    assert_int_equal(ht_weights_budget(weights, none.most), HT_OK); // grow: the difference alone
    assert_true(state_of(weights).read == all.read + all.bytes - few.bytes);
    assert_true(run(weights, &m) == best); // bit for bit what it was
    ht_graph_destroy(&m.graph);
    for (int i = 0; i < LAYERS; ++i) {
        ht_tensor_destroy(&m.out[i]);
    }
    ht_weights_destroy(&weights);
}

// A stack is no table, no vector, no other format; and floats are no stack.
static void test_used_as_a_stack(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_CPU);
    context = context ? context : ht_test_context(HT_TIER_PORTABLE);
    ht_weights *weights = make_file(context), *plain = open_file(context, "float.safetensors");
    ht_tensor_desc desc;
    uint64_t address;
    static const struct {
        ht_weight_layout layout;
        ht_format format;
        const char *sentence;
    } rows[] = {{HT_WEIGHT_TABLE, HT_FORMAT_NONE, "expected a float format"},
                {HT_WEIGHT_MATRIX, HT_FORMAT_FP4, "fp4 was asked for"},
                {HT_WEIGHT_MATRIX, HT_FORMAT_STACK, NULL}};
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        const ht_status status =
            ht_weights_device(weights, "a.weight", rows[i].layout, rows[i].format, 2,
                              layers[0].dims, &desc, &address);
        assert_int_equal(status, rows[i].sentence ? HT_ERR_UNSUPPORTED : HT_OK);
        assert_true(!rows[i].sentence || strstr(ht_context_message(context), rows[i].sentence));
    }
    assert_int_equal(ht_weights_device(plain, "a.weight", HT_WEIGHT_MATRIX, HT_FORMAT_STACK, 2,
                                       layers[0].dims, &desc, &address),
                     HT_ERR_UNSUPPORTED);
    assert_non_null(strstr(ht_context_message(context), "gen-quantize"));
    assert_int_equal(ht_weights_budget(plain, 1 << 30), HT_ERR_INVALID);
    assert_non_null(strstr(ht_context_message(context), "nothing in it is a residual stack"));
    ht_weights_destroy(&plain);
    ht_weights_destroy(&weights);
}

// One flaw each in a file of one stack [2, 32] of two blocks: 16 bytes of signs, 16 of A, 64 of B.
static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *numbers, *second, *sentence;
        int fill;
    } rows[] = {
        {"\\\"rank\\\":1,\\\"blocks\\\":2", "a.block1", NULL, 0},
        {"\\\"rank\\\":0,\\\"blocks\\\":2", "a.block1", "rank 0", 0},
        {"\\\"rank\\\":65,\\\"blocks\\\":2", "a.block1", "rank 65", 0},
        {"\\\"rank\\\":1", "a.block1", "or 0 blocks", 0},
        {"\\\"rank\\\":1,\\\"blocks\\\":17", "a.block1", "or 17 blocks", 0},
        {"\\\"rank\\\":1,\\\"blocks\\\":2", "a.block2", "block1 are missing", 0},
        {"\\\"rank\\\":2,\\\"blocks\\\":2", "a.block1", "its codes are U8", 0},
        {"\\\"rank\\\":1,\\\"blocks\\\":2", "a.block1", "no numbers", 0xff}, // when it is loaded
    };
    ht_context *context = ht_test_context(HT_TIER_CPU);
    context = context ? context : ht_test_context(HT_TIER_PORTABLE);
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        char header[1024];
        uint8_t data[192];
        memset(data, rows[i].fill, sizeof(data));
        snprintf(header, sizeof(header),
                 "{\"__metadata__\":{\"halftone.version\":\"3\",\"halftone.tensors\":"
                 "\"{\\\"a\\\":{\\\"format\\\":\\\"stack\\\",\\\"shape\\\":[2,32],%s}}\"},"
                 "\"a\":{\"dtype\":\"U8\",\"shape\":[96],\"data_offsets\":[0,96]},"
                 "\"%s\":{\"dtype\":\"U8\",\"shape\":[96],\"data_offsets\":[96,192]}}",
                 rows[i].numbers, rows[i].second);
        ht_weights *weights = NULL;
        const ht_weights_desc open = {.path = ht_test_write_safetensors(
                                          &folder, "p.safetensors", header, data, sizeof(data))};
        ht_status status = ht_weights_open(context, &open, &weights);
        if (status == HT_OK) {
            ht_tensor_desc desc;
            uint64_t address;
            status = ht_weights_device(weights, "a", HT_WEIGHT_MATRIX, HT_FORMAT_NONE, 2,
                                       (const uint32_t[]){2, 32}, &desc, &address);
        }
        assert_int_equal(status, rows[i].sentence ? HT_ERR_IO : HT_OK);
        if (rows[i].sentence && !strstr(ht_context_message(context), rows[i].sentence)) {
            fail_msg("row %zu: %s", i, ht_context_message(context));
        }
        ht_weights_destroy(&weights);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_of_a_matrix),
        cmocka_unit_test(test_rank_by_size),
        cmocka_unit_test_setup_teardown(test_budgets, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_used_as_a_stack, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_refused, open_folder, close_folder),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}
