// Opening by file, index and folder; reading to the host; memory that runs out at every point.
#include "files.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char single[] = "tests/data/models/tiny-pixart/transformer";
static const char sharded[] = "tests/data/models/tiny-pixart-sharded/transformer";

static ht_context *host_context(const ht_allocator *allocator) {
    ht_context *context = NULL;
    const ht_context_desc desc = {.host_only = true, .allocator = allocator};
    assert_int_equal(ht_context_create(&desc, &context), HT_OK);
    return context;
}

// One checkpoint in one file and in three: the same names, shapes and bytes.
static void test_sharded_equals_single(void **state) {
    (void)state;
    ht_context *context = host_context(NULL);
    ht_weights *a = NULL, *b = NULL;
    assert_int_equal(ht_weights_open(context, &(ht_weights_desc){.path = single}, &a), HT_OK);
    assert_int_equal(ht_weights_open(context, &(ht_weights_desc){.path = sharded}, &b), HT_OK);
    assert_true(ht_weights_count(a) > 10);
    assert_int_equal(ht_weights_count(a), ht_weights_count(b));
    for (size_t i = 0; i < ht_weights_count(a); i++) {
        const ht_weight_info *x = ht_weights_get(a, i);
        const ht_weight_info *y = ht_weights_find(b, x->name);
        assert_non_null(y);
        assert_string_equal(ht_weights_get(b, i)->name, x->name);
        assert_int_equal(x->desc.rank, y->desc.rank);
        assert_memory_equal(x->desc.dims, y->desc.dims, sizeof x->desc.dims);
        assert_int_equal(x->bytes, y->bytes);
        assert_int_equal(x->bytes, ht_desc_bytes(&x->desc));
        assert_memory_equal(x->data, y->data, x->bytes);
        if (i > 0) {
            assert_true(strcmp(ht_weights_get(a, i - 1)->name, x->name) < 0);
        }
    }
    assert_null(ht_weights_find(a, ""));
    assert_null(ht_weights_find(a, "zzz"));
    uint64_t total = 1, imported = 1;
    ht_weights_device_bytes(a, &total, &imported);
    assert_true(total == 0 && imported == 0);
    ht_weights_destroy(&a);
    ht_weights_destroy(&b);
    assert_null(a);
    ht_weights_destroy(&a);
    ht_context_destroy(&context);
}

static void test_folder_prefers_whole_files(void **state) {
    (void)state;
    static const char header[] = "{\"%\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
    // In order of preference; each is written before the ones it wins against.
    static const char *const names[] = {
        "model.fp16.safetensors",
        "model.safetensors",
        "diffusion_pytorch_model.safetensors",
    };
    ht_context *context = host_context(NULL);
    ht_test_folder folder;
    ht_test_folder_open(&folder);
    ht_weights *weights = NULL;
    const ht_weights_desc desc = {.path = folder.path};
    assert_int_equal(ht_weights_open(context, &desc, &weights), HT_ERR_IO);
    assert_non_null(strstr(ht_context_message(context), folder.path));
    assert_non_null(strstr(ht_context_message(context), "model.safetensors"));
    for (size_t i = 0; i < HT_COUNT(names); i++) {
        ht_test_write_safetensors(&folder, names[i], header, NULL, 1);
        assert_int_equal(ht_weights_open(context, &desc, &weights), HT_OK);
        assert_string_equal(ht_weights_path(weights), ht_test_folder_file(&folder, names[i]));
        ht_weights_destroy(&weights);
    }
    ht_test_folder_close(&folder);
    ht_context_destroy(&context);
}

static void test_bad_requests(void **state) {
    (void)state;
    ht_context *context = host_context(NULL);
    ht_weights *weights = NULL;
    assert_int_equal(ht_weights_open(context, &(ht_weights_desc){0}, &weights), HT_ERR_INVALID);
    assert_int_equal(ht_weights_open(context, &(ht_weights_desc){.path = ""}, &weights),
                     HT_ERR_INVALID);
    const ht_weights_desc integers = {.path = single, .format = HT_FORMAT_I32};
    assert_int_equal(ht_weights_open(context, &integers, &weights), HT_ERR_INVALID);
    const ht_weights_desc nonsense = {.path = single, .format = (ht_format)77};
    assert_int_equal(ht_weights_open(context, &nonsense, &weights), HT_ERR_INVALID);
    assert_int_equal(ht_weights_open(context, &(ht_weights_desc){.path = "/nowhere"}, &weights),
                     HT_ERR_IO);
    assert_non_null(strstr(ht_context_message(context), "/nowhere"));
    assert_null(weights);
    ht_context_destroy(&context);
}

