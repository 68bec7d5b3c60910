// One op in a graph of its own: run, compared with its reference or given values, refused, starved.
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Everything a graph of one op holds; released by `close_run` from any point.
typedef struct run {
    ht_context *context;
    ht_graph *graph;
    ht_tensor *inputs[HT_TEST_MAX_INPUTS];
    ht_tensor *output;
    ht_value result;
} run;

static void close_run(run *r) {
    ht_graph_destroy(&r->graph);
    for (uint32_t i = 0; i < HT_TEST_MAX_INPUTS; i++) {
        ht_tensor_destroy(&r->inputs[i]);
    }
    ht_tensor_destroy(&r->output);
}

static ht_status make_input(run *r, uint32_t i, const ht_test_input *in, ht_format activations) {
    const ht_format format = in->format == HT_TEST_ACTIVATIONS ? activations : in->format;
    ht_tensor_desc desc = {.format = format, .rank = in->rank, .label = "input"};
    memcpy(desc.dims, in->dims, sizeof desc.dims);
    const size_t count = ht_desc_count(&desc);
    ht_status status = ht_tensor_create(r->context, &desc, &r->inputs[i]);
    if (status == HT_OK && in->values != NULL) {
        status = ht_tensor_write_f32(r->inputs[i], in->values, count);
    } else if (status == HT_OK) {
        float *values = malloc(count * sizeof *values);
        assert_non_null(values);
        ht_test_fill_normal(i + 1, values, count);
        status = ht_tensor_write_f32(r->inputs[i], values, count);
        free(values);
    }
    return status;
}

// Build the graph up to its value; `r` is released by the caller in any case.
static ht_status build(run *r, const ht_test_op *op, ht_format activations) {
    const ht_graph_desc desc = {.label = op->name, .activations = activations, .keep_values = true};
    ht_value values[HT_TEST_MAX_INPUTS];
    ht_status status = ht_graph_create(r->context, &desc, &r->graph);
    for (uint32_t i = 0; i < op->n_inputs && status == HT_OK; i++) {
        values[i] = HT_NO_VALUE;
        if (op->inputs[i].format != HT_FORMAT_NONE) {
            status = make_input(r, i, &op->inputs[i], activations);
            if (status == HT_OK) {
                values[i] = ht_graph_tensor(r->graph, r->inputs[i]);
            }
        }
    }
    if (status == HT_OK) {
        r->result = op->build(r->graph, values, op->args);
        status = ht_graph_status(r->graph);
    }
    return status;
}

// Bind the result to a tensor, plan and record.
static ht_status finish(run *r) {
    ht_tensor_desc desc = ht_graph_value_desc(r->graph, r->result);
    desc.label = "output";
    ht_status status = ht_tensor_create(r->context, &desc, &r->output);
    if (status == HT_OK) {
        ht_graph_output(r->graph, r->result, r->output);
        status = ht_graph_finish(r->graph);
    }
    return status;
}

static void keep_worst(void *user, const ht_node_check *check) {
    ht_test_output *output = user;
    if (!check->finite || !(check->rel_l2 <= output->rel_l2)) {
        output->rel_l2 = check->finite ? check->rel_l2 : 1e300;
        output->max_abs = check->max_abs;
    }
}

static void must(const ht_test_op *op, const run *r, ht_status status) {
    if (status != HT_OK) {
        fail_msg("%s: %s: %s", op->name, ht_status_name(status), ht_context_message(r->context));
    }
}

void ht_test_op_run(const ht_test_op *op, ht_tier tier, ht_format activations,
                    ht_test_output *output) {
    run r = {.context = ht_test_context(tier)};
    *output = (ht_test_output){.rel_l2 = 0.0};
    assert_non_null(r.context);
    must(op, &r, build(&r, op, activations));
    must(op, &r, finish(&r));
    must(op, &r, ht_graph_check(r.graph, keep_worst, output));
    output->desc = *ht_tensor_get_desc(r.output);
    output->desc.label = NULL;
    const size_t count = ht_desc_count(&output->desc);
    output->values = malloc(count * sizeof *output->values);
    assert_non_null(output->values);
    must(op, &r, ht_tensor_read_f32(r.output, output->values, count));
    close_run(&r);
    if (output->rel_l2 >= 1e300) {
        fail_msg("%s: the result is not finite", op->name);
    }
}

