// Checked arithmetic at its edges.
#include "core.h"
#include "support.h"

static void test_multiply(void **state) {
    (void)state;
    uint64_t out = 1;
    assert_true(ht_mul_u64(0, UINT64_MAX, &out));
    assert_true(out == 0);
    assert_true(ht_mul_u64(UINT64_MAX, 0, &out));
    assert_true(out == 0);
    assert_true(ht_mul_u64(UINT64_MAX, 1, &out));
    assert_true(out == UINT64_MAX);
    assert_true(ht_mul_u64(UINT32_MAX, UINT64_C(0x100000001), &out));
    assert_true(out == UINT64_MAX);
    out = 5;
    assert_false(ht_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &out));
    assert_false(ht_mul_u64(UINT64_MAX, 2, &out));
    assert_true(out == 5);
}

static void test_add(void **state) {
    (void)state;
    uint64_t out = 1;
    assert_true(ht_add_u64(UINT64_MAX, 0, &out));
    assert_true(out == UINT64_MAX);
    assert_true(ht_add_u64(UINT64_MAX - 5, 5, &out));
    assert_true(out == UINT64_MAX);
    assert_false(ht_add_u64(UINT64_MAX - 5, 6, &out));
    assert_true(out == UINT64_MAX);
}

static void test_clock_does_not_go_back(void **state) {
    (void)state;
    uint64_t before = ht_clock_ns();
    for (int i = 0; i < 1000; i++) {
        const uint64_t now = ht_clock_ns();
        assert_true(now >= before);
        before = now;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_multiply),
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_clock_does_not_go_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
