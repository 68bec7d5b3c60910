// GGUF files: every type's values against the gguf package, parts of stacked tensors, and each rule
// of docs/checkpoint.md broken once.
#include "files.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN "tests/data/golden/gguf_types"

typedef ht_test_reader fixture;

static ht_weights *open_file(ht_context *context, const char *path) {
    ht_weights *weights;
    if (ht_weights_open(context, &(ht_weights_desc){.path = path}, &weights) != HT_OK) {
        fail_msg("%s", ht_context_message(context));
    }
    return weights;
}

static float *read_all(ht_context *context, ht_weights *weights, const char *name, size_t count) {
    float *values = malloc(count * sizeof(*values));
    assert_non_null(values);
    if (ht_weights_read_f32(weights, name, values, count) != HT_OK) {
        fail_msg("%s", ht_context_message(context));
    }
    return values;
}

// The same floats: what is computed is the same product and sum.
static void test_types(void **state) {
    fixture *f = *state;
    ht_weights *got = open_file(f->context, GOLDEN ".gguf");
    ht_weights *want = open_file(f->context, GOLDEN ".safetensors");
    assert_int_equal(ht_weights_count(got), 12);
    assert_string_equal(ht_weights_metadata(got, "general.architecture"), "sd1");
    for (size_t i = 0; i < ht_weights_count(got); ++i) {
        const ht_weight_info *info = ht_weights_get(got, i);
        const ht_weight_info *other = ht_weights_find(want, info->name);
        size_t count = ht_desc_count(&info->desc);
        assert_non_null(other);
        assert_int_equal(info->desc.rank, other->desc.rank);
        assert_memory_equal(info->desc.dims, other->desc.dims, sizeof(info->desc.dims));
        float *a = read_all(f->context, got, info->name, count);
        float *b = read_all(f->context, want, info->name, count);
        ht_test_assert_close(info->name, a, b, count, 1e-7);
        free(a);
        free(b);
    }
    ht_weights_destroy(&got);
    ht_weights_destroy(&want);
}

// Parts that begin on blocks, and within.
static void check_parts(fixture *f, const char *name, uint32_t parts, uint32_t rows, size_t width) {
    ht_weights *whole = open_file(f->context, GOLDEN ".safetensors");
    float *want = read_all(f->context, whole, name, rows * width);
    size_t count = rows * width / parts;
    for (uint32_t part = 0; part < parts; ++part) {
        ht_weights *cut = open_file(f->context, GOLDEN ".gguf");
        const ht_weight_view view = {.name = "x", .source = name, .part = part, .parts = parts};
        assert_int_equal(ht_weights_view(cut, &view, 1), HT_OK);
        assert_int_equal(ht_weights_count(cut), 1);
        assert_string_equal(ht_weights_get(cut, 0)->source, name);
        assert_int_equal(ht_weights_get(cut, 0)->desc.dims[0], rows / parts);
        float *got = read_all(f->context, cut, "x", count);
        ht_test_assert_close(name, got, want + part * count, count, 1e-7);
        free(got);
        ht_weights_destroy(&cut);
    }
    free(want);
    ht_weights_destroy(&whole);
}

static void test_parts(void **state) {
    check_parts(*state, "Q6_K", 3, 3, 512);
    check_parts(*state, "F32", 2, 2, 15);
    check_parts(*state, "moved", 96, 96, 16); // half a block each
    check_parts(*state, "Q4_0", 3, 3, 512);
}

