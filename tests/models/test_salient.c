// Layers whose salient columns are kept apart: packed by the quantizer, run by the layers that all networks
// are made of, on both kinds of them; and files that do not say which columns they are.
//
// Weights are whole numbers: 5 to 7 in the salient columns, one 7 in each group of a scale, and 1 in the
// others; x too, with 127 the largest of each part of a row. All scales are 1 then, and y is exact.
#include "model_test.h"

#include "common/layers.h"
#include "files.h"
#include "own_folder.h"

#include <halftone/quantize.h>

enum { ROWS = 6 };

static const struct {
    const char *header; // of the float file
    uint32_t outputs, inputs, kernel, salient;
} shapes[] = {
    {"[5,64]", 5, 64, 1, 32},       {"[64,192]", 64, 192, 1, 32},   {"[40,192]", 40, 192, 1, 160},
    {"[7,97]", 7, 97, 1, 64},       {"[5,100,3,3]", 5, 100, 3, 64},
};

static bool is_salient(uint32_t column, size_t shape) {
    const uint32_t inputs = shapes[shape].inputs; // spread over the whole width
    return column * shapes[shape].salient / inputs != (column + 1) * shapes[shape].salient / inputs;
}

// [O, I, taps]
static float weight(uint32_t i, size_t shape) {
    const uint32_t taps = shapes[shape].kernel * shapes[shape].kernel;
    const uint32_t column = i / taps % shapes[shape].inputs;
    const uint32_t hash = i * 2654435761u >> 8;
    const float size = is_salient(column, shape) ? (float)(5 + hash % 3) : 1;
    return (hash & 64) ? -size : size;
}

static float *weights_of(size_t shape) {
    const uint32_t taps = shapes[shape].kernel * shapes[shape].kernel;
    const uint32_t count = shapes[shape].outputs * shapes[shape].inputs * taps;
    float *w = malloc(count * sizeof(*w));
    for (uint32_t i = 0; i < count; ++i) {
        w[i] = weight(i, shape);
    }
    for (uint32_t o = 0; o < shapes[shape].outputs; ++o) { // the largest of each group
        for (uint32_t c = 0, seen = 0; c < shapes[shape].inputs; ++c) {
            if (is_salient(c, shape) && seen++ % 32 == 5) {
                for (uint32_t t = 0; t < taps; ++t) {
                    w[(o * shapes[shape].inputs + c) * taps + t] = 7;
                }
            }
        }
    }
    return w;
}

static ht_format format_of(void *user, const char *layer) {
    (void)user, (void)layer;
    return HT_FORMAT_BIN1;
}

// Where they are many, one sign with one scale loses more in the others: their inputs are made large.
static void salient_of(void *user, const char *layer, const ht_tensor_desc *desc,
                       ht_quantize_salient *out) {
    static float energy[256];
    const size_t shape = *(const size_t *)user;
    (void)layer, (void)desc;
    for (uint32_t c = 0; c < shapes[shape].inputs; ++c) {
        energy[c] = is_salient(c, shape) ? 1e6f : 1;
    }
    *out = (ht_quantize_salient){.format = HT_FORMAT_INT4_G32,
                                 .count = shapes[shape].salient,
                                 .energy = shapes[shape].salient * 5 > shapes[shape].inputs ? energy
                                                                                           : NULL};
}

static const char RECIPE[] =
    "{\"name\":\"s\",\"layers\":[{\"match\":\"l\",\"weights\":\"bin1\",\"activations\":\"int8-planes\","
    "\"salient\":{\"share\":0.2,\"weights\":\"int4-g32\",\"activations\":\"int8\"}}]}";

// The float file of a shape, and what the quantizer makes of it: packed.safetensors.
static void pack(ht_context *context, size_t shape) {
    char header[160], from[192], path[192];
    const uint32_t taps = shapes[shape].kernel * shapes[shape].kernel;
    const size_t bytes = (size_t)shapes[shape].outputs * shapes[shape].inputs * taps * 4;
    float *w = weights_of(shape);
    ht_weights *weights;
    snprintf(header, sizeof(header),
             "{\"l.weight\":{\"dtype\":\"F32\",\"shape\":%s,\"data_offsets\":[0,%zu]}}",
             shapes[shape].header, bytes);
    snprintf(from, sizeof(from), "%s",
             ht_test_write_safetensors(&folder, "float.safetensors", header, w, bytes));
    snprintf(path, sizeof(path), "%s", ht_test_folder_file(&folder, "packed.safetensors"));
    ht_test_must(context, ht_weights_open(context, &(ht_weights_desc){.path = from}, &weights));
    const ht_quantize_desc desc = {.path = path,
                                   .replace = true,
                                   .format = format_of,
                                   .salient = salient_of,
                                   .user = &shape};
    ht_test_must(context, ht_weights_quantize(weights, &desc));
    ht_weights_destroy(&weights);
    free(w);
}

