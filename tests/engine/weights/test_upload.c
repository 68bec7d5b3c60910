// Weights on the device: every layout, format and way there, as a kernel sees them.
#include "files.h"
#include "support.h"

#include "weights_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct row {
    const char *name, *dtype;
    ht_format format; // NONE: F64, or not computable
    uint32_t rank;
    uint32_t dims[4];
    bool aligned; // starts at a multiple of 16 in the file
} row;

// "off" leaves everything behind it at odd offsets.
static const row rows[] = {
    {"f16", "F16", HT_FORMAT_F16, 2, {40, 8}, true},
    {"f32", "F32", HT_FORMAT_F32, 2, {12, 4}, true},
    {"bf16", "BF16", HT_FORMAT_BF16, 2, {8, 8}, true},
    {"conv", "F16", HT_FORMAT_F16, 4, {4, 8, 3, 3}, true},
    {"conv1", "F16", HT_FORMAT_F16, 4, {8, 4, 1, 1}, true},
    {"asym", "F32", HT_FORMAT_F32, 4, {3, 5, 2, 4}, true},
    {"norm", "F32", HT_FORMAT_F32, 1, {8}, true},
    {"off", "U8", HT_FORMAT_NONE, 1, {1}, false},
    {"f16u", "F16", HT_FORMAT_F16, 2, {5, 7}, false},
    {"f32u", "F32", HT_FORMAT_F32, 2, {3, 3}, false},
    {"f64", "F64", HT_FORMAT_NONE, 2, {6, 5}, false},
    {"bias", "F16", HT_FORMAT_F16, 1, {9}, false},
    {"scalar", "BF16", HT_FORMAT_BF16, 0, {0}, false},
    {"ints", "I64", HT_FORMAT_NONE, 1, {3}, false},
};

enum { MAX_VALUES = 1024, FILE_BYTES = 16384 };

typedef struct fixture {
    ht_test_folder folder;
    char path[192];
    float values[HT_COUNT(rows)][MAX_VALUES]; // as the file's dtype holds them
    size_t counts[HT_COUNT(rows)];
} fixture;

static const row *find_row(const char *name, size_t *index) {
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        if (strcmp(rows[i].name, name) == 0) {
            *index = i;
            return &rows[i];
        }
    }
    fail_msg("no row %s", name);
    return NULL;
}

static size_t value_bytes(const row *r) {
    return r->format != HT_FORMAT_NONE   ? ht_format_bits(r->format) / 8
           : strcmp(r->dtype, "U8") == 0 ? 1
                                         : 8;
}

static void fill_values(fixture *f, size_t i, uint8_t *data) {
    const row *r = &rows[i];
    float *values = f->values[i];
    ht_test_fill_normal(i + 1, values, f->counts[i]);
    if (r->format != HT_FORMAT_NONE) {
        ht_format_pack(r->format, values, data, f->counts[i]);
        ht_format_unpack(r->format, data, values, f->counts[i]);
    } else if (strcmp(r->dtype, "F64") == 0) {
        for (size_t k = 0; k < f->counts[i]; k++) {
            const double value = values[k];
            memcpy(data + 8 * k, &value, sizeof value);
        }
    }
}

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    static uint8_t data[FILE_BYTES];
    char header[4096] = "{";
    size_t end = 0;
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        char text[256], dims[64] = "";
        f->counts[i] = 1;
        for (uint32_t d = 0; d < rows[i].rank; d++) {
            f->counts[i] *= rows[i].dims[d];
            snprintf(dims + strlen(dims), 32, d ? ",%u" : "%u", rows[i].dims[d]);
        }
        const size_t bytes = f->counts[i] * value_bytes(&rows[i]);
        assert_in_range(f->counts[i], 1, MAX_VALUES);
        assert_true(!rows[i].aligned || end % 16 == 0);
        fill_values(f, i, data + end);
        snprintf(text, sizeof text,
                 "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                 i ? "," : "", rows[i].name, rows[i].dtype, dims, end, end + bytes);
        strcat(header, text);
        end += bytes;
    }
    strcat(header, "}");
    while ((8 + strlen(header)) % 16 != 0) {
        strcat(header, " ");
    }
    ht_test_folder_open(&f->folder);
    strcpy(f->path, ht_test_write_safetensors(&f->folder, "w.safetensors", header, data, end));
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    ht_test_folder_close(&f->folder);
    free(f);
    return 0;
}

