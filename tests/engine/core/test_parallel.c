// Loops side by side do each item once, whatever the count and the least share.
#include "core.h"
#include "support.h"

#include <stdatomic.h>
#include <string.h>

enum { MOST = 1000 };

typedef struct tally {
    atomic_uint done[MOST];
    atomic_uint ranges;
} tally;

static void note(void *user, uint64_t first, uint64_t count) {
    tally *t = user;
    atomic_fetch_add(&t->ranges, 1);
    for (uint64_t i = first; i < first + count; i++) {
        atomic_fetch_add(&t->done[i], 1);
    }
}

static void test_each_item_once(void **state) {
    (void)state;
    static const uint64_t counts[] = {0, 1, 2, 3, 63, 64, 65, 999, MOST};
    static const uint64_t leasts[] = {0, 1, 7, 500, 5000};
    for (size_t c = 0; c < HT_COUNT(counts); c++) {
        for (size_t l = 0; l < HT_COUNT(leasts); l++) {
            static tally t;
            memset(&t, 0, sizeof t);
            ht_parallel(counts[c], leasts[l], note, &t);
            for (uint64_t i = 0; i < MOST; i++) {
                assert_int_equal(t.done[i], i < counts[c] ? 1 : 0);
            }
            const uint64_t least = leasts[l] ? leasts[l] : 1;
            const uint64_t most = counts[c] < 2 * least ? 1 : counts[c] / least;
            assert_in_range(t.ranges, 1, most);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_item_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
