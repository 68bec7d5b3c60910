// Packed files: what they hold is what packing on loading gives, bit for bit, in every format; and
// what is refused.
#include "support.h"

#include "own_folder.h"
#include "packed_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A matrix whose rows are no multiple of any group, a convolution, a 1x1 one, and a vector.
static const char HEADER[] =
    "{\"a.weight\":{\"dtype\":\"F32\",\"shape\":[5,77],\"data_offsets\":[0,1540]},"
    "\"b.bias\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[1540,1564]},"
    "\"b.weight\":{\"dtype\":\"F32\",\"shape\":[6,40,3,2],\"data_offsets\":[1564,7324]},"
    "\"c.weight\":{\"dtype\":\"F32\",\"shape\":[3,32,1,1],\"data_offsets\":[7324,7708]}}";
enum { VALUES = 1927, A = 5 * 77 };

static const struct {
    const char *name;
    ht_weight_layout layout;
    uint32_t rank, dims[4];
} tensors[] = {{"a.weight", HT_WEIGHT_MATRIX, 2, {5, 77}},
               {"b.weight", HT_WEIGHT_CONV, 4, {6, 40, 3, 2}},
               {"c.weight", HT_WEIGHT_MATRIX, 2, {3, 32}}};

static const char *write_float(float special) {
    float values[VALUES];
    ht_test_fill_normal(7, values, VALUES);
    memset(values + 32, 0, 64 * sizeof(*values)); // groups without any value
    values[3] = special;
    return ht_test_write_safetensors(&folder, "float.safetensors", HEADER, values, sizeof(values));
}

static ht_format chosen_format(void *user, const char *layer) {
    assert_true(strlen(layer) == 1);
    return *(const ht_format *)user;
}

static ht_status quantize(ht_context *context, ht_format format, bool search) {
    char path[128], out[192];
    ht_weights *weights = NULL;
    snprintf(path, sizeof(path), "%s/float.safetensors", folder.path);
    snprintf(out, sizeof(out), "%s/packed.safetensors", folder.path);
    assert_int_equal(ht_weights_open(context, &(ht_weights_desc){.path = path}, &weights), HT_OK);
    const ht_quantize_desc desc = {.path = out,
                                   .replace = true,
                                   .recipe = "{\"name\":\"x\"}",
                                   .search = search,
                                   .format = chosen_format,
                                   .user = &format};
    const ht_status status = ht_weights_quantize(weights, &desc);
    ht_weights_destroy(&weights);
    return status;
}

static ht_weights *open_file(ht_context *context, const char *name) {
    ht_weights *weights = NULL;
    const ht_weights_desc desc = {.path = ht_test_folder_file(&folder, name)};
    assert_int_equal(ht_weights_open(context, &desc, &weights), HT_OK);
    return weights;
}

// Device bytes of a tensor; free() them.
static uint8_t *device_bytes(ht_weights *weights, size_t i, ht_format format, uint64_t *bytes) {
    ht_tensor_desc desc;
    uint64_t address;
    assert_int_equal(ht_weights_device(weights, tensors[i].name, tensors[i].layout, format,
                                       tensors[i].rank, tensors[i].dims, &desc, &address),
                     HT_OK);
    assert_int_equal(desc.format, format);
    *bytes = ht_desc_bytes(&desc);
    uint8_t *data = malloc(*bytes);
    assert_non_null(data);
    assert_int_equal(
        ht_weights_device_read(weights, tensors[i].name, tensors[i].layout, format, data, *bytes),
        HT_OK);
    return data;
}

// The parts only: between them lies padding, which nothing reads.
static void assert_same_parts(size_t i, ht_format format, const uint8_t *got, const uint8_t *want) {
    ht_tensor_desc file = {.rank = tensors[i].rank}, device;
    memcpy(file.dims, tensors[i].dims, sizeof(tensors[i].dims));
    uint64_t taps;
    ht_packed_layout at;
    assert_true(ht_packed_shape(&file, format, &device, &taps));
    ht_packed_layout_of(&device, &at);
    for (int part = 0; part < HT_PACKED_PARTS; ++part) {
        ht_packed_part_desc d;
        if (ht_packed_part_of(ht_fmt_find(format), &at, (ht_packed_part)part, &d)) {
            assert_memory_equal(got + d.offset, want + d.offset, d.bytes);
        }
    }
}