typedef enum way { WAY_DEFAULT, WAY_COPY, WAY_STAGING, WAY_COUNT } way;

static ht_context *open_context(way how) {
    ht_context_desc desc = ht_test_context_desc();
    ht_context *context = NULL;
    desc.no_host_import = how == WAY_COPY;
    desc.staging = how == WAY_STAGING;
    assert_int_equal(ht_context_create(&desc, &context), HT_OK);
    return context;
}

static ht_weights *open_weights(ht_context *context, const char *path, ht_format format) {
    ht_weights *weights = NULL;
    const ht_weights_desc desc = {.path = path, .format = format};
    if (ht_weights_open(context, &desc, &weights) != HT_OK) {
        fail_msg("%s", ht_context_message(context));
    }
    return weights;
}

// The weight as a kernel reads it, as floats.
static void read_by_kernel(ht_context *context, ht_weights *weights, const row *r,
                           ht_weight_layout layout, const uint32_t *dims, uint32_t rank, float *out,
                           size_t count) {
    ht_graph *graph = NULL;
    ht_tensor *tensor = NULL;
    assert_int_equal(
        ht_graph_create(context, &(ht_graph_desc){.activations = HT_FORMAT_F32}, &graph), HT_OK);
    const ht_value weight = ht_graph_weight(graph, weights, r->name, layout, rank, dims);
    ht_tensor_desc desc = ht_graph_value_desc(graph, weight);
    const ht_value copy = ht_op_cast(graph, weight, HT_FORMAT_F32);
    desc.format = HT_FORMAT_F32;
    assert_int_equal(ht_tensor_create(context, &desc, &tensor), HT_OK);
    ht_graph_output(graph, copy, tensor);
    if (ht_graph_finish(graph) != HT_OK || ht_graph_run(graph) != HT_OK) {
        fail_msg("%s: %s", r->name, ht_context_message(context));
    }
    assert_int_equal(ht_tensor_read_f32(tensor, out, count), HT_OK);
    ht_graph_destroy(&graph);
    ht_tensor_destroy(&tensor);
}

// Values in the order and precision they have on the device.
static void expect_values(const fixture *f, size_t index, ht_weight_layout layout, ht_format format,
                          float *want) {
    const row *r = &rows[index];
    uint8_t packed[4 * MAX_VALUES];
    const size_t count = f->counts[index];
    memcpy(want, f->values[index], count * sizeof *want);
    if (layout == HT_WEIGHT_CONV) {
        const uint32_t channels = r->dims[1], taps = r->dims[2] * r->dims[3];
        for (uint32_t o = 0; o < r->dims[0]; o++) {
            for (uint32_t c = 0; c < channels; c++) {
                for (uint32_t t = 0; t < taps; t++) {
                    want[(o * taps + t) * channels + c] =
                        f->values[index][(o * channels + c) * taps + t];
                }
            }
        }
    }
    ht_format_pack(format, want, packed, count);
    ht_format_unpack(format, packed, want, count);
}