static void test_transposed(void **state) {
    fixture *f = *state;
    ht_weights *turned = open_file(f->context, GOLDEN ".gguf");
    ht_weights *whole = open_file(f->context, GOLDEN ".safetensors");
    const ht_weight_view views[] = {{.name = "b", .source = "Q5_K", .transposed = true},
                                    {.name = "a", .source = "F16"}};
    assert_int_equal(ht_weights_view(turned, views, 2), HT_OK);
    float *want = read_all(f->context, whole, "Q5_K", 3 * 512);
    float *got = read_all(f->context, turned, "b", 3 * 512);
    for (size_t i = 0; i < 3 * 512; ++i) {
        assert_true(got[i % 512 * 3 + i / 512] == want[i]);
    }
    free(want);
    free(got);
    assert_null(ht_weights_find(turned, "Q5_K"));
    assert_int_equal(ht_weights_view(turned, views, 2), HT_ERR_INVALID);
    ht_weights_destroy(&turned);
    const struct {
        ht_weight_view view;
        const char *says;
    } bad[] = {{{"x", "nothing", 0, 0, false}, "lacks tensor 'nothing'"},
               {{"x", "Q5_K", 0, 2, false}, "2 equal parts"},
               {{"x", "F16", 0, 0, true}, "expected a matrix"}};
    for (size_t i = 0; i < HT_COUNT(bad); ++i) {
        turned = open_file(f->context, GOLDEN ".gguf");
        assert_int_equal(ht_weights_view(turned, &bad[i].view, 1), HT_ERR_IO);
        assert_non_null(strstr(ht_context_message(f->context), bad[i].says));
        ht_weights_destroy(&turned);
    }
    ht_weights_destroy(&whole);
}

// ---- bad files

// A file of two tensors, sound unless a row says otherwise; 0 and NULL: as usual.
typedef struct bad_row {
    const char *says;
    ht_status status;
    uint32_t version, rank, type, alignment;
    uint64_t tensors, keys, dim, offset;
    const char *name;    // of the second tensor
    uint32_t original;   // first number of its original shape
    const char *again;   // this key twice
    size_t cut;          // bytes that are left out at the end
    uint32_t value_type; // of a key
    uint64_t array;      // items of an array
} bad_row;

typedef struct buffer {
    uint8_t bytes[4096];
    size_t count;
} buffer;

static void put(buffer *b, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) {
        b->bytes[b->count++] = (uint8_t)(value >> 8 * i);
    }
}

static void put_text(buffer *b, const char *text) {
    put(b, strlen(text), 8);
    memcpy(b->bytes + b->count, text, strlen(text));
    b->count += strlen(text);
}

static void put_tensor(buffer *b, const char *name, uint32_t rank, uint64_t dim, uint32_t type,
                       uint64_t offset) {
    put_text(b, name);
    put(b, rank, 4);
    put(b, dim, 8);
    for (uint32_t i = 1; i < rank && i < 8; ++i) {
        put(b, 2, 8);
    }
    put(b, type, 4);
    put(b, offset, 8);
}

static void put_keys(buffer *b, const bad_row *row) {
    put_text(b, "general.alignment");
    put(b, 4, 4);
    put(b, row->alignment ? row->alignment : 32, 4);
    put_text(b, "comfy.gguf.orig_shape.a");
    put(b, 9, 4);
    put(b, 5, 4);
    put(b, 2, 8);
    put(b, row->original ? row->original : 4, 4);
    put(b, 16, 4);
    for (int i = 0; i < 2; ++i) {
        put_text(b, i == 0 ? "one" : row->again ? row->again : "two");
        put(b, 8, 4);
        put_text(b, "text");
    }
    put_text(b, "list");
    put(b, row->value_type ? row->value_type : 9, 4);
    put(b, 8, 4);
    put(b, row->array ? row->array : 1, 8);
    put_text(b, "word");
}

static const char *write_row(fixture *f, const bad_row *row) {
    buffer b = {0};
    memcpy(b.bytes, "GGUF", 4);
    b.count = 4;
    put(&b, row->version ? row->version : 3, 4);
    put(&b, row->tensors ? row->tensors : 2, 8);
    put(&b, row->keys ? row->keys : 5, 8);
    put_keys(&b, row);
    put_tensor(&b, "a", 2, 32, 2, 0); // 64 values of Q4_0: 36 bytes
    put_tensor(&b, row->name ? row->name : "b", row->rank ? row->rank : 1, row->dim ? row->dim : 32,
               row->type ? row->type : 8, row->offset ? row->offset : 64);
    b.count = (b.count + 31) / 32 * 32 + 64 + 36;
    return ht_test_write(&f->folder, "bad.gguf", b.bytes, b.count - row->cut);
}