// One picture of 2 x 3 places; each part of a row has a 127.
static float *inputs_of(size_t shape) {
    const uint32_t k = shapes[shape].inputs;
    float *x = malloc((size_t)ROWS * k * sizeof(*x));
    for (uint32_t r = 0; r < ROWS; ++r) {
        bool seen[2] = {false, false};
        for (uint32_t c = 0; c < k; ++c) {
            const bool part = is_salient(c, shape);
            const uint32_t hash = (r * k + c) * 2246822519u >> 7;
            x[r * k + c] = seen[part] ? (float)(hash % 255) - 127 : 127;
            seen[part] = true;
        }
    }
    return x;
}

// In whole numbers. Linear: a row of x. Convolution 3 x 3 with a margin of 1: a place of 2 x 3.
static double product(size_t shape, const float *w, const float *x, uint32_t row, uint32_t o) {
    const int k = (int)shapes[shape].inputs, side = (int)shapes[shape].kernel, margin = side / 2;
    double sum = 0;
    for (int t = 0; t < side * side; ++t) {
        const int h = (int)row / 3 + t / side - margin, v = (int)row % 3 + t % side - margin;
        for (int c = 0; c < k && h >= 0 && h < 2 && v >= 0 && v < 3; ++c) {
            sum += (double)w[((int)o * k + c) * side * side + t] * x[(h * 3 + v) * k + c];
        }
    }
    return sum;
}

typedef struct net {
    ht_context *context;
    ht_weights *weights;
    ht_recipe *recipe;
    ht_graph *graph;
    ht_tensor *in, *out;
} net;

static void close_net(net *n) {
    ht_graph_destroy(&n->graph);
    ht_tensor_destroy(&n->out);
    ht_tensor_destroy(&n->in);
    ht_recipe_destroy(&n->recipe);
    ht_weights_destroy(&n->weights);
}

// The layer on its file in a graph of its own; what finishing it says.
static ht_status open_net(ht_context *context, size_t shape, const char *file, net *n) {
    const uint32_t k = shapes[shape].inputs, outputs = shapes[shape].outputs;
    const bool conv = shapes[shape].kernel > 1;
    const ht_weights_desc from = {.path = ht_test_folder_file(&folder, file)};
    const ht_tensor_desc in = {.format = HT_FORMAT_F32, .rank = 4, .dims = {1, 2, 3, k}};
    const ht_tensor_desc out = {.format = HT_FORMAT_F32, .rank = 4, .dims = {1, 2, 3, outputs}};
    *n = (net){.context = context};
    ht_test_must(context, ht_weights_open(context, &from, &n->weights));
    ht_test_must(context, ht_recipe_parse(context, "s", RECIPE, &n->recipe));
    ht_test_must(context, ht_tensor_create(context, &in, &n->in));
    ht_test_must(context, ht_tensor_create(context, &out, &n->out));
    const ht_graph_desc desc = {.label = "salient", .activations = HT_FORMAT_F32, .keep_values = true};
    ht_test_must(context, ht_graph_create(context, &desc, &n->graph));
    const ht_nn nn = {.graph = n->graph, .weights = n->weights, .recipe = n->recipe};
    const ht_value x = ht_graph_tensor(n->graph, n->in);
    const ht_epilogue twice = {.bias = HT_NO_VALUE, .gate = HT_NO_VALUE, .residual = HT_NO_VALUE,
                               .act = HT_ACT_NONE};
    const ht_value y = conv ? ht_nn_conv(&nn, "l", x, outputs, 3, ht_nn_same_size)
                            : ht_nn_linear(&nn, "l", x, outputs, &twice);
    ht_graph_output(n->graph, y, n->out);
    return ht_graph_finish(n->graph);
}

// Quantized and taken values bit by bit, products too: all are whole numbers.
static void check_node(void *user, const ht_node_check *check) {
    ++*(uint32_t *)user;
    if (check->max_abs > 0 || !check->finite) {
        fail_msg("%s %s is off by %g", check->op, check->label, check->max_abs);
    }
}

static void test_exact(void **state) {
    (void)state;
    for (size_t t = 0; t < HT_COUNT(ht_test_tiers); ++t) {
        ht_context *context = ht_test_context(ht_test_tiers[t]);
        for (size_t s = 0; s < HT_COUNT(shapes) && context; ++s) {
            const uint32_t outputs = shapes[s].outputs;
            uint32_t nodes = 0;
            net n;
            pack(context, s);
            ht_test_must(context, open_net(context, s, "packed.safetensors", &n));
            float *x = inputs_of(s), *w = weights_of(s), *y = malloc(ROWS * outputs * sizeof(*y));
            ht_test_must(context,
                         ht_tensor_write(n.in, x, (size_t)ROWS * shapes[s].inputs * sizeof(*x)));
            ht_test_must(context, ht_graph_check(n.graph, check_node, &nodes));
            assert_true(nodes >= 6); // take, quantize and a product, twice
            ht_test_must(context, ht_tensor_read_f32(n.out, y, (size_t)ROWS * outputs));
            for (uint32_t i = 0; i < ROWS * outputs; ++i) {
                assert_true(y[i] == product(s, w, x, i / outputs, i % outputs));
            }
            free(y);
            free(w);
            free(x);
            close_net(&n);
        }
    }
}

