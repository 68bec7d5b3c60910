// group_norm: statistics over all positions and the channels of a group, per batch item, in two
// steps (per chunk of positions, then together), and a third that applies them; that of quantize
// where the result is packed. group_statistics: the first two alone.
#include "quantize.h"

#include "group_norm.shared.h"

typedef struct params {
    uint32_t groups;
    float eps;
    ht_activation act;
} params;

enum { X, WEIGHT, BIAS, STATISTICS };

static const ht_op_def GROUP_NORM, GROUP_STATISTICS;

ht_value ht_op_group_norm(ht_graph *g, ht_value x, const ht_group_norm_args *args) {
    const params p = {args->groups, args->eps, args->act};
    const ht_value inputs[] = {x, args->weight, args->bias, args->statistics};
    return ht_op_add_node(g, &GROUP_NORM, inputs, 4, &p, sizeof p);
}

ht_value ht_op_group_statistics(ht_graph *g, ht_value x, uint32_t groups) {
    const params p = {.groups = groups};
    return ht_op_add_node(g, &GROUP_STATISTICS, &x, 1, &p, sizeof p);
}

static ht_status check_groups(const ht_op_call *call, const ht_op_def *def) {
    const params *p = call->params;
    const uint32_t channels = ht_op_width(&call->in[X]);
    ht_status status = HT_OK;
    HT_TRY(ht_op_check_float(call, def, X, "x"));
    if (call->in[X].rank < 2) {
        return ht_op_fail(call, def, "x must be [B, .., C], has rank %u", call->in[X].rank);
    }
    if (p->groups == 0 || channels % p->groups != 0) {
        return ht_op_fail(call, def, "%u groups do not divide %u channels", p->groups, channels);
    }
fail:
    return status;
}

static ht_status infer_statistics(ht_op_call *call) {
    const params *p = call->params;
    ht_status status = HT_OK;
    HT_TRY(check_groups(call, &GROUP_STATISTICS));
    call->out = (ht_tensor_desc){
        .format = HT_FORMAT_F32, .rank = 3, .dims = {call->in[X].dims[0], p->groups, 2}};
fail:
    return status;
}

static ht_status check_statistics(const ht_op_call *call) {
    const params *p = call->params;
    const ht_tensor_desc *s = &call->in[STATISTICS];
    if (s->format != HT_FORMAT_F32 || s->rank != 3 || s->dims[0] != call->in[X].dims[0] ||
        s->dims[1] != p->groups || s->dims[2] != 2) {
        return ht_op_fail(call, &GROUP_NORM, "statistics must be f32 [%u, %u, 2]",
                          call->in[X].dims[0], p->groups);
    }
    return HT_OK;
}

static ht_status infer(ht_op_call *call) {
    const params *p = call->params;
    const uint32_t channels = ht_op_width(&call->in[X]);
    ht_status status = HT_OK;
    HT_TRY(check_groups(call, &GROUP_NORM));
    if (ht_op_has(call, STATISTICS)) {
        HT_TRY(check_statistics(call));
    }
    if (!(p->eps >= 0.0f)) {
        return ht_op_fail(call, &GROUP_NORM, "eps must not be negative, is %g", (double)p->eps);
    }
    if (!ht_op_has(call, WEIGHT) || !ht_op_has(call, BIAS)) {
        return ht_op_fail(call, &GROUP_NORM, "weight and bias must be given");
    }
    HT_TRY(ht_op_check_vector(call, &GROUP_NORM, WEIGHT, channels, "weight"));
    HT_TRY(ht_op_check_vector(call, &GROUP_NORM, BIAS, channels, "bias"));
    if ((uint32_t)p->act > HT_ACT_RELU) {
        return ht_op_fail(call, &GROUP_NORM, "there is no activation %d", (int)p->act);
    }
    ht_op_same_shape(call);
fail:
    return status;
}

// How the picture is cut: see group_norm.shared.h.
typedef struct shape {
    uint32_t local;
    bool wide;
    uint32_t batch, positions, channels;
    uint32_t lanes_log2, subrows, quads_per_lane, blocks, chunks, chunk_positions;
} shape;