static void test_bad(void **state) {
    static const bad_row rows[] = {
        {.says = NULL},
        {.says = "GGUF of version 1", .version = 1},
        {.says = "GGUF of version 50331648", .version = 0x03000000},
        {.says = "numbers of tensors or keys", .tensors = 1000000},
        {.says = "numbers of tensors or keys", .tensors = UINT64_MAX},
        {.says = "numbers of tensors or keys", .keys = UINT64_MAX / 13},
        {.says = "at byte", .keys = 6},
        {.says = "at byte", .tensors = 3},
        {.says = "strange alignment", .alignment = 24},
        {.says = "strange alignment", .alignment = 1u << 31},
        {.says = "'b': its data is not aligned", .offset = 72},
        {.says = "'a': its original shape has another number", .original = 5},
        {.says = "'a': its original shape has another number", .original = UINT32_MAX},
        {.says = "key 'one' appears twice", .again = "one"},
        {.says = "a key that is empty", .again = ""},
        {.says = "an unknown type of value", .value_type = 13},
        {.says = "at byte", .array = UINT64_MAX},
        {.says = "more than 4 dimensions", .rank = 5},
        {.says = "'b': its shape is too large", .rank = 4, .dim = UINT64_MAX / 2},
        {.says = "rows of 31 values, but Q8_0 has blocks of 32", .dim = 31},
        {.says = "'b': its data goes beyond", .dim = 64},
        {.says = "'b': its data goes beyond", .offset = UINT64_MAX - 31},
        {.says = "'b': its data goes beyond", .cut = 3},
        {.says = "'b': its data lies over another", .offset = 32},
        {.says = "'a': it appears twice", .name = "a", .dim = 64, .type = 2},
        {.says = "a tensor's name that is empty", .name = ""},
        {.says = "control characters", .name = "b\n"},
        {.says = "of type Q2_K (10); supported: F32", .type = 10, .status = HT_ERR_UNSUPPORTED},
        {.says = "of type unknown (99)", .type = 99, .status = HT_ERR_UNSUPPORTED},
        {.says = "at byte", .cut = 200},
    };
    fixture *f = *state;
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        const char *path = write_row(f, &rows[i]);
        ht_weights *weights;
        ht_status want = !rows[i].says ? HT_OK : rows[i].status ? rows[i].status : HT_ERR_IO;
        ht_status status = ht_weights_open(f->context, &(ht_weights_desc){.path = path}, &weights);
        const char *message = ht_context_message(f->context);
        if (status != want || (rows[i].says && !strstr(message, rows[i].says))) {
            fail_msg("row %zu: %s, '%s'", i, ht_status_name(status), message);
        }
        ht_weights_destroy(&weights);
    }
}

// Cut anywhere, the file is refused.
static void test_truncated(void **state) {
    fixture *f = *state;
    size_t bytes;
    uint8_t *data = ht_test_read_file(GOLDEN ".gguf", &bytes);
    for (size_t cut = 4; cut < bytes; cut += cut < 1500 ? 7 : 501) {
        ht_weights *weights;
        const char *path = ht_test_write(&f->folder, "cut.gguf", data, cut);
        assert_int_equal(ht_weights_open(f->context, &(ht_weights_desc){.path = path}, &weights),
                         HT_ERR_IO);
    }
    free(data);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, ht_test_reader_open, ht_test_reader_close)
    const struct CMUnitTest tests[] = {
        TEST(test_types), TEST(test_parts),     TEST(test_transposed),
        TEST(test_bad),   TEST(test_truncated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