static void test_reads_every_float_type(void **state) {
    (void)state;
    static const char header[] =
        "{\"d\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,16]},"
        "\"h\":{\"dtype\":\"F16\",\"shape\":[1,2],\"data_offsets\":[17,21]},"
        "\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[21,25]},"
        "\"one\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[16,17]}}";
    // The odd byte leaves the rest unaligned.
    static const uint8_t data[25] = {0, 0, 0,    0,    0, 0,    0xf8, 0x3f, 0,    0,    0, 0,   0,
                                     0, 0, 0xc0, 0xff, 0, 0x3e, 0,    0xc0, 0xc0, 0x3f, 0, 0xc0};
    static const float want[2] = {1.5f, -2.0f};
    ht_context *context = host_context(NULL);
    ht_test_folder folder;
    ht_test_folder_open(&folder);
    const char *path = ht_test_write_safetensors(&folder, "f.safetensors", header, data, 25);
    ht_weights *weights = NULL;
    assert_int_equal(ht_weights_open(context, &(ht_weights_desc){.path = path}, &weights), HT_OK);
    static const char *const names[] = {"d", "h", "b"};
    for (size_t i = 0; i < HT_COUNT(names); i++) {
        float got[2] = {0};
        assert_int_equal(ht_weights_read_f32(weights, names[i], got, 2), HT_OK);
        assert_memory_equal(got, want, sizeof want);
        assert_int_equal(ht_weights_read_f32(weights, names[i], got, 1), HT_ERR_IO);
        assert_non_null(strstr(ht_context_message(context), "holds 2 values, expected 1"));
    }
    float got;
    assert_int_equal(ht_weights_read_f32(weights, "none", &got, 1), HT_ERR_IO);
    assert_non_null(strstr(ht_context_message(context), "no tensor 'none'"));
    ht_weights_destroy(&weights);
    ht_test_folder_close(&folder);
    ht_context_destroy(&context);
}

// Fail each allocation in turn: always the status for it, nothing left behind.
static void starve(const char *path) {
    ht_test_allocator allocator;
    ht_test_allocator_init(&allocator);
    ht_context *context = host_context(&allocator.callbacks);
    const int64_t live = allocator.live;
    uint64_t allocations = 0;
    for (;; allocations++) {
        ht_weights *weights = NULL;
        allocator.fail_at = allocator.calls + allocations + 1;
        const ht_status status =
            ht_weights_open(context, &(ht_weights_desc){.path = path}, &weights);
        if (status == HT_OK) {
            ht_weights_destroy(&weights);
            break;
        }
        assert_int_equal(status, HT_ERR_NO_MEMORY);
        assert_non_null(strstr(ht_context_message(context), "memory"));
        assert_null(weights);
        assert_int_equal(allocator.live, live);
    }
    assert_true(allocations >= 5);
    assert_int_equal(allocator.live, live);
    ht_context_destroy(&context);
    assert_int_equal(allocator.live, 0);
}

static void test_no_memory(void **state) {
    (void)state;
    starve(single);
    starve(sharded);
}

// A sparse file with tensors on both sides of 4 GiB.
static void test_offsets_beyond_32_bits(void **state) {
    (void)state;
    static const char header[] =
        "{\"big\":{\"dtype\":\"U8\",\"shape\":[4294967293],\"data_offsets\":[0,4294967293]},"
        "\"past\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4294967293,4294967301]}}";
    static const float want[2] = {3.0f, -4.0f};
    if (sizeof(size_t) < 8) {
        skip();
    }
    ht_context *context = host_context(NULL);
    ht_test_folder folder;
    ht_test_folder_open(&folder);
    const char *path = ht_test_write_safetensors(&folder, "big.safetensors", header, NULL, 0);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseeko(file, (off_t)(8 + sizeof header - 1) + (off_t)4294967293, SEEK_SET), 0);
    assert_int_equal(fwrite(want, sizeof want, 1, file), 1);
    assert_int_equal(fclose(file), 0);
    ht_weights *weights = NULL;
    assert_int_equal(ht_weights_open(context, &(ht_weights_desc){.path = path}, &weights), HT_OK);
    float got[2];
    assert_int_equal(ht_weights_read_f32(weights, "past", got, 2), HT_OK);
    assert_memory_equal(got, want, sizeof want);
    ht_weights_destroy(&weights);
    ht_test_folder_close(&folder);
    ht_context_destroy(&context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sharded_equals_single),
        cmocka_unit_test(test_folder_prefers_whole_files),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_reads_every_float_type),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_offsets_beyond_32_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