// No more than MAX_PARTS partial results per channel; chunks long enough (CHUNK_ROWS positions per
// invocation) to be worth a workgroup.
enum { MAX_PARTS = 2048, CHUNK_ROWS = 64 };

// Drivers on a CPU want memory in order: several quads per invocation, so that a workgroup reads
// long runs (measured on 128 channels: 4 quads are three times as fast as 1). More than 8 would
// cost more to compile than they save.
static uint32_t quads_per_lane(const ht_op_call *call, uint32_t blocks) {
    static const uint32_t choices[] = {8, 5, 4, 2};
    for (uint32_t i = 0; i < 4 && ht_context_tier(call->context) == HT_TIER_CPU; i++) {
        if (blocks % choices[i] == 0) {
            return choices[i];
        }
    }
    return 1;
}

static shape cut(const ht_op_call *call, bool wide) {
    const ht_tensor_desc *x = &call->in[X];
    shape s = {.local = ht_op_row_local(call), .wide = wide};
    s.batch = x->dims[0];
    s.channels = ht_op_width(x);
    s.positions = (uint32_t)(ht_desc_count(x) / s.batch / s.channels);
    const uint32_t quads = s.channels / (wide ? 4 : 1);
    while ((1u << s.lanes_log2) < quads && (2u << s.lanes_log2) <= s.local) {
        s.lanes_log2++;
    }
    s.subrows = s.local >> s.lanes_log2;
    const bool whole = quads >> s.lanes_log2 << s.lanes_log2 == quads;
    s.quads_per_lane = quads_per_lane(call, whole ? quads >> s.lanes_log2 : 1);
    const uint32_t per_group = s.quads_per_lane << s.lanes_log2;
    s.blocks = (quads + per_group - 1) / per_group;
    uint32_t chunks = s.positions / (CHUNK_ROWS * s.subrows);
    chunks = ht_op_min(chunks, MAX_PARTS / s.subrows);
    chunks = chunks == 0 ? 1 : chunks;
    s.chunk_positions = (s.positions + chunks - 1) / chunks;
    s.chunks = (s.positions + s.chunk_positions - 1) / s.chunk_positions;
    return s;
}

static uint64_t factors_bytes(const shape *s) {
    return UINT64_C(3) * s->batch * s->channels * sizeof(float);
}

static uint64_t partials_bytes(const shape *s) {
    return (uint64_t)s->batch * s->chunks * s->subrows * s->channels * 2 * sizeof(float);
}

// Asked for before addresses are known, so it must do for both ways.
static uint64_t scratch(const ht_op_call *call) {
    const shape narrow = cut(call, false);
    const shape wide = cut(call, true);
    const uint64_t a = partials_bytes(&narrow);
    const uint64_t b = partials_bytes(&wide);
    return factors_bytes(&narrow) + 8 + (a > b ? a : b);
}

static ht_push_group_norm push_of(const ht_op_call *call, const shape *s) {
    const params *p = call->params;
    return (ht_push_group_norm){
        .x = call->in_address[X],
        .factors = call->scratch_address,
        .partials = call->scratch_address + (factors_bytes(s) + 7) / 8 * 8,
        .batch = s->batch,
        .positions = s->positions,
        .channels = s->channels,
        .groups = p->groups,
        .chunks = s->chunks,
        .chunk_positions = s->chunk_positions,
        .blocks = s->blocks,
        .lanes_log2 = s->lanes_log2,
        .subrows = s->subrows,
        .eps = p->eps,
    };
}

// A step over all chunks, or (`combine`) over all groups.
static ht_status dispatch(const ht_op_call *call, const shape *s, const ht_push_group_norm *push,
                          ht_vk_dispatch_desc step, ht_vk_commands *commands) {
    const bool combine = step.kernel == HT_KERNEL_group_norm_combine;
    const uint64_t tiles = (uint64_t)s->batch * s->chunks * s->blocks;
    step.push = push;
    step.push_bytes = sizeof *push;
    step.label = call->label;
    ht_vk_split_groups(call->context, combine ? (uint64_t)s->batch * push->groups : tiles,
                       step.groups);
    return ht_vk_dispatch(commands, &step);
}

