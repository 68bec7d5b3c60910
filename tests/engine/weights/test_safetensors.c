// Single files: each rule of docs/checkpoint.md broken once, with its status and sentence.
#include "files.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef ht_test_reader fixture;

// Opening must fail, naming the file and `part`.
static void refuse(fixture *f, const char *path, const char *part) {
    ht_weights *weights = NULL;
    const ht_status status =
        ht_weights_open(f->context, &(ht_weights_desc){.path = path}, &weights);
    const char *message = ht_context_message(f->context);
    if (status != HT_ERR_IO || !strstr(message, part) || !strstr(message, path)) {
        print_error("status %s, sentence \"%s\", expected \"%s\"\n", ht_status_name(status),
                    message, part);
        fail();
    }
    assert_null(weights);
}

// A header that must be refused; `bytes` of zeros follow it.
typedef struct bad_row {
    const char *header;
    size_t bytes;
    const char *part;
} bad_row;

#define T(name, rest) "{\"" name "\":{" rest "}}"
#define F32_4 "\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]"

static const bad_row bad_rows[] = {
    // JSON
    {" " T("a", F32_4), 16, "expected '{' at byte 8"},
    {"[]", 0, "expected '{'"},
    {"{\"a\":", 0, "'a': expected an object at byte 13"},
    {T("a", F32_4) "x", 16, "something follows the end at byte"},
    {T("a\xff", F32_4), 16, "invalid UTF-8 at byte 11"},
    {"{\"__metadata__\":{\"k\":\"\xc3\x28\"}}", 0, "'__metadata__': invalid UTF-8"},
    {T("a", F32_4 ",\"x\":[[[[[[[1]]]]]]]"), 16, "'a': nested too deep"},
    // names
    {T("", F32_4), 16, "empty tensor name"},
    {T("a\\u0000b", F32_4), 16, "control character in a tensor name"},
    {T("a\\nb", F32_4), 16, "control character in a tensor name"},
    {T("a\\u007f", F32_4), 16, "control character in a tensor name"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
     8, "tensor 'a' appears twice"},
    {"{\"\\u0061\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
     8, "tensor 'a' appears twice"},
    // fields
    {T("a", "\"shape\":[4],\"data_offsets\":[0,16]"), 16, "'a': dtype, shape or data_offsets"},
    {T("a", "\"dtype\":\"F32\",\"data_offsets\":[0,16]"), 16, "'a': dtype, shape or data_offsets"},
    {T("a", "\"dtype\":\"F32\",\"shape\":[4]"), 16, "'a': dtype, shape or data_offsets"},
    {T("a", F32_4 ",\"shape\":[4]"), 16, "'a': field given twice"},
    {T("a", "\"dtype\":4,\"shape\":[4],\"data_offsets\":[0,16]"), 16, "'a': expected a string"},
    {T("a", "\"dtype\":\"\",\"shape\":[4],\"data_offsets\":[0,16]"), 16, "not a short name"},
    {"{\"a\":7}", 0, "'a': expected an object"},
    // numbers
    {T("a", "\"dtype\":\"F32\",\"shape\":[-4],\"data_offsets\":[0,16]"), 16,
     "'a': negative number"},
    {T("a", "\"dtype\":\"F32\",\"shape\":[4.0],\"data_offsets\":[0,16]"), 16,
     "'a': not a whole number"},
    {T("a", "\"dtype\":\"F32\",\"shape\":[4e0],\"data_offsets\":[0,16]"), 16,
     "'a': not a whole number"},
    {T("a", "\"dtype\":\"F32\",\"shape\":[9007199254740993],\"data_offsets\":[0,16]"), 16,
     "'a': number above 2^53"},
    {T("a", "\"dtype\":\"F32\",\"shape\":[\"4\"],\"data_offsets\":[0,16]"), 16,
     "'a': expected a number"},
    {T("a", "\"dtype\":\"F32\",\"shape\":4,\"data_offsets\":[0,16]"), 16, "'a': expected an array"},
    {T("a", "\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0]"), 16,
     "'a': data_offsets without"},
    {T("a", "\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16,16]"), 16,
     "'a': data_offsets without"},
    {T("a", "\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,-16]"), 16,
     "'a': negative number"},
    // sizes
    {T("a", "\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[16,0]"), 16,
     "tensor 'a': data_offsets"},
    {T("a", "\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,17]"), 16,
     "tensor 'a': data_offsets [0, 17] outside the 16 bytes"},
    {T("a", "\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,9007199254740992]"), 16,
     "outside"},
    {T("a", "\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[0,16]"), 16,
     "tensor 'a': 5 values of F32 do not take the 16 bytes"},
    {T("a", "\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[0,16]"), 16, "4 values of F16"},
    {T("a", "\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,16]"), 16, "0 values of F32"},
    {T("a", "\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]"), 1, "3 values of F4"},
    {T("a", "\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],\"data_offsets\":[0,16]"), 16,
     "'a': shape whose product overflows"},
    {T("a", "\"dtype\":\"F64\",\"shape\":[2097152,2097152,1048576],\"data_offsets\":[0,16]"), 16,
     "tensor 'a': 4611686018427387904 values of F64"},
    {T("a", "\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,4],\"data_offsets\":[0,16]"), 16,
     "'a': more than 8 dimensions"},
    // coverage
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
     12, "tensor 'b': data begins at 4, overlapping 8"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
     8, "overlapping"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[12,20]}}",
     20, "tensor 'b': data begins at 12, leaving a hole after 8"},
    {T("a", "\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[4,20]"), 20,
     "leaving a hole after 0"},
    {T("a", F32_4), 17, "tensors end at byte 16 of the data, but the file has 17"},
    {"{}", 1, "tensors end at byte 0 of the data, but the file has 1"},
    // metadata
    {"{\"__metadata__\":{\"k\":1}}", 0, "'__metadata__': expected a string"},
    {"{\"__metadata__\":[]}", 0, "'__metadata__': expected an object"},
    {"{\"__metadata__\":{\"k\":\"\\u0000\"}}", 0, "'__metadata__': NUL"},
    {"{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0, "key 'k' appears twice"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__ appears twice"},
};

