// Tables of static scales: lookups at timesteps that were and were not calibrated, sharing, and what
// is refused.
#include "support.h"

#include "common/scale_table.h"

#include <math.h>
#include <string.h>

static const char TABLE[] = "{\"version\":1,\"timesteps\":[1000,750,500,100],\"layers\":{"
                            "\"q\":[8,4,2,1],\"k\":[8,4,2,1],\"out\":[1,1,3,0.5]}}";

static ht_context *host(void) {
    const ht_context_desc desc = {.host_only = true};
    ht_context *context;
    assert_int_equal(ht_context_create(&desc, &context), HT_OK);
    return context;
}

static void test_lookup(void **state) {
    (void)state;
    static const float times[] = {1000, 750, 500, 100}, values[] = {1, 1, 3, 0.5f};
    ht_context *context = host();
    ht_scale_table *table;
    float row[2];
    assert_int_equal(ht_scale_table_parse(context, "f", TABLE, &table), HT_OK);
    assert_int_equal(ht_scale_table_count(table), 2);
    assert_int_equal(ht_scale_table_find(table, "q"), ht_scale_table_find(table, "k"));
    assert_int_equal(ht_scale_table_find(table, "v"), UINT32_MAX);
    const uint32_t out = ht_scale_table_find(table, "out");
    ht_scale_table_at(table, 1200, row);
    assert_true(row[out] == 1 && row[1 - out] == 8);
    ht_scale_table_at(table, 3, row);
    assert_true(row[out] == 0.5f && row[1 - out] == 1);
    for (uint32_t steps = 1; steps <= 50; steps++) { // schedules of other lengths, by scanning
        for (uint32_t i = 0; i < steps; i++) {
            const float t = 1000 - 990 * (float)i / (float)steps;
            float want = values[3];
            for (int k = 0; k < 3; k++) {
                if (t <= times[k] && t >= times[k + 1]) {
                    const float share = (times[k] - t) / (times[k] - times[k + 1]);
                    want = expf(logf(values[k]) * (1 - share) + logf(values[k + 1]) * share);
                }
            }
            ht_scale_table_at(table, t, row);
            assert_true(fabsf(row[out] / want - 1) < 1e-5f);
        }
    }
    ht_scale_table_destroy(&table);
    ht_context_destroy(&context);
}

static void test_refused(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"{", "not JSON"},
        {"{\"version\":2,\"timesteps\":[1],\"layers\":{}}", "version 2"},
        {"{\"version\":1,\"timesteps\":[],\"layers\":{}}", "no list"},
        {"{\"version\":1,\"timesteps\":[1,2],\"layers\":{}}", "do not fall"},
        {"{\"version\":1,\"timesteps\":[2,1],\"layers\":{\"a\":[1]}}", "'a' needs 2"},
        {"{\"version\":1,\"timesteps\":[2,1],\"layers\":{\"a\":[1,0]}}", "'a' needs 2"},
    };
    ht_context *context = host();
    for (size_t i = 0; i < HT_COUNT(bad); i++) {
        ht_scale_table *table;
        assert_int_equal(ht_scale_table_parse(context, "f", bad[i][0], &table), HT_ERR_IO);
        assert_null(table);
        assert_non_null(strstr(ht_context_message(context), bad[i][1]));
    }
    ht_context_destroy(&context);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lookup),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
