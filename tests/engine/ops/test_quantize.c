// quantize: codes and scales against the host's packer, what is refused, and reshapes.
#include "support.h"

#include "formats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const ht_format FORMATS[] = {
    HT_FORMAT_E4M3,  HT_FORMAT_E5M2,     HT_FORMAT_E3M4,        HT_FORMAT_E2M5,
    HT_FORMAT_MXFP8, HT_FORMAT_FP4,      HT_FORMAT_FP4_E1M2,    HT_FORMAT_FP4_E3M0,
    HT_FORMAT_NVFP4, HT_FORMAT_MXFP4,    HT_FORMAT_INT8,        HT_FORMAT_INT8_G32,
    HT_FORMAT_INT4,  HT_FORMAT_INT4_G32, HT_FORMAT_INT4_PLANES, HT_FORMAT_INT8_PLANES};

static void must(ht_context *context, ht_status status) {
    if (status != HT_OK) {
        fail_msg("%s", ht_context_message(context));
    }
}

// Quantize on the device; the bytes of the packed block, free() them.
static uint8_t *on_device(ht_context *context, const ht_tensor_desc *x, const float *values,
                          const ht_tensor_desc *packed) {
    const ht_graph_desc desc = {.label = "quantize", .activations = HT_FORMAT_F32};
    ht_tensor *in = NULL, *out = NULL;
    ht_graph *g = NULL;
    uint8_t *bytes = malloc(ht_desc_bytes(packed));
    assert_non_null(bytes);
    memset(bytes, 0xee, ht_desc_bytes(packed));
    must(context, ht_tensor_create(context, x, &in));
    must(context, ht_tensor_create(context, packed, &out));
    must(context, ht_tensor_write_f32(in, values, ht_desc_count(x)));
    must(context,
         ht_tensor_write(out, bytes, ht_desc_bytes(packed))); // every byte is to be written
    must(context, ht_graph_create(context, &desc, &g));
    ht_graph_output(g, ht_op_quantize(g, ht_graph_tensor(g, in), packed->format), out);
    must(context, ht_graph_finish(g));
    must(context, ht_graph_run(g));
    must(context, ht_tensor_read(out, bytes, ht_desc_bytes(packed)));
    ht_graph_destroy(&g);
    ht_tensor_destroy(&in);
    ht_tensor_destroy(&out);
    return bytes;
}

// A code's place among the codes in order of their values.
static int place(const ht_fmt_row *row, uint32_t code) {
    const uint32_t sign = 1u << (row->bits - 1);
    if (row->kind == HT_FMT_MINIFLOAT) {
        return code & sign ? -(int)(code & (sign - 1)) : (int)code;
    }
    return (int)(code ^ sign) - (int)sign;
}

// Scales: Vulkan allows a division 2.5 units in the last place. f32 scales may be off by that; f16
// and E4M3 by one of theirs, where the quotient lies on a tie; powers of two come from the exponent
// and are exact.
static void check_scales(const ht_fmt_row *row, const ht_packed_layout *at, const uint8_t *got,
                         const uint8_t *want) {
    static const double bounds[] = {0, 0x1p-21, 0x1p-10, 0, 0x1p-3};
    for (uint64_t i = 0; i < at->rows * at->groups; i++) {
        const double a = (double)ht_fmt_scale_value(row, got + at->scales_offset, i);
        const double b = (double)ht_fmt_scale_value(row, want + at->scales_offset, i);
        // Subnormal scales have fewer bits than their type; the smallest step covers it.
        const double step = row->scale == HT_FMT_SCALE_F16 ? 0x1p-24 : 0;
        if (!(fabs(a - b) <= bounds[row->scale] * b + step)) {
            fail_msg("%s: scale %llu is %g, not %g", row->name, (unsigned long long)i, a, b);
        }
    }
}

