// Device memory: arenas, limits, staging copies, imported mappings, tensors.
#include "support.h"

#include "gpu.h"

#include <stdlib.h>
#include <string.h>

static ht_context *open_context(bool staging, uint64_t max_bytes) {
    ht_context_desc desc = ht_test_context_desc();
    ht_context *context = NULL;
    desc.staging = staging;
    desc.max_device_bytes = max_bytes;
    assert_int_equal(ht_context_create(&desc, &context), HT_OK);
    return context;
}

static void check_round_trip(bool staging) {
    ht_context *context = open_context(staging, 0);
    // Longer than the staging block, and no multiple of it.
    const size_t bytes = ((size_t)33 << 20) + 1237;
    unsigned char *in = malloc(bytes);
    unsigned char *out = malloc(bytes);
    for (size_t i = 0; i < bytes; i++) {
        in[i] = (unsigned char)(i * 2654435761u >> 13);
    }
    ht_vk_range range;
    assert_int_equal(ht_vk_alloc(context, bytes, "round trip", &range), HT_OK);
    assert_true((range.host == NULL) == staging);
    assert_int_equal(ht_vk_write(context, &range, 0, in, bytes), HT_OK);
    assert_int_equal(ht_vk_read(context, &range, 0, out, bytes), HT_OK);
    assert_memory_equal(in, out, bytes);
    assert_int_equal(ht_vk_read(context, &range, 1000, out, 77), HT_OK);
    assert_memory_equal(in + 1000, out, 77);
    assert_int_equal(ht_vk_write(context, &range, bytes - 4, in, 5), HT_ERR_INVALID);
    assert_int_equal(ht_vk_read(context, &range, UINT64_MAX, out, 1), HT_ERR_INVALID);
    ht_vk_free(context, &range);
    free(in);
    free(out);
    ht_context_destroy(&context);
    assert_null(context);
}

static void test_mapped_round_trip(void **state) {
    (void)state;
    check_round_trip(false);
}

static void test_staged_round_trip(void **state) {
    (void)state;
    check_round_trip(true);
}

static void test_arena_ranges_are_aligned_and_apart(void **state) {
    (void)state;
    enum { COUNT = 200 };
    ht_context *context = open_context(false, 0);
    ht_vk_arena arena;
    ht_vk_range ranges[COUNT];
    uint64_t asked = 0;
    ht_vk_arena_init(&arena, context, "arena");
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(ht_vk_arena_take(&arena, (uint64_t)(i * 7919 % 300000), &ranges[i]),
                         HT_OK);
        asked += (uint64_t)(i * 7919 % 300000);
        assert_int_equal(ranges[i].address % 256, 0);
        for (int j = 0; j < i; j++) {
            bool apart = ranges[i].address + ranges[i].bytes <= ranges[j].address ||
                         ranges[j].address + ranges[j].bytes <= ranges[i].address;
            assert_true(apart);
        }
    }
    ht_memory_use use;
    ht_context_memory(context, &use);
    assert_int_equal(use.planned, asked);
    // Blocks are at most 1/32 of what there was, and each item's rounding at most 255 bytes; a block
    // that an item did not fit into keeps a rest, which small items fill.
    assert_true(use.allocated >= use.planned);
    assert_true((double)use.allocated < 1.05 * (double)use.planned + 255 * COUNT + 16384);
    ht_vk_arena_finish(&arena);
    ht_context_memory(context, &use);
    assert_true(use.planned == 0 && use.allocated == 0);
    assert_true(use.planned_peak == asked && use.allocated_peak > asked);
    ht_context_memory_restart(context);
    ht_context_memory(context, &use);
    assert_true(use.planned_peak == 0 && use.allocated_peak == 0);
    ht_context_destroy(&context);
}

static void test_limit_is_kept_and_explained(void **state) {
    (void)state;
    ht_context *context = open_context(false, 1 << 20);
    ht_vk_range range;
    assert_int_equal(ht_vk_alloc(context, 2 << 20, "big thing", &range), HT_ERR_NO_MEMORY);
    assert_non_null(strstr(ht_context_message(context), "'big thing' needs 2.0 MiB"));
    assert_non_null(strstr(ht_context_message(context), "--max-memory"));
    assert_int_equal(ht_vk_alloc(context, UINT64_MAX - 4, "absurd", &range), HT_ERR_NO_MEMORY);
    assert_int_equal(ht_vk_alloc(context, 1 << 19, "small", &range), HT_OK);
    ht_vk_free(context, &range);
    ht_context_destroy(&context);
}

static void test_tensor_conversions_and_sizes(void **state) {
    (void)state;
    ht_context *context = open_context(false, 0);
    const ht_tensor_desc desc = {
        .format = HT_FORMAT_F16, .rank = 2, .dims = {3, 1000}, .label = "half"};
    float values[3000], back[3000];
    ht_tensor *tensor;
    assert_int_equal(ht_tensor_create(context, &desc, &tensor), HT_OK);
    assert_int_equal(ht_tensor_read_f32(tensor, back, 3000), HT_OK);
    for (int i = 0; i < 3000; i++) {
        assert_true(back[i] == 0.0f); // zero-filled
        values[i] = (float)i * 0.25f; // exact in f16
    }
    assert_int_equal(ht_tensor_write_f32(tensor, values, 3000), HT_OK);
    assert_int_equal(ht_tensor_read_f32(tensor, back, 3000), HT_OK);
    for (int i = 0; i < 2048; i++) {
        assert_true(values[i] == back[i]);
    }
    assert_int_equal(ht_tensor_write_f32(tensor, values, 2999), HT_ERR_INVALID);
    assert_non_null(strstr(ht_context_message(context), "'half' holds 3000 values, got 2999"));
    ht_tensor_destroy(&tensor);
    const ht_tensor_desc empty = {.format = HT_FORMAT_F32, .rank = 1, .dims = {0}};
    assert_int_equal(ht_tensor_create(context, &empty, &tensor), HT_ERR_INVALID);
    assert_null(tensor);
    ht_context_destroy(&context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mapped_round_trip),
        cmocka_unit_test(test_staged_round_trip),
        cmocka_unit_test(test_arena_ranges_are_aligned_and_apart),
        cmocka_unit_test(test_limit_is_kept_and_explained),
        cmocka_unit_test(test_tensor_conversions_and_sizes),
    };
    return ht_test_run_gpu(tests, sizeof tests / sizeof tests[0]);
}