static const ht_tier TIERS[] = {HT_TIER_PORTABLE, HT_TIER_CPU, HT_TIER_MATRIX};
static const char *const TIER_NAMES[] = {"portable", "cpu", "matrix"};
static const ht_format FORMATS[] = {HT_FORMAT_F32, HT_FORMAT_F16};

void ht_test_op_check(const ht_test_op *op, double f32_bound, double f16_bound) {
    for (size_t t = 0; t < HT_COUNT(TIERS); t++) {
        for (size_t f = 0; f < HT_COUNT(FORMATS) && ht_test_context(TIERS[t]) != NULL; f++) {
            const double bound = FORMATS[f] == HT_FORMAT_F32 ? f32_bound : f16_bound;
            ht_test_output output;
            ht_test_op_run(op, TIERS[t], FORMATS[f], &output);
            free(output.values);
            if (!(output.rel_l2 <= bound)) {
                fail_msg("%s (%s tier, %s): rel L2 %.3g is above %.3g; worst difference %.3g",
                         op->name, TIER_NAMES[t], ht_format_name(FORMATS[f]), output.rel_l2, bound,
                         output.max_abs);
            }
        }
    }
}

void ht_test_op_expect(const ht_test_op *op, uint32_t rank, const uint32_t *dims, const float *want,
                       double f32_bound, double f16_bound) {
    for (size_t t = 0; t < HT_COUNT(TIERS); t++) {
        for (size_t f = 0; f < HT_COUNT(FORMATS) && ht_test_context(TIERS[t]) != NULL; f++) {
            char what[160];
            ht_test_output output;
            ht_test_op_run(op, TIERS[t], FORMATS[f], &output);
            assert_int_equal(output.desc.rank, rank);
            assert_memory_equal(output.desc.dims, dims, rank * sizeof *dims);
            snprintf(what, sizeof what, "%s (%s tier, %s)", op->name, TIER_NAMES[t],
                     ht_format_name(FORMATS[f]));
            ht_test_assert_close(what, output.values, want, ht_desc_count(&output.desc),
                                 FORMATS[f] == HT_FORMAT_F32 ? f32_bound : f16_bound);
            free(output.values);
        }
    }
}

void ht_test_op_refuse(const ht_test_op *op, ht_status status, const char *part) {
    run r = {.context = ht_test_context(HT_TIER_AUTO)};
    const ht_status got = build(&r, op, HT_FORMAT_F32);
    const char *message = ht_context_message(r.context);
    if (got != status || strstr(message, part) == NULL) {
        fail_msg("%s: expected '%s' about \"%s\", got '%s': %s", op->name, ht_status_name(status),
                 part, ht_status_name(got), message);
    }
    assert_int_equal(r.result.id, 0);
    assert_int_equal(ht_graph_finish(r.graph), status);
    close_run(&r);
}

static ht_status build_and_run(const ht_test_op *op) {
    run r = {.context = ht_test_context(HT_TIER_AUTO)};
    ht_status status = build(&r, op, HT_FORMAT_F32);
    if (status == HT_OK) {
        status = finish(&r);
    }
    if (status == HT_OK) {
        status = ht_graph_run(r.graph);
    }
    close_run(&r);
    return status;
}

void ht_test_op_starve(const ht_test_op *op) {
    const run shown = {.context = ht_test_context(HT_TIER_AUTO)};
    ht_test_allocator *allocator = ht_test_context_allocator(HT_TIER_AUTO);
    // The first run makes what stays with the context, such as pipelines.
    must(op, &shown, build_and_run(op));
    const int64_t before = allocator->live;
    for (uint64_t n = 1;; n++) {
        allocator->fail_at = allocator->calls + n;
        const ht_status status = build_and_run(op);
        const bool reached = allocator->calls >= allocator->fail_at;
        allocator->fail_at = 0;
        assert_int_equal(allocator->live, before);
        if (!reached) {
            must(op, &shown, status);
            return;
        }
        if (status != HT_ERR_NO_MEMORY) {
            fail_msg("%s: with allocation %llu failing: %s: %s", op->name, (unsigned long long)n,
                     ht_status_name(status), ht_context_message(shown.context));
        }
    }
}
