// gen-bench from the outside: refusals, the list, and a report that can be read.
#include "support.h"

#include "files.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static int bench(const char *arguments, char *output, size_t bytes) {
    char command[2048];
    snprintf(command, sizeof command, "'%s' %s </dev/null 2>&1", HT_GEN_BENCH_PATH, arguments);
    return ht_test_run(command, output, bytes);
}

static void test_flags(void **state) {
    (void)state;
    static const struct {
        const char *arguments;
        int code;
        const char *part;
    } rows[] = {
        {"--help", 0, "--filter TEXT"},
        {"--version", 0, "halftone"},
        {"--list", 0, "pixart/self attention"},
        {"--fliter x", 2, "did you mean --filter?"},
        {"--seconds -1", 2, "--seconds"},
        {"--tier fast", 2, "portable, cpu, dot or matrix"},
        {"--weights f16", 2, "'f16' is no packed format"},
        {"--weights fp4,,int8", 2, "'' is no packed format"},
        {"--turns 0", 2, "--turns"},
        {"--activations int8", 2, "need --weights"},
        {"--weights fp4 --activations int4z --filter sd15/time --seconds 0", 1, "zero points"},
        {"--device no-such-device", 1, "no-such-device"},
        {"--filter no-such-case", 2, "no-such-case"},
        {"--filter sd15/time --json /no/such/folder/x.json --seconds 0", 1, "/no/such/folder"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); i++) {
        char output[16384];
        const int code = bench(rows[i].arguments, output, sizeof output);
        if (code != rows[i].code || strstr(output, rows[i].part) == NULL) {
            fail_msg("gen-bench %s: exit code %d, expected %d with '%s'; output:\n%s",
                     rows[i].arguments, code, rows[i].code, rows[i].part, output);
        }
    }
}

// One case of each op, small ones, in both tiers: every figure is there and positive.
static void test_report(void **state) {
    (void)state;
    static const char *const commands[] = {
        "--tier cpu --filter sd15/time --seconds 0 --json",
        "--tier portable --filter sd15/time --seconds 0 --fp32 --json",
        "--weights fp4 --activations int8 --filter sd15/time --seconds 0 --json",
        "--weights int8 --filter 'sd15/conv 8' --seconds 0 --json",
        "--filter norm --seconds 0 --json",
        "--filter pack/int8 --seconds 0 --json",
        "--filter sd15/add --seconds 0 --json",
    };
    static const char *const figures[] = {"median_ms", "best_ms", "first_ms", "gbytes_per_s",
                                          "ceiling_share"};
    for (size_t i = 0; i < HT_COUNT(commands); i++) {
        char output[16384];
        assert_int_equal(bench(commands[i], output, sizeof output), 0);
        json_error_t error;
        json_t *report = json_loads(output, 0, &error);
        if (report == NULL) {
            fail_msg("gen-bench %s: %s in\n%s", commands[i], error.text, output);
        }
        const json_t *ceilings = json_object_get(report, "ceilings");
        assert_true(json_number_value(json_object_get(ceilings, "copy_gbytes_per_s")) > 0.0);
        assert_true(json_number_value(json_object_get(json_object_get(ceilings, "gops"), "f32")) > 0.0);
        const json_t *results = json_object_get(report, "results");
        assert_true(json_array_size(results) >= 1);
        for (size_t r = 0; r < json_array_size(results); r++) {
            const json_t *result = json_array_get(results, r);
            assert_true(json_integer_value(json_object_get(result, "repeats")) >= 3);
            for (size_t f = 0; f < HT_COUNT(figures); f++) {
                assert_true(json_number_value(json_object_get(result, figures[f])) > 0.0);
            }
        }
        json_decref(report);
    }
}

// Pairs are those of the lists that there are kernels for, the shape's first being what others are
// measured against.
static void test_pairs(void **state) {
    (void)state;
    static const char *const pairs[][2] = {
        {"f16", "f16"}, {"f16", "int8"}, {"int8", "int8"}}; // activations x weights
    char output[16384];
    assert_int_equal(bench("--weights float,int8 --activations float,int8 --filter sd15/time "
                           "--turns 3 --seconds 0 --json",
                           output, sizeof output),
                     0);
    json_t *report = json_loads(output, 0, NULL);
    const json_t *results = json_object_get(report, "results");
    assert_int_equal(json_array_size(results), HT_COUNT(pairs));
    for (size_t i = 0; i < HT_COUNT(pairs); i++) {
        const json_t *result = json_array_get(results, i);
        assert_string_equal(json_string_value(json_object_get(result, "activations")), pairs[i][0]);
        assert_string_equal(json_string_value(json_object_get(result, "weights")), pairs[i][1]);
        const double against = json_number_value(json_object_get(result, "against_first"));
        assert_true(i == 0 ? against == 1.0 : against > 0.0);
        assert_int_equal(json_integer_value(json_object_get(result, "repeats")), 3);
    }
    json_decref(report);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_pairs),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}
