// What integer codes cost an attention: both ways on the device, on what the model really multiplies.
#include "attention.h"

#include <halftone/attention.h>

#include <math.h>
#include <stdlib.h>

enum { FLOATS, WAYS = QUANTIZE_ATTENTION_WAYS + 1 };
static const ht_attention_products products[WAYS] = {HT_ATTENTION_FLOATS, HT_ATTENTION_INT4,
                                                     HT_ATTENTION_INT8};
// Sage's measures (Zhang et al. 2025) with limits that whole pictures bear.
static const double MOST_L1 = 0.05, LEAST_COSINE = 0.998;

typedef struct trial {
    ht_context *context;
    ht_tensor *inputs[3], *results[WAYS];
    ht_graph *graph;
    float *values[WAYS];
} trial;

static ht_status prepare(trial *t, const ht_attention_run *run) {
    const ht_tensor_desc *of_inputs[] = {&run->q_desc, &run->k_desc, &run->k_desc};
    const float *const values[] = {run->q, run->k, run->v};
    const ht_graph_desc desc = {.label = "attention by codes", .activations = HT_FORMAT_F32};
    ht_value in[3] = {{0}};
    ht_status status = ht_graph_create(t->context, &desc, &t->graph);
    for (int i = 0; i < 3 && status == HT_OK; ++i) {
        ht_tensor_desc d = *of_inputs[i];
        d.format = HT_FORMAT_F32;
        d.label = "observed";
        status = ht_tensor_create(t->context, &d, &t->inputs[i]);
        if (status == HT_OK) {
            status = ht_tensor_write_f32(t->inputs[i], values[i], ht_desc_count(&d));
            in[i] = ht_graph_tensor(t->graph, t->inputs[i]);
        }
    }
    for (int way = 0; way < WAYS && status == HT_OK; ++way) {
        ht_attention_plan plan = HT_ATTENTION_PLAN_NONE;
        const ht_attention_args args = {.heads = run->heads,
                                        .rel_bias = HT_NO_VALUE,
                                        .mask = HT_NO_VALUE,
                                        .plan = &plan};
        ht_tensor_desc d = run->q_desc;
        d.format = HT_FORMAT_F32;
        d.label = "result";
        plan.products = products[way];
        status = ht_tensor_create(t->context, &d, &t->results[way]);
        if (status == HT_OK) {
            ht_graph_output(t->graph, ht_op_attention(t->graph, in[0], in[1], in[2], &args),
                            t->results[way]);
        }
    }
    return status == HT_OK ? ht_graph_finish(t->graph) : status;
}

static void add(const float *exact, const float *codes, uint64_t count,
                quantize_attention_error *error) {
    for (uint64_t i = 0; i < count; ++i) {
        const double x = exact[i], y = codes[i];
        error->difference += fabs(x - y);
        error->size += fabs(x);
        error->product += x * y;
        error->squares[0] += x * x;
        error->squares[1] += y * y;
    }
}

ht_status quantize_attention_errors(ht_context *context, const ht_attention_run *run,
                                    quantize_attention_error errors[QUANTIZE_ATTENTION_WAYS]) {
    const uint64_t count = ht_desc_count(&run->q_desc);
    trial t = {.context = context};
    ht_status status = prepare(&t, run);
    if (status == HT_OK) {
        status = ht_graph_run(t.graph);
    }
    for (int way = 0; way < WAYS && status == HT_OK; ++way) {
        t.values[way] = malloc(count * sizeof(float));
        status = t.values[way] ? ht_tensor_read_f32(t.results[way], t.values[way], count)
                               : HT_ERR_NO_MEMORY;
        if (status == HT_OK && way != FLOATS) {
            add(t.values[FLOATS], t.values[way], count, &errors[way - 1]);
        }
    }
    ht_graph_destroy(&t.graph);
    for (int i = 0; i < 3; ++i) {
        ht_tensor_destroy(&t.inputs[i]);
    }
    for (int way = 0; way < WAYS; ++way) {
        ht_tensor_destroy(&t.results[way]);
        free(t.values[way]);
    }
    return status;
}

double quantize_attention_l1(const quantize_attention_error *error) {
    return error->size > 0 ? error->difference / error->size : 0;
}

double quantize_attention_cosine(const quantize_attention_error *error) {
    const double both = sqrt(error->squares[0] * error->squares[1]);
    return both > 0 ? error->product / both : 1;
}

int quantize_attention_bits(const quantize_attention_error errors[QUANTIZE_ATTENTION_WAYS]) {
    static const int bits[QUANTIZE_ATTENTION_WAYS] = {4, 8};
    for (int way = 0; way < QUANTIZE_ATTENTION_WAYS; ++way) {
        if (quantize_attention_l1(&errors[way]) <= MOST_L1 &&
            quantize_attention_cosine(&errors[way]) >= LEAST_COSINE) {
            return bits[way];
        }
    }
    return 0;
}
