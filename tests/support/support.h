// What tests share: cmocka, seeded numbers, comparison, contexts, allocators, golden files, and
// running one op on the device against its reference.
#ifndef HT_TEST_SUPPORT_H
#define HT_TEST_SUPPORT_H

// cmocka.h wants these, in this order.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <halftone/halftone.h>

#define HT_COUNT(array) (sizeof(array) / sizeof((array)[0]))

// --- numbers (values.c) -------------------------------------------------------------------------

// The same values for the same seed on every machine: about normal (mean 0, deviation 1, within
// +-6), or uniform in [low, high).
void ht_test_fill_normal(uint64_t seed, float *values, size_t count);
void ht_test_fill_uniform(uint64_t seed, float *values, size_t count, float low, float high);
uint32_t ht_test_random(uint64_t *state);

typedef struct ht_test_error {
    double rel_l2; // ||got - want|| / ||want||, or ||got|| when want is zero
    double max_abs;
    size_t worst; // index of max_abs
    bool finite;  // no NaN or infinity in `got`
} ht_test_error;
ht_test_error ht_test_compare(const float *got, const float *want, size_t count);

// Fail the running test, with the figures, when the error is above the bound or `got` is not finite.
void ht_test_assert_close(const char *what, const float *got, const float *want, size_t count,
                          double rel_l2_bound);

// --- host memory (values.c) ---------------------------------------------------------------------

// An allocator that counts, and fails one call (1 is the next; 0: none). Give &a->callbacks to a
// context description.
typedef struct ht_test_allocator {
    ht_allocator callbacks;
    int64_t live;     // blocks not released
    uint64_t calls;   // allocations so far
    uint64_t fail_at; // the value of `calls` to fail at
} ht_test_allocator;
void ht_test_allocator_init(ht_test_allocator *allocator);

// --- devices (device.c) -------------------------------------------------------------------------

// The device the tests run on: HT_TEST_DEVICE, else a CPU device where there is one. With
// HT_TEST_VALIDATION=1 the validation layer is on, and its messages fail the test.
ht_context_desc ht_test_context_desc(void);

// Run tests that need a device; main returns its result. 77 (skipped) when there is none.
int ht_test_run_gpu(const struct CMUnitTest *tests, size_t count);

// A context that lasts until the program ends, one per tier. NULL when HT_TEST_TIER (portable, cpu,
// dot or matrix) excludes the tier, or when the device lacks what the matrix tier needs.
ht_context *ht_test_context(ht_tier tier);
ht_test_allocator *ht_test_context_allocator(ht_tier tier);

// --- golden files (golden.c) --------------------------------------------------------------------

// A file of tests/data/golden, by its name without folder and ending (or by its path without
// ending, when that holds a '/'). Missing files fail the test.
typedef struct ht_test_golden {
    ht_context *context;
    ht_weights *weights;
    const char *name;
} ht_test_golden;
void ht_test_golden_open(ht_test_golden *golden, const char *name);
void ht_test_golden_close(ht_test_golden *golden);
bool ht_test_golden_has(const ht_test_golden *golden, const char *tensor);
// Values of a tensor as floats; free() them. A missing tensor fails the test. desc may be NULL.
float *ht_test_golden_read(const ht_test_golden *golden, const char *tensor, ht_tensor_desc *desc);
// [B, C, H, W] -> [B, H, W, C] in place of the values; dims follow. Rank 4.
float *ht_test_golden_read_nhwc(const ht_test_golden *golden, const char *tensor,
                                ht_tensor_desc *desc);

// --- one op (run_op.c) --------------------------------------------------------------------------

// An input's format that follows the graph's activations.
#define HT_TEST_ACTIVATIONS ((ht_format)1000)

typedef struct ht_test_input {
    ht_format format; // HT_FORMAT_NONE: passed as HT_NO_VALUE
    uint32_t rank;
    uint32_t dims[HT_MAX_RANK];
    const float *values; // NULL: seeded normal values
} ht_test_input;

enum { HT_TEST_MAX_INPUTS = 10 };

typedef struct ht_test_op {
    const char *name; // printed when something is wrong
    ht_value (*build)(ht_graph *g, const ht_value *inputs, const void *args);
    const void *args;
    uint32_t n_inputs;
    ht_test_input inputs[HT_TEST_MAX_INPUTS];
} ht_test_op;

typedef struct ht_test_output {
    ht_tensor_desc desc;
    float *values; // free()
    double rel_l2; // worst node against its reference
    double max_abs;
} ht_test_output;

// Build, run and check against the references with one tier and one format of activations. Any
// failure, NaN or infinity fails the test. Release with free(output.values).
void ht_test_op_run(const ht_test_op *op, ht_tier tier, ht_format activations,
                    ht_test_output *output);

// Both tiers, f32 and f16 activations: the error of every node against its reference must be
// within its bound (relative L2).
void ht_test_op_check(const ht_test_op *op, double f32_bound, double f16_bound);

// The same with `want` (count values, dims of the result) in place of the references.
void ht_test_op_expect(const ht_test_op *op, uint32_t rank, const uint32_t *dims, const float *want,
                       double f32_bound, double f16_bound);

// Building must fail with this status and a sentence that contains `part`.
void ht_test_op_refuse(const ht_test_op *op, ht_status status, const char *part);

// Fail every host allocation of building and running in turn: each must be reported as
// HT_ERR_NO_MEMORY, and nothing may leak.
void ht_test_op_starve(const ht_test_op *op);

// Rounding to f16 changes each value by at most 2^-11 of itself, and so the norm of the whole.
#define HT_TEST_F16_ROUNDING (1.0 / 2048)

#endif