static void check(const fixture *f, ht_context *context, ht_weights *weights, const char *name,
                  ht_weight_layout layout, ht_format asked) {
    size_t index = 0;
    const row *r = find_row(name, &index);
    const ht_format kept = r->format == HT_FORMAT_NONE ? HT_FORMAT_F32 : r->format;
    const ht_format format = layout == HT_WEIGHT_VECTOR ? HT_FORMAT_F32
                             : asked != HT_FORMAT_NONE  ? asked
                                                        : kept;
    ht_tensor_desc desc;
    uint64_t address = 0, again = 0;
    assert_int_equal(
        ht_weights_device(weights, name, layout, HT_FORMAT_NONE, r->rank, r->dims, &desc, &address),
        HT_OK);
    assert_int_equal(desc.format, format);
    assert_int_equal(ht_desc_count(&desc), f->counts[index]);
    assert_true(address != 0 && address % 16 == 0);
    // Once on the device, it stays where it is.
    assert_int_equal(
        ht_weights_device(weights, name, layout, HT_FORMAT_NONE, r->rank, r->dims, &desc, &again),
        HT_OK);
    assert_true(again == address);
    float want[MAX_VALUES], got[MAX_VALUES];
    uint8_t packed[4 * MAX_VALUES];
    const size_t count = f->counts[index];
    expect_values(f, index, layout, format, want);
    assert_int_equal(
        ht_weights_device_read(weights, name, layout, HT_FORMAT_NONE, packed, ht_desc_bytes(&desc)),
        HT_OK);
    ht_format_unpack(format, packed, got, count);
    assert_memory_equal(got, want, count * sizeof *got);
    memset(got, 0, sizeof got);
    read_by_kernel(context, weights, r, layout, r->dims, r->rank, got, count);
    assert_memory_equal(got, want, count * sizeof *got);
}

static void test_every_layout_and_format(void **state) {
    const fixture *f = *state;
    static const ht_format formats[] = {HT_FORMAT_NONE, HT_FORMAT_F16, HT_FORMAT_BF16,
                                        HT_FORMAT_F32};
    for (int how = 0; how < WAY_COUNT; how++) {
        ht_context *context = open_context((way)how);
        for (size_t i = 0; i < HT_COUNT(formats); i++) {
            ht_weights *weights = open_weights(context, f->path, formats[i]);
            check(f, context, weights, "f16", HT_WEIGHT_MATRIX, formats[i]);
            check(f, context, weights, "f32", HT_WEIGHT_MATRIX, formats[i]);
            check(f, context, weights, "bf16", HT_WEIGHT_TABLE, formats[i]);
            check(f, context, weights, "conv", HT_WEIGHT_CONV, formats[i]);
            check(f, context, weights, "conv1", HT_WEIGHT_CONV, formats[i]);
            check(f, context, weights, "asym", HT_WEIGHT_CONV, formats[i]);
            check(f, context, weights, "norm", HT_WEIGHT_VECTOR, formats[i]);
            check(f, context, weights, "f16u", HT_WEIGHT_MATRIX, formats[i]);
            check(f, context, weights, "f32u", HT_WEIGHT_MATRIX, formats[i]);
            check(f, context, weights, "f64", HT_WEIGHT_MATRIX, formats[i]);
            check(f, context, weights, "bias", HT_WEIGHT_VECTOR, formats[i]);
            check(f, context, weights, "scalar", HT_WEIGHT_VECTOR, formats[i]);
            ht_weights_destroy(&weights);
        }
        ht_context_destroy(&context);
    }
}