static void test_same_as_on_loading(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_CPU);
    ht_format format;
    context = context ? context : ht_test_context(HT_TIER_PORTABLE);
    write_float(1e-3f);
    for (size_t f = 0; (format = ht_format_at(f)); ++f) {
        if (!ht_format_is_packed(format)) {
            continue;
        }
        assert_int_equal(quantize(context, format, false), HT_OK);
        ht_weights *plain = open_file(context, "float.safetensors");
        ht_weights *packed = open_file(context, "packed.safetensors");
        assert_int_equal(ht_weights_count(packed), 4); // scales are no tensors of their own
        assert_string_equal(ht_weights_metadata(packed, HT_WEIGHTS_RECIPE_KEY), "{\"name\":\"x\"}");
        for (size_t i = 0; i < HT_COUNT(tensors); ++i) {
            uint64_t want_bytes, got_bytes;
            uint8_t *want = device_bytes(plain, i, format, &want_bytes);
            uint8_t *got = device_bytes(packed, i, format, &got_bytes);
            assert_int_equal(got_bytes, want_bytes);
            assert_same_parts(i, format, got, want);
            free(want);
            free(got);
        }
        float bias[6], same[6];
        assert_int_equal(ht_weights_read_f32(plain, "b.bias", bias, 6), HT_OK);
        assert_int_equal(ht_weights_read_f32(packed, "b.bias", same, 6), HT_OK);
        assert_memory_equal(bias, same, sizeof(bias));
        ht_weights_destroy(&plain);
        ht_weights_destroy(&packed);
    }
}

// A packed tensor is not coded a second time, gathered, or read as floats.
static void test_used_as_it_is(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_CPU);
    context = context ? context : ht_test_context(HT_TIER_PORTABLE);
    ht_tensor_desc desc;
    uint64_t address;
    float values[A];
    write_float(0);
    assert_int_equal(quantize(context, HT_FORMAT_FP4, false), HT_OK);
    ht_weights *packed = open_file(context, "packed.safetensors");
    const uint32_t *dims = tensors[0].dims;
    assert_int_equal(ht_weights_device(packed, "a.weight", HT_WEIGHT_MATRIX, HT_FORMAT_INT8, 2,
                                       dims, &desc, &address),
                     HT_ERR_UNSUPPORTED);
    assert_non_null(strstr(ht_context_message(context), "packed as fp4 and int8 was asked for"));
    assert_int_equal(ht_weights_device(packed, "a.weight", HT_WEIGHT_TABLE, HT_FORMAT_NONE, 2, dims,
                                       &desc, &address),
                     HT_ERR_UNSUPPORTED);
    assert_int_equal(ht_weights_read_f32(packed, "a.weight", values, A), HT_ERR_UNSUPPORTED);
    assert_int_equal(ht_weights_device(packed, "a.weight", HT_WEIGHT_MATRIX, HT_FORMAT_NONE, 2,
                                       dims, &desc, &address),
                     HT_OK);
    assert_int_equal(desc.format, HT_FORMAT_FP4);
    ht_weights_destroy(&packed);
}

// The search takes a format of the same size, and never one that loses more than the one asked for.
static void test_search(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_CPU);
    context = context ? context : ht_test_context(HT_TIER_PORTABLE);
    float values[VALUES];
    for (size_t i = 0; i < VALUES; ++i) { // powers of two: what FP4_E3M0 is made of
        values[i] = ldexpf(i % 2 ? -1.0f : 1.0f, (int)(i * i % 7));
    }
    ht_test_write_safetensors(&folder, "float.safetensors", HEADER, values, sizeof(values));
    assert_int_equal(quantize(context, HT_FORMAT_FP4, true), HT_OK);
    ht_weights *packed = open_file(context, "packed.safetensors");
    assert_int_equal(ht_weights_find(packed, "a.weight")->desc.format, HT_FORMAT_FP4_E3M0);
    ht_weights_destroy(&packed);
}

// ---- layers packed by the caller

enum { OUT = 6, IN = 40, TAPS = 6, KERNEL = OUT * IN * TAPS, RANK = 4 };
static float of_inputs[IN];
static const float of_outputs[OUT] = {8, 1, 1, 1, 1, 0.5f};