// A value times 1 / scale has a relative error of a few 2^-24 on either side, so that it rounds to
// another code only within 2^-21 of itself of a tie: for eight bits, whose codes have up to 2^7
// steps, about one value in 2^14 (minifloats have fewer steps to an octave, and four bits fewer
// still); and a whole group in the rare case above. Then the code is a neighbour. 1 in 1000 is ten
// times what that gives.
static void check_codes(const char *what, const ht_tensor_desc *packed, const uint8_t *got,
                        const uint8_t *want) {
    const ht_fmt_row *row = ht_fmt_find(packed->format);
    ht_packed_layout at;
    ht_packed_layout_of(packed, &at);
    uint64_t others = 0;
    for (uint64_t i = 0; i < at.rows * at.padded; i++) {
        const uint64_t before = i / at.padded * at.row_bytes;
        const uint32_t a = ht_fmt_get_code(row, got + before, (uint32_t)(i % at.padded));
        const uint32_t b = ht_fmt_get_code(row, want + before, (uint32_t)(i % at.padded));
        const int apart = abs(place(row, a) - place(row, b));
        others += apart != 0;
        if (apart > 1 || (i % at.padded >= at.width && a != 0)) {
            fail_msg("%s %s: code %u, not %u, at %u of row %u", what, row->name, a, b,
                     (uint32_t)(i % at.padded), (uint32_t)(i / at.padded));
        }
    }
    if (others * 1000 > at.rows * at.width) {
        fail_msg("%s %s: %llu of %llu codes differ", what, row->name, (unsigned long long)others,
                 (unsigned long long)(at.rows * at.width));
    }
    check_scales(row, &at, got, want);
    if (row->scale == HT_FMT_SCALE_E4M3) {
        const float one = 1;
        assert_memory_equal(got + at.outer_offset, &one, sizeof one);
    }
}

static void check_values(const char *what, uint32_t rows, uint32_t width, ht_format in,
                         const float *values) {
    static const ht_tier tiers[] = {HT_TIER_PORTABLE, HT_TIER_CPU};
    const ht_tensor_desc x = {.format = in, .rank = 2, .dims = {rows, width}};
    const size_t count = ht_desc_count(&x);
    float *rounded = malloc(count * sizeof *rounded);
    uint8_t *plain = malloc(ht_desc_bytes(&x));
    assert_non_null(rounded);
    assert_non_null(plain);
    ht_format_pack(in, values, plain, count); // what the device is given
    ht_format_unpack(in, plain, rounded, count);
    for (size_t t = 0; t < HT_COUNT(tiers); t++) {
        ht_context *context = ht_test_context(tiers[t]);
        for (size_t f = 0; f < HT_COUNT(FORMATS) && context != NULL; f++) {
            ht_tensor_desc packed = x;
            packed.format = FORMATS[f];
            uint8_t *want = malloc(ht_desc_bytes(&packed));
            assert_non_null(want);
            ht_fmt_pack_rows(&packed, HT_SCALE_MAX, 1, rounded, want);
            uint8_t *got = on_device(context, &x, rounded, &packed);
            check_codes(what, &packed, got, want);
            free(got);
            free(want);
        }
    }
    free(rounded);
    free(plain);
}

static void test_widths(void **state) {
    (void)state;
    // Whole and broken groups and quads; 1152 is that of real models.
    static const uint32_t widths[] = {1, 7, 32, 36, 63, 80, 192, 1152};
    enum { ROWS = 9 };
    static float values[ROWS * 1152];
    for (size_t i = 0; i < HT_COUNT(widths); i++) {
        char what[32];
        snprintf(what, sizeof what, "width %u", widths[i]);
        ht_test_fill_normal(i + 1, values, ROWS * widths[i]);
        check_values(what, ROWS, widths[i], HT_FORMAT_F32, values);
    }
    check_values("f16", ROWS, 1152, HT_FORMAT_F16, values);
    check_values("bf16", ROWS, 63, HT_FORMAT_BF16, values);
}