// Bytes reported: what was taken, and which of it is the mapped file.
static void test_bytes_are_counted(void **state) {
    const fixture *f = *state;
    for (int how = 0; how < WAY_COUNT; how++) {
        ht_context *context = open_context((way)how);
        ht_weights *weights = open_weights(context, f->path, HT_FORMAT_F16);
        const bool import = ht_vk_get_limits(context)->host_import;
        uint64_t total = 1, imported = 1;
        ht_memory_use before, now;
        assert_true(how == WAY_DEFAULT || !import);
        ht_context_memory(context, &before);
        ht_weights_device_bytes(weights, &total, &imported);
        assert_true(total == 0 && imported == 0);
        check(f, context, weights, "f16", HT_WEIGHT_MATRIX, HT_FORMAT_F16); // 40 x 8 as they are
        check(f, context, weights, "f16", HT_WEIGHT_TABLE, HT_FORMAT_F16);  // the same bytes
        ht_weights_device_bytes(weights, &total, &imported);
        assert_true(total == 640);
        assert_true(imported == (import ? 640u : 0u));
        ht_context_memory(context, &now);
        assert_true(!import || now.allocated == before.allocated || how != WAY_DEFAULT);
        check(f, context, weights, "f32", HT_WEIGHT_MATRIX, HT_FORMAT_F16);  // 12 x 4 converted
        check(f, context, weights, "f16u", HT_WEIGHT_MATRIX, HT_FORMAT_F16); // 5 x 7, unaligned
        check(f, context, weights, "conv", HT_WEIGHT_CONV, HT_FORMAT_F16);   // permuted
        check(f, context, weights, "norm", HT_WEIGHT_VECTOR, HT_FORMAT_F16); // 8 f32 as they are
        ht_weights_device_bytes(weights, &total, &imported);
        assert_true(total == 640 + 96 + 70 + 576 + 32);
        assert_true(imported == (import ? 672u : 0u));
        ht_weights_destroy(&weights);
        ht_context_destroy(&context);
    }
}

static void refuse(ht_weights *weights, const char *name, ht_weight_layout layout, uint32_t rank,
                   const uint32_t *dims, ht_status status, const char *part) {
    ht_tensor_desc desc;
    uint64_t address = 0;
    const char *message = ht_context_message(ht_weights_context(weights));
    assert_int_equal(
        ht_weights_device(weights, name, layout, HT_FORMAT_NONE, rank, dims, &desc, &address),
        status);
    if (!strstr(message, part)) {
        fail_msg("sentence \"%s\", expected \"%s\"", message, part);
    }
}

static void test_refusals(void **state) {
    const fixture *f = *state;
    ht_context *context = open_context(WAY_DEFAULT);
    ht_weights *weights = open_weights(context, f->path, HT_FORMAT_NONE);
    const uint32_t wrong[] = {40, 9}, turned[] = {8, 40}, three[] = {3}, conv[] = {4, 8, 3, 3};
    const uint32_t square[] = {40, 8};
    refuse(weights, "nothing", HT_WEIGHT_MATRIX, 2, wrong, HT_ERR_IO,
           "no tensor 'nothing', expected one of shape [40, 9]");
    refuse(weights, "f16", HT_WEIGHT_MATRIX, 2, wrong, HT_ERR_IO,
           "tensor 'f16' has shape [40, 8], expected [40, 9]");
    refuse(weights, "f16", HT_WEIGHT_MATRIX, 2, turned, HT_ERR_IO, "expected [8, 40]");
    refuse(weights, "f16", HT_WEIGHT_VECTOR, 1, three, HT_ERR_IO, "expected [3]");
    refuse(weights, "ints", HT_WEIGHT_VECTOR, 1, three, HT_ERR_UNSUPPORTED, "'ints' holds I64");
    refuse(weights, "conv", HT_WEIGHT_CONV, 3, conv, HT_ERR_INVALID, "rank 3");
    uint8_t bytes[64];
    assert_int_equal(
        ht_weights_device_read(weights, "f16", HT_WEIGHT_MATRIX, HT_FORMAT_NONE, bytes, 64),
        HT_ERR_INVALID);
    assert_non_null(strstr(ht_context_message(context), "not on the device"));
    ht_tensor_desc desc;
    uint64_t address;
    assert_int_equal(ht_weights_device(weights, "f16", HT_WEIGHT_MATRIX, HT_FORMAT_NONE, 2, square,
                                       &desc, &address),
                     HT_OK);
    assert_int_equal(
        ht_weights_device_read(weights, "f16", HT_WEIGHT_MATRIX, HT_FORMAT_NONE, bytes, 64),
        HT_ERR_INVALID);
    assert_non_null(strstr(ht_context_message(context), "640 bytes on the device, 64 asked for"));
    ht_weights_destroy(&weights);
    ht_context_destroy(&context);
}

