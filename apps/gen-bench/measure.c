// One case: a graph of one op, timed by the device.
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { MAX_INPUTS = 6, MAX_REPEATS = 1000, MIN_REPEATS = 3 };

struct bench_fixture {
    ht_context *context;
    const bench_settings *settings;
    ht_graph *graph;
    ht_tensor *tensors[MAX_INPUTS];
    uint32_t n_tensors;
    ht_status status; // first failure
    bench_result result;
    double times[MAX_REPEATS], processor[MAX_REPEATS];
    uint32_t count;
};
typedef struct bench_fixture fixture;

// A tensor of small values that differ, as an input.
static ht_value input(fixture *f, ht_format format, uint32_t rank, uint32_t d0, uint32_t d1,
                      uint32_t d2, uint32_t d3) {
    const ht_tensor_desc desc = {
        .format = format, .rank = rank, .dims = {d0, d1, d2, d3}, .label = "bench"};
    ht_value value = {0};
    if (f->status != HT_OK) {
        return value;
    }
    const size_t count = ht_desc_count(&desc);
    ht_tensor **tensor = &f->tensors[f->n_tensors++];
    float *values = malloc(count * sizeof *values);
    f->status = values == NULL ? ht_fail(f->context, HT_ERR_NO_MEMORY, "bench: no memory left")
                               : ht_tensor_create(f->context, &desc, tensor);
    if (f->status == HT_OK) {
        for (size_t i = 0; i < count; i++) {
            values[i] = (float)(int)(i * 2654435761u % 1021) / 1021.0f - 0.5f;
        }
        f->status = ht_tensor_write_f32(*tensor, values, count);
    }
    free(values);
    if (f->status == HT_OK) {
        value = ht_graph_tensor(f->graph, *tensor);
    }
    return value;
}

static ht_value vector(fixture *f, uint32_t count) {
    return input(f, HT_FORMAT_F32, 1, count, 0, 0, 0);
}

static ht_value add_conv2d(fixture *f, const bench_case *c, ht_format a) {
    const uint32_t *n = c->n;
    const uint32_t pad = n[4] / 2;
    ht_conv2d_args args = {.stride = n[5],
                           .pad_top = pad,
                           .pad_left = pad,
                           .pad_bottom = pad,
                           .pad_right = pad,
                           .upsample = n[6],
                           .epilogue = HT_EPILOGUE_NONE};
    const ht_value x = input(f, c->x ? c->x : a, 4, 1, n[0], n[1], n[2]);
    const ht_value w = input(f, c->w ? c->w : HT_FORMAT_F16, 4, n[3], n[4], n[4], n[2]);
    args.epilogue.bias = vector(f, n[3]);
    return ht_op_conv2d(f->graph, x, w, &args);
}

// Lists of as many blocks for every block of queries, evenly spread, another for each.
static ht_value block_lists(fixture *f, const bench_case *c) {
    const uint32_t lists = c->n[2] * ht_attention_block_count(c->n[0]);
    const uint32_t columns = ht_attention_block_count(c->n[1]);
    const uint32_t kept = bench_kept_blocks(c);
    const ht_tensor_desc desc = {
        .format = HT_FORMAT_I32, .rank = 1, .dims = {lists * (2 + kept)}, .label = "bench blocks"};
    ht_tensor **tensor = &f->tensors[f->n_tensors++];
    int32_t *blocks = malloc(ht_desc_bytes(&desc));
    f->status = blocks == NULL ? ht_fail(f->context, HT_ERR_NO_MEMORY, "bench: no memory left")
                               : ht_tensor_create(f->context, &desc, tensor);
    if (f->status == HT_OK) {
        for (uint32_t i = 0; i < lists; i++) {
            const uint32_t start = 2 * lists + i * kept;
            blocks[2 * i] = (int32_t)start;
            blocks[2 * i + 1] = (int32_t)kept;
            for (uint32_t n = 0; n < kept; n++) {
                blocks[start + n] = (int32_t)((n * columns / kept + i) % columns);
            }
        }
        f->status = ht_tensor_write(*tensor, blocks, ht_desc_bytes(&desc));
    }
    free(blocks);
    return f->status == HT_OK ? ht_graph_tensor(f->graph, *tensor) : (ht_value){0};
}