// What the file is made of: every column in one of two tensors, the salient ones being those that lose most.
static void test_file(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    for (size_t s = 0; s < HT_COUNT(shapes); ++s) {
        net n;
        pack(context, s);
        ht_test_must(context, open_net(context, s, "packed.safetensors", &n));
        assert_string_equal(ht_weights_metadata(n.weights, "halftone.version"), "4");
        assert_int_equal(ht_weights_count(n.weights), 3);
        assert_null(ht_weights_find(n.weights, "l.weight"));
        const ht_weight_info *columns = ht_weights_find(n.weights, "l" HT_SALIENT_COLUMNS);
        const ht_weight_info *salient = ht_weights_find(n.weights, "l" HT_SALIENT_WEIGHT);
        const ht_weight_info *rest = ht_weights_find(n.weights, "l" HT_SALIENT_REST);
        assert_int_equal(salient->desc.format, HT_FORMAT_INT4_G32);
        assert_int_equal(rest->desc.format, HT_FORMAT_BIN1);
        assert_int_equal(salient->desc.dims[1], shapes[s].salient);
        assert_int_equal(salient->desc.dims[1] + rest->desc.dims[1], shapes[s].inputs);
        assert_int_equal(columns->bytes, (shapes[s].inputs + 7) / 8);
        for (uint32_t i = 0; i < columns->bytes * 8; ++i) {
            const bool bit = ((const uint8_t *)columns->data)[i / 8] >> i % 8 & 1;
            assert_int_equal(bit, i < shapes[s].inputs && is_salient(i, s));
        }
        close_net(&n);
    }
}

// A packed file with some bytes changed, the first of them found in it.
static void write_changed(const char *find, size_t length, const char *replace) {
    size_t bytes, at = 0;
    uint8_t *file = ht_test_read_file(ht_test_folder_file(&folder, "packed.safetensors"), &bytes);
    while (at + length <= bytes && memcmp(file + at, find, length) != 0) {
        ++at;
    }
    assert_true(at + length <= bytes);
    memcpy(file + at, replace, length);
    ht_test_write(&folder, "changed.safetensors", file, bytes);
    free(file);
}

static void test_refused(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    static const char mask[] = "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"; // every other column of 64
    static const struct {
        const char *find, *replace, *sentence;
    } rows[] = {
        {mask, "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xab", "U8 [8] with a bit for each of 64 columns"},
        {mask, "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\x2a", "as many as 'l.salient.weight' has"},
        {mask, "\xff\xff\xff\xff\xff\xff\xff\xff", "as many as 'l.salient.weight' has"},
        {"columns\":{\"dtype\":\"U8\"", "columns\":{\"dtype\":\"I8\"", "'l.salient.columns' must be U8 [8]"},
        {"l.salient.columns", "l.salient.volumes", "'l.salient.columns' must be U8 [8]"},
        {"salient.columns\":{\"dtype\":\"U8\",\"shape\":[8]",
         "salient.columns\":{\"dtype\":\"U8\",\"shape\":[8]", NULL}, // nothing changed
    };
    pack(context, 0);
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        net n;
        write_changed(rows[i].find, strlen(rows[i].find), rows[i].replace);
        const ht_status status = open_net(context, 0, "changed.safetensors", &n);
        assert_int_equal(status, rows[i].sentence ? HT_ERR_IO : HT_OK);
        if (rows[i].sentence && !strstr(ht_context_message(context), rows[i].sentence)) {
            fail_msg("row %zu: %s", i, ht_context_message(context));
        }
        close_net(&n);
    }
    // A recipe that wants columns apart, and a file that has them not.
    net n;
    assert_int_equal(open_net(context, 0, "float.safetensors", &n), HT_ERR_UNSUPPORTED);
    assert_non_null(strstr(ht_context_message(context), "pack it first, by gen-quantize"));
    close_net(&n);
}

// Tables of weights take both tensors for the one that they ask for, if they are its shape together.
static void test_map(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    static const ht_weight_row row[] = {{"weight", NULL, 0, 2, {0, 1}}};
    for (uint32_t inputs = 63; inputs <= 65; ++inputs) {
        ht_weight_map map = {.context = context};
        net n;
        pack(context, 0);
        ht_test_must(context, open_net(context, 0, "packed.safetensors", &n));
        ht_weight_map_add(&map, "l.", row, 1, (const uint32_t[]){5, inputs});
        assert_int_equal(ht_weight_map_check(&map, n.weights, NULL) == HT_OK, inputs == 64);
        ht_weight_map_clear(&map);
        close_net(&n);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_exact, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_file, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_refused, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_map, open_folder, close_folder),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}