// A [N, K, 1, 1] tensor serves as a matrix, and a matrix as a 1x1 convolution.
static void test_one_by_one(void **state) {
    const fixture *f = *state;
    ht_context *context = open_context(WAY_DEFAULT);
    ht_weights *weights = open_weights(context, f->path, HT_FORMAT_NONE);
    const uint32_t matrix[] = {8, 4}, conv[] = {12, 4, 1, 1};
    ht_tensor_desc desc;
    uint64_t address = 0;
    assert_int_equal(ht_weights_device(weights, "conv1", HT_WEIGHT_MATRIX, HT_FORMAT_NONE, 2,
                                       matrix, &desc, &address),
                     HT_OK);
    assert_int_equal(desc.rank, 2);
    assert_int_equal(desc.dims[1], 4);
    assert_int_equal(
        ht_weights_device(weights, "f32", HT_WEIGHT_CONV, HT_FORMAT_NONE, 4, conv, &desc, &address),
        HT_OK);
    const uint32_t want[] = {12, 1, 1, 4};
    assert_int_equal(desc.rank, 4);
    assert_memory_equal(desc.dims, want, sizeof want);
    refuse(weights, "conv1", HT_WEIGHT_TABLE, 2, matrix, HT_ERR_IO, "'conv1' has shape [8, 4, 1");
    ht_weights_destroy(&weights);
    ht_context_destroy(&context);
}

// Longer than one conversion step and than the arena's largest share, with a rest.
static void test_large_tensors_in_pieces(void **state) {
    fixture *f = *state;
    enum { ROWS = 1031, WIDTH = 1033, OUT = 70, IN = 523, TAPS = 9 };
    const size_t n_matrix = (size_t)ROWS * WIDTH, n_conv = (size_t)OUT * IN * TAPS;
    float *values = malloc((n_matrix + n_conv) * sizeof *values);
    float *got = malloc(n_matrix * sizeof *got);
    uint16_t *half = malloc(n_matrix * sizeof *half);
    char header[512];
    ht_test_fill_normal(5, values, n_matrix + n_conv);
    snprintf(header, sizeof header,
             "{\"m\":{\"dtype\":\"F32\",\"shape\":[%d,%d],\"data_offsets\":[0,%zu]},"
             "\"c\":{\"dtype\":\"F32\",\"shape\":[%d,%d,3,3],\"data_offsets\":[%zu,%zu]}}",
             ROWS, WIDTH, 4 * n_matrix, OUT, IN, 4 * n_matrix, 4 * (n_matrix + n_conv));
    const char *path = ht_test_write_safetensors(&f->folder, "large.safetensors", header, values,
                                                 4 * (n_matrix + n_conv));
    ht_context *context = open_context(WAY_STAGING);
    ht_weights *weights = open_weights(context, path, HT_FORMAT_F16);
    const uint32_t matrix[] = {ROWS, WIDTH}, conv[] = {OUT, IN, 3, 3};
    ht_tensor_desc desc;
    uint64_t address;
    assert_int_equal(ht_weights_device(weights, "m", HT_WEIGHT_MATRIX, HT_FORMAT_NONE, 2, matrix,
                                       &desc, &address),
                     HT_OK);
    assert_int_equal(
        ht_weights_device_read(weights, "m", HT_WEIGHT_MATRIX, HT_FORMAT_NONE, half, 2 * n_matrix),
        HT_OK);
    ht_format_unpack(HT_FORMAT_F16, half, got, n_matrix);
    for (size_t i = 0; i < n_matrix; i++) {
        float want;
        uint16_t code;
        ht_format_pack(HT_FORMAT_F16, &values[i], &code, 1);
        ht_format_unpack(HT_FORMAT_F16, &code, &want, 1);
        assert_true(got[i] == want);
    }
    assert_int_equal(
        ht_weights_device(weights, "c", HT_WEIGHT_CONV, HT_FORMAT_NONE, 4, conv, &desc, &address),
        HT_OK);
    assert_int_equal(
        ht_weights_device_read(weights, "c", HT_WEIGHT_CONV, HT_FORMAT_NONE, half, 2 * n_conv),
        HT_OK);
    for (size_t i = 0; i < n_conv; i++) {
        const size_t channel = i % IN, tap = i / IN % TAPS, o = i / IN / TAPS;
        uint16_t code;
        ht_format_pack(HT_FORMAT_F16, &values[n_matrix + (o * IN + channel) * TAPS + tap], &code,
                       1);
        assert_int_equal(half[i], code);
    }
    ht_weights_destroy(&weights);
    ht_context_destroy(&context);
    free(values);
    free(got);
    free(half);
}