// The first two steps: factors from x, or from statistics that are given; or the statistics of x.
static ht_status moments(const ht_op_call *call, const shape *s, const ht_push_group_norm *push,
                         bool measure, ht_vk_commands *commands) {
    const bool given = !measure && push->statistics != 0;
    ht_status status = HT_OK;
    if (!given) {
        HT_TRY(dispatch(
            call, s, push,
            (ht_vk_dispatch_desc){
                .kernel = HT_KERNEL_group_norm_partial,
                .constants = {s->local, (uint32_t)call->in[X].format, s->wide, s->quads_per_lane},
                .n_constants = 4,
            },
            commands));
        ht_vk_barrier(commands);
    }
    HT_TRY(dispatch(call, s, push,
                    (ht_vk_dispatch_desc){
                        .kernel = HT_KERNEL_group_norm_combine,
                        .constants = {s->local, given, measure},
                        .n_constants = 3,
                    },
                    commands));
fail:
    return status;
}

static ht_status record_statistics(const ht_op_call *call, ht_vk_commands *commands) {
    const shape s = cut(call, ht_op_wide(call, ht_op_width(&call->in[X])));
    ht_push_group_norm push = push_of(call, &s);
    push.statistics = call->out_address;
    return moments(call, &s, &push, true, commands);
}

static ht_status record(const ht_op_call *call, ht_vk_commands *commands) {
    const params *p = call->params;
    const shape s = cut(call, ht_op_wide(call, ht_op_width(&call->in[X])));
    ht_push_group_norm push = push_of(call, &s);
    push.weight = call->in_address[WEIGHT];
    push.bias = call->in_address[BIAS];
    push.result = call->out_address;
    push.statistics = ht_op_has(call, STATISTICS) ? call->in_address[STATISTICS] : 0;
    ht_status status = HT_OK;
    HT_TRY(moments(call, &s, &push, false, commands));
    ht_vk_barrier(commands);
    if (ht_format_is_packed(call->out.format)) {
        const ht_op_quantize_source source = {.kind = HT_QUANTIZE_NORMALISED,
                                              .act = p->act,
                                              .factors = push.factors,
                                              .item = s.positions};
        HT_TRY(ht_op_record_quantize(call, &source, commands));
    } else {
        HT_TRY(dispatch(
            call, &s, &push,
            (ht_vk_dispatch_desc){
                .kernel = HT_KERNEL_group_norm_apply,
                .constants = {s.local, (uint32_t)call->in[X].format, (uint32_t)call->out.format,
                              s.wide, p->act, s.quads_per_lane},
                .n_constants = 6,
            },
            commands));
    }
fail:
    return status;
}

static ht_status reference_statistics(const ht_op_call *call, const float *const *inputs,
                                      float *out) {
    const params *p = call->params;
    const ht_tensor_desc *x = &call->in[X];
    ht_ref_group_statistics(inputs[X], x->dims[0], ht_op_rows(x) / x->dims[0], ht_op_width(x),
                            p->groups, out);
    return HT_OK;
}

static ht_status reference(const ht_op_call *call, const float *const *inputs, float *out) {
    const params *p = call->params;
    const ht_tensor_desc *x = &call->in[X];
    const ht_ref_group_norm_args args = {.groups = p->groups,
                                         .eps = p->eps,
                                         .weight = inputs[WEIGHT],
                                         .bias = inputs[BIAS],
                                         .statistics = inputs[STATISTICS],
                                         .act = p->act};
    ht_ref_group_norm(inputs[X], x->dims[0], ht_op_rows(x) / x->dims[0], ht_op_width(x), &args,
                      out);
    return HT_OK;
}

static const ht_op_def GROUP_NORM = {.name = "group_norm",
                                     .infer = infer,
                                     .scratch = scratch,
                                     .record = record,
                                     .reference = reference,
                                     .packs = ht_op_packs_any,
                                     .in_place = true};

static const ht_op_def GROUP_STATISTICS = {.name = "group_statistics",
                                           .infer = infer_statistics,
                                           .scratch = scratch,
                                           .record = record_statistics,
                                           .reference = reference_statistics};