static ht_value add_attention(fixture *f, const bench_case *c, ht_format a) {
    const uint32_t *n = c->n;
    ht_attention_plan plan = HT_ATTENTION_PLAN_NONE;
    const ht_attention_args args = {
        .heads = n[2], .rel_bias = HT_NO_VALUE, .mask = HT_NO_VALUE, .plan = &plan};
    const ht_value q = input(f, a, 3, 1, n[0], n[2] * n[3], 0);
    const ht_value k = input(f, a, 3, 1, n[1], n[2] * n[3], 0);
    const ht_value v = input(f, a, 3, 1, n[1], n[2] * n[3], 0);
    plan.products = n[5] == 8   ? HT_ATTENTION_INT8
                    : n[5] == 4 ? HT_ATTENTION_INT4
                                : HT_ATTENTION_FLOATS;
    plan.values = n[6] != 0 ? HT_FORMAT_E4M3 : HT_FORMAT_INT8;
    if (n[4] != 0 && f->status == HT_OK) {
        plan.blocks = block_lists(f, c);
    }
    return ht_op_attention(f->graph, q, k, v, &args);
}

static ht_value add_predict(fixture *f, const bench_case *c, ht_format a) {
    const uint32_t *n = c->n;
    const ht_attention_predict_args args = {.heads = n[2],
                                            .share = 0.9f,
                                            .similarity = -1.0f,
                                            .orders = HT_NO_VALUE,
                                            .head_orders = HT_NO_VALUE};
    const ht_value q = input(f, a, 3, 1, n[0], n[2] * n[3], 0);
    const ht_value k = input(f, a, 3, 1, n[1], n[2] * n[3], 0);
    return ht_op_attention_predict(f->graph, q, k, &args);
}

static ht_value add_norm(fixture *f, const bench_case *c, ht_format a) {
    const uint32_t *n = c->n;
    const ht_value x = input(f, a, 3, 1, n[0], n[1], 0);
    const ht_value weight = vector(f, n[1]);
    const ht_value bias = vector(f, n[1]);
    ht_value y;
    if (c->op == BENCH_GROUP_NORM) {
        const ht_group_norm_args args = {.groups = n[2],
                                         .eps = 1e-5f,
                                         .weight = weight,
                                         .bias = bias,
                                         .act = HT_ACT_SILU,
                                         .statistics = HT_NO_VALUE};
        y = ht_op_group_norm(f->graph, x, &args);
    } else {
        const ht_layer_norm_args args = {.eps = 1e-5f,
                                         .weight = weight,
                                         .bias = bias,
                                         .scale = HT_NO_VALUE,
                                         .shift = HT_NO_VALUE};
        y = ht_op_layer_norm(f->graph, x, &args);
    }
    return c->x != HT_FORMAT_NONE ? ht_op_quantize(f->graph, y, c->x) : y;
}

static ht_value add_op(fixture *f, const bench_case *c) {
    const uint32_t *n = c->n;
    const ht_format a = f->settings->format;
    ht_epilogue epilogue = HT_EPILOGUE_NONE;
    ht_value x;
    ht_value w;
    switch (c->op) {
    case BENCH_LINEAR:
        x = input(f, c->x ? c->x : a, 2, n[0], n[2], 0, 0);
        w = input(f, c->w ? c->w : HT_FORMAT_F16, 2, n[1], n[2], 0, 0);
        epilogue.bias = vector(f, n[1]);
        return ht_op_linear(f->graph, x, w, &epilogue);
    case BENCH_CONV2D: return add_conv2d(f, c, a);
    case BENCH_ATTENTION: return add_attention(f, c, a);
    case BENCH_PREDICT: return add_predict(f, c, a);
    case BENCH_LAYER_NORM:
    case BENCH_GROUP_NORM: return add_norm(f, c, a);
    case BENCH_QUANTIZE:
        return ht_op_quantize(f->graph, input(f, a, 2, n[0], n[1], 0, 0), c->x);
    case BENCH_ADD:
        x = input(f, a, 1, n[0], 0, 0, 0);
        w = input(f, a, 1, n[0], 0, 0, 0);
        return ht_op_add(f->graph, x, w);
    }
    return (ht_value){0};
}