static void test_every_rule(void **state) {
    fixture *f = *state;
    for (size_t i = 0; i < HT_COUNT(bad_rows); i++) {
        refuse(f,
               ht_test_write_safetensors(&f->folder, "bad.safetensors", bad_rows[i].header, NULL,
                                         bad_rows[i].bytes),
               bad_rows[i].part);
    }
}

static void test_length_field(void **state) {
    fixture *f = *state;
    static const struct {
        uint8_t bytes[16];
        size_t count;
        const char *part;
    } rows[] = {
        {{0}, 0, "0 bytes are too few"},
        {{1, 2, 3}, 7, "7 bytes are too few"},
        {{0}, 8, "header of 0 bytes"},
        {{0, 0, 0, 0, 0, 0, 0, 0, '{', '}'}, 10, "header of 0 bytes"},
        {{3, 0, 0, 0, 0, 0, 0, 0, '{', '}'}, 10, "header of 3 bytes, but the file ends after 2"},
        {{1, 0xe1, 0xf5, 5, 0, 0, 0, 0, '{', '}'}, 10, "header of 100000001 bytes"},
        {{255, 255, 255, 255, 255, 255, 255, 255, '{', '}'}, 10, "header of 18446744073709551615"},
        {{248, 255, 255, 255, 255, 255, 255, 255, '{', '}'}, 10, "header of"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        refuse(f, ht_test_write(&f->folder, "short.safetensors", rows[i].bytes, rows[i].count),
               rows[i].part);
    }
}

static void test_long_names(void **state) {
    fixture *f = *state;
    for (int length = 512; length <= 513; length++) {
        char name[600], header[800];
        memset(name, 'n', sizeof name);
        name[length] = '\0';
        snprintf(header, sizeof header, "{\"%s\":{" F32_4 "}}", name);
        const char *path =
            ht_test_write_safetensors(&f->folder, "long.safetensors", header, NULL, 16);
        if (length == 513) {
            refuse(f, path, "tensor name of more than 512 bytes");
            continue;
        }
        ht_weights *weights = NULL;
        assert_int_equal(ht_weights_open(f->context, &(ht_weights_desc){.path = path}, &weights),
                         HT_OK);
        assert_non_null(ht_weights_find(weights, name));
        ht_weights_destroy(&weights);
    }
}

// A good file cut anywhere is refused.
static void test_every_cut(void **state) {
    fixture *f = *state;
    static const char header[] =
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
        "\"b\":{\"dtype\":\"F16\",\"shape\":[1,3],\"data_offsets\":[8,14]}}  ";
    size_t bytes = 0;
    uint8_t *whole = ht_test_read_file(
        ht_test_write_safetensors(&f->folder, "good.safetensors", header, NULL, 14), &bytes);
    for (size_t length = 0; length < bytes; length++) {
        const char *path = ht_test_write(&f->folder, "cut.safetensors", whole, length);
        refuse(f, path, "weights '");
    }
    free(whole);
}

static void test_unusual_but_legal(void **state) {
    fixture *f = *state;
    // Order of fields, unknown fields, escapes in names, empty tensors, scalars, padding, a dtype
    // nobody knows, more dimensions than a tensor description has.
    static const char header[] =
        "{\"empty\":{\"shape\":[3,0],\"data_offsets\":[8,8],\"dtype\":\"F32\"},"
        "\"\\u00e9 "
        "\\\"q\\\"\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4],\"x\":{\"y\":[1.5]}},"
        "\"new\":{\"dtype\":\"F7_X\",\"shape\":[2],\"data_offsets\":[4,8]},"
        "\"__metadata__\":{\"format\":\"pt\",\"note\":\"two\\nlines\"},"
        "\"deep\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,2],\"data_offsets\":[8,10]},"
        "\"nibbles\":{\"dtype\":\"F4\",\"shape\":[2,2],\"data_offsets\":[10,12]},"
        "\"int\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[12,20]}} \n";
    const float one = 1.5f;
    uint8_t data[20] = {0};
    memcpy(data, &one, 4);
    const char *path =
        ht_test_write_safetensors(&f->folder, "odd.safetensors", header, data, sizeof data);
    ht_weights *weights = NULL;
    assert_int_equal(ht_weights_open(f->context, &(ht_weights_desc){.path = path}, &weights),
                     HT_OK);
    assert_int_equal(ht_weights_count(weights), 6);
    const ht_weight_info *scalar = ht_weights_find(weights, "\xc3\xa9 \"q\"");
    assert_non_null(scalar);
    assert_int_equal(scalar->desc.rank, 0);
    assert_int_equal(scalar->bytes, 4);
    assert_memory_equal(scalar->data, &one, 4);
    assert_string_equal(scalar->file, path);
    const ht_weight_info *unknown = ht_weights_find(weights, "new");
    assert_string_equal(unknown->dtype, "F7_X");
    assert_int_equal(unknown->desc.format, HT_FORMAT_NONE);
    assert_int_equal(ht_weights_find(weights, "empty")->bytes, 0);
    assert_int_equal(ht_weights_find(weights, "int")->desc.format, HT_FORMAT_NONE);
    assert_string_equal(ht_weights_metadata(weights, "note"), "two\nlines");
    assert_string_equal(ht_weights_metadata(weights, "format"), "pt");
    assert_null(ht_weights_metadata(weights, "other"));
    // What cannot be computed with fails when it is used.
    float value = 0;
    assert_int_equal(ht_weights_read_f32(weights, "new", &value, 1), HT_ERR_UNSUPPORTED);
    assert_non_null(strstr(ht_context_message(f->context), "tensor 'new' holds F7_X"));
    assert_int_equal(ht_weights_read_f32(weights, "int", &value, 1), HT_ERR_UNSUPPORTED);
    assert_int_equal(ht_weights_read_f32(weights, "\xc3\xa9 \"q\"", &value, 1), HT_OK);
    assert_true(value == 1.5f);
    ht_weights_destroy(&weights);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_rule, ht_test_reader_open, ht_test_reader_close),
        cmocka_unit_test_setup_teardown(test_length_field, ht_test_reader_open,
                                        ht_test_reader_close),
        cmocka_unit_test_setup_teardown(test_long_names, ht_test_reader_open, ht_test_reader_close),
        cmocka_unit_test_setup_teardown(test_every_cut, ht_test_reader_open, ht_test_reader_close),
        cmocka_unit_test_setup_teardown(test_unusual_but_legal, ht_test_reader_open,
                                        ht_test_reader_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