static void test_sizes(void **state) {
    (void)state;
    // Rows from subnormals, which count as 0, to near the largest float, and an outlier in each.
    enum { ROWS = 67, WIDTH = 128 };
    static float values[ROWS * WIDTH];
    ht_test_fill_normal(5, values, ROWS * WIDTH);
    for (int i = 0; i < ROWS * WIDTH; i++) {
        values[i] = ldexpf(values[i], (i / WIDTH - 34) * 4) * (i % 37 == 5 ? 8.0f : 1.0f);
    }
    check_values("sizes", ROWS, WIDTH, HT_FORMAT_F32, values);
}

static void test_ties(void **state) {
    (void)state;
    // Largest values that give a scale of 1 (int8, e4m3, fp4, int4), and small steps below: ties go
    // to even, with both signs.
    static const float tops[] = {127, 448, 6, 7};
    enum { WIDTH = 1024 };
    static float values[WIDTH];
    for (size_t t = 0; t < HT_COUNT(tops); t++) {
        const float step = tops[t] > 100 ? 0.5f : 0.25f;
        for (int i = 0; i < WIDTH; i++) {
            const float size = fminf(step * (float)(i / 2), tops[t]);
            values[i] = i % 16 == 0 ? tops[t] : i % 2 ? size : -size;
        }
        check_values("ties", 1, WIDTH, HT_FORMAT_F32, values);
    }
}

static void test_no_numbers(void **state) {
    (void)state;
    enum { ROWS = 5, WIDTH = 70 };
    static float values[ROWS * WIDTH]; // the first row is 0
    ht_test_fill_normal(6, values + WIDTH, (ROWS - 1) * WIDTH);
    values[WIDTH + 3] = NAN;
    values[2 * WIDTH + 40] = INFINITY;
    values[3 * WIDTH] = -INFINITY;
    values[4 * WIDTH + 9] = -0.0f;
    check_values("no numbers", ROWS, WIDTH, HT_FORMAT_F32, values);
}

static ht_value build(ht_graph *g, const ht_value *in, const void *format) {
    return ht_op_quantize(g, in[0], *(const ht_format *)format);
}