// A sparse file larger than what drivers import at once: tensors at its end and across the seams.
static void test_far_into_a_large_file(void **state) {
    fixture *f = *state;
    // Header and length take 512 bytes, so that "seam" lies across 512 MiB.
    enum { BEFORE = (512 << 20) - 512 - 32, BETWEEN = 700000000 };
    static const row far = {"far", "F16", HT_FORMAT_F16, 2, {4, 8}, true};
    char header[520];
    float values[32], want[32], got[32];
    uint8_t packed[64];
    snprintf(header, sizeof header,
             "{\"skip\":{\"dtype\":\"U8\",\"shape\":[%d],\"data_offsets\":[0,%d]},"
             "\"seam\":{\"dtype\":\"F16\",\"shape\":[4,8],\"data_offsets\":[%d,%d]},"
             "\"skip2\":{\"dtype\":\"U8\",\"shape\":[%d],\"data_offsets\":[%d,%d]},"
             "\"far\":{\"dtype\":\"F16\",\"shape\":[4,8],\"data_offsets\":[%d,%d]}}",
             BEFORE, BEFORE, BEFORE, BEFORE + 64, BETWEEN, BEFORE + 64, BEFORE + 64 + BETWEEN,
             BEFORE + 64 + BETWEEN, BEFORE + 128 + BETWEEN);
    while (strlen(header) < 504) {
        strcat(header, " ");
    }
    const char *path = ht_test_write_safetensors(&f->folder, "far.safetensors", header, NULL, 0);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    ht_test_fill_normal(11, values, 32);
    ht_format_pack(HT_FORMAT_F16, values, packed, 32);
    ht_format_unpack(HT_FORMAT_F16, packed, want, 32);
    const off_t data = (off_t)(8 + strlen(header));
    assert_int_equal(fseeko(file, data + BEFORE, SEEK_SET), 0);
    assert_int_equal(fwrite(packed, sizeof packed, 1, file), 1);
    assert_int_equal(fseeko(file, data + BEFORE + 64 + BETWEEN, SEEK_SET), 0);
    assert_int_equal(fwrite(packed, sizeof packed, 1, file), 1);
    assert_int_equal(fclose(file), 0);
    ht_context *context = open_context(WAY_DEFAULT);
    ht_weights *weights = open_weights(context, path, HT_FORMAT_NONE);
    row seam = far;
    seam.name = "seam";
    const row *both[] = {&far, &seam};
    for (size_t i = 0; i < HT_COUNT(both); i++) {
        read_by_kernel(context, weights, both[i], HT_WEIGHT_MATRIX, far.dims, 2, got, 32);
        assert_memory_equal(got, want, sizeof want);
    }
    uint64_t total = 0, imported = 0;
    ht_weights_device_bytes(weights, &total, &imported);
    assert_true(total == 128);
    assert_true(imported == (ht_vk_get_limits(context)->host_import ? 128u : 0u));
    ht_weights_destroy(&weights);
    ht_context_destroy(&context);
}

