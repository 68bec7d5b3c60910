// The random stream against torch.randn of PyTorch's CPU generator.
#include "support.h"

#include "random.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// First outputs of the standard mt19937 for seed 0.
static void test_engine(void **state) {
    (void)state;
    static const uint32_t first[] = {2357136044u, 2546248239u, 3071714933u, 3626093760u};
    ht_random random;
    ht_random_seed(&random, 0);
    for (size_t i = 0; i < HT_COUNT(first); ++i) {
        assert_int_equal(ht_random_u32(&random), first[i]);
    }
}

// PyTorch's vectorised build uses polynomials for log, sin and cos that are a few units in the last
// place off; values are below 6, so 4 units are at most 4 * 2^-22. Small results of cos and sin near
// a zero carry the rounding of the angle (up to 2 pi, half a unit: 2^-22) times a radius below 6.
static const float BOUND = 6.0f * 0x1p-21f;

static void compare(const ht_test_golden *golden, const char *name, ht_random *random) {
    ht_tensor_desc desc;
    float *want = ht_test_golden_read(golden, name, &desc);
    size_t count = ht_desc_count(&desc);
    float *got = calloc(count, sizeof(*got));
    ht_random_normal(random, got, count);
    for (size_t i = 0; i < count; ++i) {
        if (!(fabsf(got[i] - want[i]) <= BOUND)) {
            fail_msg("%s[%zu]: %.9g, expected %.9g", name, i, got[i], want[i]);
        }
    }
    free(want);
    free(got);
}

// Every tensor of the file: "<seed>/<shape>", or "<seed>/<n>+<m>/0" and "/1" for two calls.
static void test_normal(void **state) {
    (void)state;
    ht_test_golden golden;
    ht_test_golden_open(&golden, "randn");
    size_t pairs = 0;
    for (size_t i = 0; i < ht_weights_count(golden.weights); ++i) {
        char name[64];
        snprintf(name, sizeof(name), "%s", ht_weights_get(golden.weights, i)->name);
        size_t length = strlen(name);
        bool pair = strchr(name, '+') != NULL;
        if (pair && name[length - 1] == '1') {
            continue; // with its first half
        }
        ht_random random;
        ht_random_seed(&random, strtoull(name, NULL, 10));
        compare(&golden, name, &random);
        if (pair) {
            name[length - 1] = '1';
            compare(&golden, name, &random);
            ++pairs;
        }
    }
    assert_true(pairs > 0);
    ht_test_golden_close(&golden);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine),
        cmocka_unit_test(test_normal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