// Packs b.weight with scales by the largest value, and gives it a branch.
static ht_status own_pack(void *user, const ht_quantize_layer *layer, bool *done) {
    if (strcmp(layer->name, "b") != 0) {
        return HT_OK;
    }
    assert_int_equal(layer->desc.rank, 4);
    assert_int_equal(layer->desc.dims[3], IN);
    assert_int_equal(layer->rank, RANK);
    memcpy(user, layer->values, KERNEL * sizeof(*layer->values));
    ht_desc_pack(&layer->desc, HT_SCALE_MAX, layer->values, layer->packed);
    layer->up[2 * RANK + 1] = 3;             // output 2 of direction 1
    layer->down[TAPS * IN + 5 * IN + 7] = 2; // its last tap, channel 7
    *done = true;
    return HT_OK;
}

static uint32_t own_rank(void *user, const char *layer, const ht_tensor_desc *desc) {
    (void)user, (void)desc;
    return *layer == 'b' ? RANK : 0;
}

static void own_factors(void *user, const char *tensor, const float **inputs,
                        const float **outputs) {
    (void)user;
    *inputs = strcmp(tensor, "b.weight") == 0 ? of_inputs : NULL;
    *outputs = *tensor == 'b' ? of_outputs : NULL;
}

static ht_format int8(void *user, const char *layer) {
    (void)user, (void)layer;
    return HT_FORMAT_INT8;
}

static void assert_branch(ht_weights *packed) {
    float up[OUT * RANK], down[RANK * IN * TAPS];
    assert_int_equal(ht_weights_read_f32(packed, "b.low_rank.up", up, OUT * RANK), HT_OK);
    assert_int_equal(ht_weights_read_f32(packed, "b.low_rank.down", down, RANK * IN * TAPS), HT_OK);
    for (int i = 0; i < OUT * RANK; ++i) {
        assert_true(up[i] == (i == 2 * RANK + 1 ? 3 : 0));
    }
    for (int i = 0; i < RANK * IN * TAPS; ++i) { // [R, I, kh, kw]
        assert_true(down[i] == (i == IN * TAPS + 7 * TAPS + 5 ? 2 : 0));
    }
    const ht_tensor_desc shape = ht_weights_find(packed, "b.low_rank.down")->desc;
    assert_int_equal(shape.rank, 4);
    assert_int_equal(shape.dims[1], IN);
    assert_int_equal(shape.dims[2], 3);
}

// Values come multiplied and in the device's order; branch and bias go into the file, as version 2.
static void test_packed_by_caller(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_CPU);
    context = context ? context : ht_test_context(HT_TIER_PORTABLE);
    float file[VALUES], seen[KERNEL], bias[OUT];
    char path[192];
    for (int i = 0; i < IN; ++i) {
        of_inputs[i] = i == 3 ? 4 : i == IN - 1 ? 0.25f : 1;
    }
    ht_test_fill_normal(7, file, VALUES);
    ht_test_write_safetensors(&folder, "float.safetensors", HEADER, file, sizeof(file));
    ht_weights *plain = open_file(context, "float.safetensors");
    snprintf(path, sizeof(path), "%s", ht_test_folder_file(&folder, "packed.safetensors"));
    const ht_quantize_desc desc = {.path = path,
                                   .replace = true,
                                   .format = int8,
                                   .pack = own_pack,
                                   .rank = own_rank,
                                   .factors = own_factors,
                                   .user = seen};
    assert_int_equal(ht_weights_quantize(plain, &desc), HT_OK);
    ht_weights *packed = open_file(context, "packed.safetensors");
    assert_string_equal(ht_weights_metadata(packed, "halftone.version"), "2");
    assert_int_equal(ht_weights_count(packed), 6);
    const float *b = file + A + OUT; // [6, 40, 3, 2]
    for (int i = 0; i < KERNEL; ++i) {
        const int o = i / IN / TAPS, tap = i / IN % TAPS, c = i % IN;
        assert_true(seen[i] == b[(o * IN + c) * TAPS + tap] * of_inputs[c] * of_outputs[o]);
    }
    assert_int_equal(ht_weights_read_f32(packed, "b.bias", bias, OUT), HT_OK);
    for (int i = 0; i < OUT; ++i) {
        assert_true(bias[i] == file[A + i] * of_outputs[i]);
    }
    assert_branch(packed);
    // a.weight, which the callback left, is packed as ever.
    uint64_t bytes;
    uint8_t *want = device_bytes(plain, 0, HT_FORMAT_INT8, &bytes);
    uint8_t *got = device_bytes(packed, 0, HT_FORMAT_INT8, &bytes);
    assert_same_parts(0, HT_FORMAT_INT8, got, want);
    free(want);
    free(got);
    ht_weights_destroy(&packed);
    ht_weights_destroy(&plain);
}