// Fail each host allocation of an upload in turn.
static void test_no_memory(void **state) {
    const fixture *f = *state;
    const uint32_t conv[] = {4, 8, 3, 3};
    ht_test_allocator allocator;
    ht_test_allocator_init(&allocator);
    ht_context_desc context_desc = ht_test_context_desc();
    context_desc.allocator = &allocator.callbacks;
    ht_context *context = NULL;
    assert_int_equal(ht_context_create(&context_desc, &context), HT_OK);
    uint64_t failures = 0;
    for (;; failures++) {
        ht_weights *weights = open_weights(context, f->path, HT_FORMAT_F16);
        ht_tensor_desc desc;
        uint64_t address;
        allocator.fail_at = allocator.calls + failures + 1;
        const ht_status status = ht_weights_device(weights, "conv", HT_WEIGHT_CONV, HT_FORMAT_NONE,
                                                   4, conv, &desc, &address);
        allocator.fail_at = 0;
        if (status == HT_OK) {
            ht_weights_destroy(&weights);
            break;
        }
        assert_int_equal(status, HT_ERR_NO_MEMORY);
        // And the next try succeeds.
        assert_int_equal(ht_weights_device(weights, "conv", HT_WEIGHT_CONV, HT_FORMAT_NONE, 4, conv,
                                           &desc, &address),
                         HT_OK);
        ht_weights_destroy(&weights);
    }
    assert_true(failures >= 4);
    ht_context_destroy(&context);
    assert_int_equal(allocator.live, 0);
}

// Packed a piece at a time: the same as packed in one. Then a value that has no code.
static void test_packed(void **state) {
    fixture *f = *state;
    enum { OUT = 70, IN = 523, TAPS = 9, COUNT = OUT * IN * TAPS };
    static const ht_format formats[] = {HT_FORMAT_INT8,  HT_FORMAT_FP4,   HT_FORMAT_NVFP4,
                                        HT_FORMAT_INT4Z, HT_FORMAT_MXFP8, HT_FORMAT_FP4_I8};
    static float values[COUNT], moved[COUNT], want[COUNT], got[COUNT];
    char header[256];
    ht_test_fill_normal(6, values, COUNT);
    snprintf(header, sizeof header,
             "{\"c\":{\"dtype\":\"F32\",\"shape\":[%d,%d,3,3],\"data_offsets\":[0,%zu]}}", OUT, IN,
             sizeof values);
    for (size_t i = 0; i < COUNT; i++) {
        const size_t o = i / (IN * TAPS), c = i / TAPS % IN, tap = i % TAPS;
        moved[(o * TAPS + tap) * IN + c] = values[i];
    }
    ht_context *context = open_context(WAY_STAGING);
    const char *path =
        ht_test_write_safetensors(&f->folder, "packed.safetensors", header, values, sizeof values);
    ht_weights *weights = open_weights(context, path, HT_FORMAT_F16);
    const uint32_t conv[] = {OUT, IN, 3, 3};
    ht_tensor_desc desc;
    uint64_t address, bytes = 0, total, imported;
    for (size_t i = 0; i < HT_COUNT(formats); i++) {
        assert_int_equal(
            ht_weights_device(weights, "c", HT_WEIGHT_CONV, formats[i], 4, conv, &desc, &address),
            HT_OK);
        assert_int_equal(desc.format, formats[i]);
        void *packed = malloc(ht_desc_bytes(&desc));
        assert_non_null(packed);
        ht_desc_pack(&desc, HT_SCALE_SEARCH, moved, packed);
        ht_desc_unpack(&desc, packed, want);
        assert_int_equal(ht_weights_device_read(weights, "c", HT_WEIGHT_CONV, formats[i], packed,
                                                ht_desc_bytes(&desc)),
                         HT_OK);
        ht_desc_unpack(&desc, packed, got);
        assert_memory_equal(got, want, sizeof got);
        assert_int_equal(ht_weights_format_bytes(weights, formats[i]), ht_desc_bytes(&desc));
        bytes += ht_desc_bytes(&desc);
        free(packed);
    }
    ht_weights_device_bytes(weights, &total, &imported);
    assert_true(total == bytes && imported == 0);
    ht_weights_destroy(&weights);
    values[COUNT - 3] = INFINITY;
    path = ht_test_write_safetensors(&f->folder, "bad.safetensors", header, values, sizeof values);
    weights = open_weights(context, path, HT_FORMAT_F16);
    assert_int_equal(
        ht_weights_device(weights, "c", HT_WEIGHT_CONV, HT_FORMAT_FP4, 4, conv, &desc, &address),
        HT_ERR_IO);
    assert_non_null(strstr(ht_context_message(context), "'c' has infinity at index 329487"));
    ht_weights_destroy(&weights);
    ht_context_destroy(&context);
}