static ht_status prepare(fixture *f, const bench_case *c) {
    const ht_graph_desc desc = {
        .label = c->name, .activations = f->settings->format, .profile = true};
    f->status = ht_graph_create(f->context, &desc, &f->graph);
    if (f->status != HT_OK) {
        return f->status;
    }
    const ht_value result = add_op(f, c);
    if (f->status != HT_OK) {
        return f->status;
    }
    ht_tensor_desc out = ht_graph_value_desc(f->graph, result);
    if (out.format != HT_FORMAT_NONE) {
        out.label = "bench result";
        f->status = ht_tensor_create(f->context, &out, &f->tensors[f->n_tensors++]);
        if (f->status != HT_OK) {
            return f->status;
        }
        ht_graph_output(f->graph, result, f->tensors[f->n_tensors - 1]);
    }
    return ht_graph_finish(f->graph);
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

// Processor time of the program so far.
static double processor_seconds(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

// Time of one run, from the timestamps around the nodes.
static ht_status run_once(fixture *f, double *seconds) {
    ht_node_timing timings[4];
    const ht_status status = ht_graph_run(f->graph);
    *seconds = 0.0;
    if (status == HT_OK) {
        const uint32_t count = ht_graph_timings(f->graph, timings, 4);
        for (uint32_t i = 0; i < count && i < 4; i++) {
            *seconds += (double)timings[i].time_ns * 1e-9;
        }
    }
    return status;
}

// What multiplies; attention does so by f32 on every tier.
static ht_bench_unit unit_of(ht_context *context, const bench_case *c, ht_format format) {
    const ht_format x = c->x ? c->x : format, w = c->w ? c->w : HT_FORMAT_F16;
    switch (c->op) {
    case BENCH_LINEAR: return ht_bench_unit_of(context, x, w, c->n[0], c->n[2]);
    case BENCH_CONV2D: return ht_bench_unit_of(context, x, w, c->n[0] * c->n[1], c->n[2]);
    default: return HT_BENCH_F32;
    }
}

ht_status bench_open(ht_context *context, const bench_case *c, const bench_settings *settings,
                     bench_fixture **out) {
    fixture *f = *out = calloc(1, sizeof *f);
    if (f == NULL) {
        return ht_fail(context, HT_ERR_NO_MEMORY, "bench: no memory left");
    }
    f->context = context;
    f->settings = settings;
    f->result = (bench_result){
        .what = c, .format = settings->format, .unit = unit_of(context, c, settings->format)};
    ht_status status = prepare(f, c);
    if (status == HT_OK) {
        status = run_once(f, &f->result.first_s);
    }
    if (status != HT_OK) {
        bench_close(out);
    }
    return status;
}

ht_status bench_turn(bench_fixture *f, double seconds) {
    const double before = processor_seconds();
    ht_status status = HT_OK;
    double total = 0.0;
    uint32_t runs = 0;
    if (f->count == MAX_REPEATS) {
        return HT_OK;
    }
    while (status == HT_OK && (runs == 0 || total < seconds)) {
        double time;
        status = run_once(f, &time);
        total += time;
        runs++;
    }
    f->times[f->count] = total / runs;
    f->processor[f->count++] = (processor_seconds() - before) / runs;
    return status;
}

static double median(double *values, uint32_t count) {
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

void bench_summary(const bench_fixture *f, const bench_fixture *base, bench_result *result) {
    double values[MAX_REPEATS];
    uint32_t count = f->count;
    *result = f->result;
    result->repeats = count;
    memcpy(values, f->times, count * sizeof *values);
    result->median_s = median(values, count);
    result->best_s = values[0];
    memcpy(values, f->processor, count * sizeof *values);
    result->processor_s = median(values, count);
    if (base != NULL) {
        count = count < base->count ? count : base->count;
        for (uint32_t i = 0; i < count; i++) {
            values[i] = base->processor[i] > 0.0 ? f->processor[i] / base->processor[i] : 0.0;
        }
        result->against = median(values, count);
    }
}

void bench_close(bench_fixture **f) {
    if (*f == NULL) {
        return;
    }
    ht_graph_destroy(&(*f)->graph);
    for (uint32_t i = 0; i < (*f)->n_tensors; i++) {
        ht_tensor_destroy(&(*f)->tensors[i]);
    }
    free(*f);
    *f = NULL;
}

ht_status bench_measure(ht_context *context, const bench_case *c, const bench_settings *settings,
                        bench_result *result) {
    bench_fixture *f = NULL;
    ht_status status = bench_open(context, c, settings, &f);
    double total = 0.0;
    while (status == HT_OK && f->count < MAX_REPEATS &&
           (f->count < MIN_REPEATS || total < settings->seconds)) {
        status = bench_turn(f, 0.0);
        total += f->times[f->count - 1];
    }
    if (status == HT_OK) {
        bench_summary(f, NULL, result);
    }
    bench_close(&f);
    return status;
}