static void test_rules(void **state) {
    (void)state;
    static const struct {
        ht_format in, out;
        const char *part;
    } rows[] = {
        {HT_FORMAT_I32, HT_FORMAT_INT8, "x must be f32, f16 or bf16, not i32"},
        {HT_FORMAT_INT8, HT_FORMAT_INT8, "x must be f32, f16 or bf16, not int8"},
        {HT_FORMAT_F32, HT_FORMAT_F16, "packed and without zero points, not f16"},
        {HT_FORMAT_F32, HT_FORMAT_INT4Z, "packed and without zero points, not int4z"},
        {HT_FORMAT_F32, HT_FORMAT_BIN1, "bin1 has too few levels"},
        {HT_FORMAT_F32, HT_FORMAT_NONE, "packed and without zero points, not none"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        const ht_test_op op = {.name = "quantize",
                               .build = build,
                               .args = &rows[i].out,
                               .n_inputs = 1,
                               .inputs = {{rows[i].in, 2, {3, 64}, NULL}}};
        ht_test_op_refuse(&op, HT_ERR_INVALID, rows[i].part);
    }
}

static ht_value reshape_rows(ht_graph *g, const ht_value *in, const void *args) {
    (void)args;
    return ht_op_reshape(g, ht_op_quantize(g, in[0], HT_FORMAT_INT8), 3, (uint32_t[]){2, 3, 40});
}

static ht_value reshape_width(ht_graph *g, const ht_value *in, const void *args) {
    (void)args;
    return ht_op_reshape(g, ht_op_quantize(g, in[0], HT_FORMAT_INT8), 2, (uint32_t[]){12, 20});
}

static ht_value slice_rows(ht_graph *g, const ht_value *in, const void *args) {
    (void)args;
    return ht_op_slice(g, ht_op_quantize(g, in[0], HT_FORMAT_INT8), 0, 2, 2);
}

static void test_reshape(void **state) {
    (void)state;
    const ht_test_input x = {HT_FORMAT_F32, 2, {6, 40}, NULL};
    ht_test_op op = {
        .name = "reshape of packed rows", .build = reshape_rows, .n_inputs = 1, .inputs = {x}};
    ht_test_output output;
    ht_test_op_run(&op, HT_TIER_AUTO, HT_FORMAT_F32, &output);
    assert_int_equal(output.desc.format, HT_FORMAT_INT8);
    assert_int_equal(output.desc.rank, 3);
    // Half a code of the row's largest value, about 3 of a unit normal: 3 / 254 at the most.
    float want[240];
    ht_test_fill_normal(1, want, 240);
    for (int i = 0; i < 240; i++) {
        assert_true(fabsf(output.values[i] - want[i]) < 0.02f);
    }
    free(output.values);
    op.build = reshape_width;
    ht_test_op_refuse(&op, HT_ERR_INVALID, "int8 [6, 40] is packed by rows; its last dimension");
    op.build = slice_rows;
    ht_test_op_refuse(&op, HT_ERR_INVALID, "x must be f32, f16 or bf16, not int8");
}

static void test_outputs(void **state) {
    (void)state;
    // A packed value goes to a tensor of its format only.
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    const ht_tensor_desc x = {.format = HT_FORMAT_F32, .rank = 2, .dims = {2, 32}};
    const ht_graph_desc desc = {.label = "outputs", .activations = HT_FORMAT_F32};
    ht_tensor *in = NULL, *out = NULL;
    ht_graph *g = NULL;
    must(context, ht_tensor_create(context, &x, &in));
    must(context, ht_tensor_create(context, &x, &out));
    must(context, ht_graph_create(context, &desc, &g));
    ht_graph_output(g, ht_op_quantize(g, ht_graph_tensor(g, in), HT_FORMAT_INT8), out);
    assert_int_equal(ht_graph_finish(g), HT_ERR_INVALID);
    assert_non_null(strstr(ht_context_message(context), "not int8"));
    ht_graph_destroy(&g);
    ht_tensor_destroy(&in);
    ht_tensor_destroy(&out);
}

static void test_same_node(void **state) {
    (void)state;
    ht_context *context = ht_test_context(HT_TIER_AUTO);
    const ht_tensor_desc x = {.format = HT_FORMAT_F32, .rank = 2, .dims = {2, 32}};
    const ht_graph_desc desc = {.label = "same", .activations = HT_FORMAT_F32};
    ht_tensor *in = NULL;
    ht_graph *g = NULL;
    must(context, ht_tensor_create(context, &x, &in));
    must(context, ht_graph_create(context, &desc, &g));
    const ht_value v = ht_graph_tensor(g, in);
    const ht_value a = ht_op_quantize(g, v, HT_FORMAT_INT8);
    const ht_value b = ht_op_quantize(g, v, HT_FORMAT_INT8_G32);
    assert_int_equal(ht_op_quantize(g, v, HT_FORMAT_INT8).id, a.id);
    assert_int_equal(ht_op_quantize(g, v, HT_FORMAT_INT8_G32).id, b.id);
    assert_int_not_equal(a.id, b.id);
    assert_int_not_equal(ht_op_quantize(g, ht_op_affine(g, v, 2, 0), HT_FORMAT_INT8).id, a.id);
    ht_graph_destroy(&g);
    ht_tensor_destroy(&in);
}

static void test_without_host_memory(void **state) {
    (void)state;
    static const ht_format format = HT_FORMAT_INT8;
    const ht_test_op op = {.name = "quantize without memory",
                           .build = build,
                           .args = &format,
                           .n_inputs = 1,
                           .inputs = {{HT_FORMAT_F32, 2, {2, 64}, NULL}}};
    ht_test_op_starve(&op);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_widths),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_no_numbers),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_reshape),
        cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_same_node),
        cmocka_unit_test(test_without_host_memory),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}