static void read_device(ht_weights *weights, const char *name, ht_weight_layout layout,
                        ht_format format, uint32_t rank, const uint32_t *dims, float *values) {
    static uint8_t bytes[1 << 16];
    ht_tensor_desc desc;
    uint64_t address;
    assert_int_equal(ht_weights_device(weights, name, layout, format, rank, dims, &desc, &address),
                     HT_OK);
    assert_true(ht_desc_bytes(&desc) <= sizeof bytes);
    assert_int_equal(
        ht_weights_device_read(weights, name, layout, format, bytes, ht_desc_bytes(&desc)), HT_OK);
    ht_desc_unpack(&desc, bytes, values);
}

// Each moment of a convolution over time is the plain convolution of its values, packed or not.
static void test_moments(void **state) {
    fixture *f = *state;
    enum { TAPS = 4, COUNT = 5 * 40 * TAPS };
    static float file[6 * COUNT], got[COUNT], want[COUNT];
    const uint32_t dims[] = {5, 40, 3, 2, 2}, flat[] = {5, 40, 2, 2};
    char header[512] =
        "{\"c\":{\"dtype\":\"F32\",\"shape\":[5,40,3,2,2],\"data_offsets\":[0,9600]}";
    ht_test_fill_normal(77, file, 3 * COUNT);
    for (int i = 0; i < 3 * COUNT; i++) {
        file[(3 + i / TAPS % 3) * COUNT + i / (TAPS * 3) * TAPS + i % TAPS] = file[i];
    }
    for (int t = 0; t < 3; t++) {
        snprintf(header + strlen(header), 128,
                 ",\"t%d\":{\"dtype\":\"F32\",\"shape\":[5,40,2,2],\"data_offsets\":[%d,%d]}%s", t,
                 9600 + 3200 * t, 12800 + 3200 * t, t < 2 ? "" : "}");
    }
    const char *path =
        ht_test_write_safetensors(&f->folder, "t.safetensors", header, file, sizeof file);
    ht_context *context = open_context(WAY_DEFAULT);
    static const ht_format formats[] = {HT_FORMAT_F32, HT_FORMAT_F16, HT_FORMAT_INT8,
                                        HT_FORMAT_NVFP4};
    static const char *const names[] = {"t0", "t1", "t2"};
    for (size_t i = 0; i < HT_COUNT(formats); i++) {
        ht_weights *weights = open_weights(context, path, HT_FORMAT_NONE);
        for (int t = 0; t < 3; t++) {
            read_device(weights, "c", (ht_weight_layout)(HT_WEIGHT_TIME_0 + t), formats[i], 5, dims,
                        got);
            read_device(weights, names[t], HT_WEIGHT_CONV, formats[i], 4, flat, want);
            assert_memory_equal(got, want, sizeof got);
        }
        refuse(weights, "c", HT_WEIGHT_TIME_0, 4, flat, HT_ERR_INVALID, "rank 4");
        ht_weights_destroy(&weights);
    }
    ht_context_destroy(&context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_layout_and_format, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bytes_are_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_by_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_large_tensors_in_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_packed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_moments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_far_into_a_large_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}
