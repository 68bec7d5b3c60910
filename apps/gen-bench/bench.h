// gen-bench: kernels at the shapes of real networks, against the device's own ceilings.
#ifndef GEN_BENCH_H
#define GEN_BENCH_H

#include "common/log.h"

#include <halftone/bench.h>
#include <halftone/halftone.h>

#include <stdio.h>

typedef enum bench_op {
    BENCH_LINEAR,     // rows, N, K
    BENCH_CONV2D,     // H, W, I, O, kernel, stride, upsample
    BENCH_ATTENTION,  // queries, keys, heads, head width, percent of the blocks kept (0: no lists),
                      // bits of the codes (0: floats), 1 where weights and v are E4M3
    BENCH_PREDICT,    // the same, of which only the first four count: which blocks matter
    BENCH_LAYER_NORM, // rows, C
    BENCH_GROUP_NORM, // positions, C, groups
    BENCH_ADD,        // count
    BENCH_QUANTIZE,   // rows, C
} bench_op;

typedef struct bench_case {
    const char *name; // "<network>/<part>"
    bench_op op;
    uint32_t n[7];
    bool quick;     // measured with --quick too
    ht_format x, w; // packed operands of linear and conv2d, NONE: the activations' format, f16; of
                    // quantize and layer_norm x is the result's
} bench_case;

extern const bench_case bench_cases[];
extern const size_t bench_case_count;

const char *bench_op_name(bench_op op);
// "1024 x 1024 x 1024" into text. Returns text.
const char *bench_shape(const bench_case *c, char *text, size_t bytes);
// Of an attention: blocks of keys that a block of queries keeps, and their share of all.
uint32_t bench_kept_blocks(const bench_case *c);
double bench_density(const bench_case *c);
double bench_flops(const bench_case *c); // 2 per multiply and add; 0 where memory is the limit
double bench_bytes(const bench_case *c, ht_format format); // every tensor read or written once

typedef struct bench_result {
    const bench_case *what;
    ht_format format; // of the activations; weights are f16, both where the case says nothing else
    ht_bench_unit unit; // what multiplied, of linear, conv2d and attention
    uint32_t repeats;
    double median_s, best_s;
    double processor_s; // of the whole program in a run, the median: on CPU drivers the work itself
    double first_s;     // the first run, with whatever the driver compiles there
    double against;     // in turns: processor time against that of the shape's first row, the median
                        // of the turns; else 0
} bench_result;

typedef struct bench_settings {
    ht_format format;
    double seconds; // to repeat a case for, at least 3 times
} bench_settings;

// HT_ERR_NO_MEMORY where the device is too small for the case.
ht_status bench_measure(ht_context *context, const bench_case *c, const bench_settings *settings,
                        bench_result *result);

// One case ready to run, for measurements in turn with others. `c` and `settings` outlive it.
typedef struct bench_fixture bench_fixture;
// Prepares it and runs it once. HT_ERR_NO_MEMORY as above.
ht_status bench_open(ht_context *context, const bench_case *c, const bench_settings *settings,
                     bench_fixture **out);
// Runs until `seconds` of the device's time have passed, once at least; the mean run is a repeat.
ht_status bench_turn(bench_fixture *f, double seconds);
// Of the turns so far, one at least. `base` (or NULL) is what result->against compares with.
void bench_summary(const bench_fixture *f, const bench_fixture *base, bench_result *result);
void bench_close(bench_fixture **f);

// rows.c: formats asked for by the user, and the rows that they make of the cases.

enum { BENCH_MAX_FORMATS = 64 };

typedef struct bench_formats {
    ht_format list[BENCH_MAX_FORMATS]; // NONE: floats
    size_t count;                      // 0: not asked for
} bench_formats;

// Names separated by commas, "float" among them, or "all". NULL: none asked for. False: `wrong` says
// which name is no such format.
bool bench_formats_read(const char *names, bench_formats *formats, char *wrong, size_t bytes);

// Every wanted case in every pair of `w` and `x`, pairs that no kernel multiplies being left out where
// there is a choice. Cases of one shape follow each other. Returns an array to be freed, or NULL.
bench_case *bench_rows(const bench_formats *w, const bench_formats *x, const char *filter,
                       bool quick, size_t *count);

// A line of the table as soon as it is known; the heading with result NULL.
void bench_print(const bench_result *result, const ht_bench_ceilings *ceilings);
void bench_print_json(FILE *file, ht_context *context, const ht_bench_ceilings *ceilings,
                      const bench_result *results, size_t count);

#endif