static void test_refused_to_pack(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_CPU);
    context = context ? context : ht_test_context(HT_TIER_PORTABLE);
    const float bad[] = {NAN, INFINITY};
    for (size_t i = 0; i < HT_COUNT(bad); ++i) {
        write_float(bad[i]);
        remove(ht_test_folder_file(&folder, "packed.safetensors"));
        assert_int_equal(quantize(context, HT_FORMAT_FP4, false), HT_ERR_IO);
        assert_non_null(strstr(ht_context_message(context), "'a.weight' has"));
        assert_non_null(strstr(ht_context_message(context), "at index 3"));
        FILE *left = fopen(ht_test_folder_file(&folder, "packed.safetensors"), "rb");
        assert_null(left);
    }
}

// One flaw each in a file of one packed matrix [2, 32] of fp4: 32 bytes of codes, 4 of scales.
static void test_refused_to_read(void **state) {
    (void)state;
    static const struct {
        const char *version, *tensors, *rest, *sentence;
    } rows[] = {
        {"1", "{\\\"a\\\":{\\\"format\\\":\\\"fp4\\\",\\\"shape\\\":[2,32]}}", "a.scales", NULL},
        {"5", "{}", "a.scales", "container version 5; this one reads version 4"},
        {"one", "{}", "a.scales", "has not both of"},
        {"1", "{\\\"a\\\":", "a.scales", "halftone.tensors"},
        {"1", "{\\\"a\\\":{\\\"format\\\":\\\"fp3\\\",\\\"shape\\\":[2,32]}}", "a.scales",
         "unknown packed format 'fp3'"},
        {"1", "{\\\"a\\\":{\\\"format\\\":\\\"f16\\\",\\\"shape\\\":[2,32]}}", "a.scales",
         "unknown packed format 'f16'"},
        {"1", "{\\\"a\\\":{\\\"format\\\":\\\"fp4\\\",\\\"shape\\\":[2,32]}}", "b.scales",
         "its scales are missing"},
        {"1", "{\\\"z\\\":{\\\"format\\\":\\\"fp4\\\",\\\"shape\\\":[2,32]}}", "a.scales",
         "its codes are missing"},
        {"1", "{\\\"a\\\":{\\\"format\\\":\\\"fp4\\\",\\\"shape\\\":[2,64]}}", "a.scales",
         "its codes are U8 [2, 16], expected U8 [2, 32]"},
        {"1", "{\\\"a\\\":{\\\"format\\\":\\\"int4\\\",\\\"shape\\\":[2,32]}}", "a.scales",
         "its codes are U8 [2, 16], expected U8 [2, 32]"},
        {"1", "{\\\"a\\\":{\\\"format\\\":\\\"mxfp4\\\",\\\"shape\\\":[2,32]}}", "a.scales",
         "its scales are F16 [2, 1], expected F8_E8M0 [2, 1]"},
        {"1", "{\\\"a\\\":{\\\"format\\\":\\\"nvfp4\\\",\\\"shape\\\":[2,32]}}", "a.scales",
         "its scales are F16 [2, 1], expected F8_E4M3 [2, 2]"},
        {"1", "{\\\"a\\\":{\\\"format\\\":\\\"fp4\\\",\\\"shape\\\":[2,2,32]}}", "a.scales",
         "its shape is neither"},
        {"1", "{\\\"a\\\":{\\\"format\\\":\\\"fp4\\\",\\\"shape\\\":[4294967295,2147483647]}}",
         "a.scales", "too large"},
        {"1",
         "{\\\"a\\\":{\\\"format\\\":\\\"fp4\\\",\\\"shape\\\":[2,32]},"
         "\\\"a\\\":{\\\"format\\\":\\\"fp4\\\",\\\"shape\\\":[2,32]}}",
         "a.scales", "its codes are fp4"},
    };
    ht_context_desc desc = {.host_only = true};
    ht_context *context = NULL;
    assert_int_equal(ht_context_create(&desc, &context), HT_OK);
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        char header[1024];
        snprintf(header, sizeof(header),
                 "{\"__metadata__\":{\"halftone.version\":\"%s\",\"halftone.tensors\":\"%s\"},"
                 "\"a\":{\"dtype\":\"U8\",\"shape\":[2,16],\"data_offsets\":[0,32]},"
                 "\"%s\":{\"dtype\":\"F16\",\"shape\":[2,1],\"data_offsets\":[32,36]}}",
                 rows[i].version, rows[i].tensors, rows[i].rest);
        ht_weights *weights = NULL;
        const ht_weights_desc open = {
            .path = ht_test_write_safetensors(&folder, "p.safetensors", header, NULL, 36)};
        const ht_status status = ht_weights_open(context, &open, &weights);
        if (rows[i].sentence) {
            assert_true(status == HT_ERR_IO || status == HT_ERR_UNSUPPORTED);
            if (!strstr(ht_context_message(context), rows[i].sentence)) {
                fail_msg("row %zu: %s", i, ht_context_message(context));
            }
        } else {
            assert_int_equal(status, HT_OK);
        }
        ht_weights_destroy(&weights);
    }
    ht_context_destroy(&context);
}

// A file's scales before they reach a kernel: 0 would make a picture of nothing, and whole numbers above
// ten do not fit a byte with the codes.
static void test_scales_checked(void **state) {
    (void)state;
    static const char fp4[] =
        "{\"__metadata__\":{\"halftone.version\":\"1\",\"halftone.tensors\":"
        "\"{\\\"a\\\":{\\\"format\\\":\\\"fp4\\\",\\\"shape\\\":[2,32]}}\"},"
        "\"a\":{\"dtype\":\"U8\",\"shape\":[2,16],\"data_offsets\":[0,32]},"
        "\"a.scales\":{\"dtype\":\"F16\",\"shape\":[2,1],\"data_offsets\":[32,36]}}";
    static const char fp4_i8[] =
        "{\"__metadata__\":{\"halftone.version\":\"1\",\"halftone.tensors\":"
        "\"{\\\"a\\\":{\\\"format\\\":\\\"fp4-i8\\\",\\\"shape\\\":[2,32]}}\"},"
        "\"a\":{\"dtype\":\"U8\",\"shape\":[2,16],\"data_offsets\":[0,32]},"
        "\"a.scales\":{\"dtype\":\"U8\",\"shape\":[2,1],\"data_offsets\":[32,34]},"
        "\"a.row_scales\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[34,42]}}";
    const struct {
        const char *header;
        uint8_t scales[2];
        float rows[2];
        size_t bytes;
        const char *sentence; // NULL: good
    } rows[] = {
        {fp4, {0}, {0}, 36, "scale 0 is 0, expected a positive number"},
        {fp4_i8, {0x1a, 0x33}, {1, 2}, 42, NULL},
        {fp4_i8, {0x1a, 0x03}, {1, 2}, 42, "scale 3 is 0, expected a whole (1 to 10) number"},
        {fp4_i8, {0xb1, 0x11}, {1, 2}, 42, "scale 1 is 11, expected a whole (1 to 10) number"},
        {fp4_i8, {0x11, 0x11}, {1, -1}, 42, "row scale 1 is -1, expected a positive"},
        {fp4_i8, {0x11, 0x11}, {NAN, 1}, 42, "row scale 0 is nan, expected a positive number"},
    };
    ht_context *context = ht_test_context(HT_TIER_CPU);
    context = context ? context : ht_test_context(HT_TIER_PORTABLE);
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        uint8_t data[42] = {0};
        const uint32_t dims[] = {2, 32};
        ht_tensor_desc desc;
        uint64_t address;
        memcpy(data + 32, rows[i].scales, sizeof rows[i].scales);
        memcpy(data + 34, rows[i].rows, sizeof rows[i].rows);
        ht_test_write_safetensors(&folder, "p.safetensors", rows[i].header, data, rows[i].bytes);
        ht_weights *weights = open_file(context, "p.safetensors");
        const ht_status status = ht_weights_device(weights, "a", HT_WEIGHT_MATRIX, HT_FORMAT_NONE,
                                                   2, dims, &desc, &address);
        assert_int_equal(status, rows[i].sentence ? HT_ERR_IO : HT_OK);
        if (rows[i].sentence && !strstr(ht_context_message(context), rows[i].sentence)) {
            fail_msg("row %zu: %s", i, ht_context_message(context));
        }
        ht_weights_destroy(&weights);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_same_as_on_loading, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_used_as_it_is, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_search, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_packed_by_caller, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_refused_to_pack, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_refused_to_read, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_scales_checked, open_folder, close_folder),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}
