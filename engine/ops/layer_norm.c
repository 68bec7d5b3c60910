// layer_norm: rows brought to mean 0 and variance 1, then weight, bias and modulation.
#include "quantize.h"
#include "row_norm.h"

typedef struct params {
    float eps;
} params;

static const ht_op_def LAYER_NORM;

ht_value ht_op_layer_norm(ht_graph *g, ht_value x, const ht_layer_norm_args *args) {
    const params p = {args->eps};
    const ht_value inputs[] = {x, args->weight, args->bias, args->scale, args->shift};
    return ht_op_add_node(g, &LAYER_NORM, inputs, 5, &p, sizeof p);
}

// Absent, [C], [B, C] or [B, 1, C].
static ht_status check_modulation(const ht_op_call *call, uint32_t input, const char *what) {
    const ht_tensor_desc *x = &call->in[ROW_NORM_X];
    const ht_tensor_desc *in = &call->in[input];
    char text[128];
    if (!ht_op_has(call, input)) {
        return HT_OK;
    }
    const uint32_t width = ht_op_width(x);
    const uint64_t rows = in->rank != 0 ? ht_op_rows(in) : 0;
    const bool one = rows == 1;
    const bool per_item = x->rank >= 2 && in->rank >= 2 && in->rank <= 3 && rows == x->dims[0] &&
                          in->dims[0] == x->dims[0];
    if (!ht_op_is_float(in) || ht_op_width(in) != width || (!one && !per_item)) {
        return ht_op_fail(call, &LAYER_NORM, "%s must be a float [%u] or [%u, %u], not %s", what,
                          width, x->dims[0], width, ht_desc_text(in, text, sizeof text));
    }
    return HT_OK;
}

static ht_status infer(ht_op_call *call) {
    const params *p = call->params;
    const uint32_t width = ht_op_width(&call->in[ROW_NORM_X]);
    ht_status status = HT_OK;
    HT_TRY(ht_op_check_float(call, &LAYER_NORM, ROW_NORM_X, "x"));
    if (call->in[ROW_NORM_X].rank == 0) {
        return ht_op_fail(call, &LAYER_NORM, "x must have a dimension to normalise");
    }
    if (!(p->eps >= 0.0f)) {
        return ht_op_fail(call, &LAYER_NORM, "eps must not be negative, is %g", (double)p->eps);
    }
    HT_TRY(ht_op_check_vector(call, &LAYER_NORM, ROW_NORM_WEIGHT, width, "weight"));
    HT_TRY(ht_op_check_vector(call, &LAYER_NORM, ROW_NORM_BIAS, width, "bias"));
    HT_TRY(check_modulation(call, ROW_NORM_SCALE, "scale"));
    HT_TRY(check_modulation(call, ROW_NORM_SHIFT, "shift"));
    ht_op_same_shape(call);
fail:
    return status;
}

static ht_status record(const ht_op_call *call, ht_vk_commands *commands) {
    const params *p = call->params;
    return ht_op_record_row_norm(call, &(ht_op_norm){p->eps, true}, commands);
}

static ht_status reference(const ht_op_call *call, const float *const *inputs, float *out) {
    const params *p = call->params;
    const ht_ref_layer_norm_args args = {
        .eps = p->eps,
        .weight = inputs[ROW_NORM_WEIGHT],
        .bias = inputs[ROW_NORM_BIAS],
        .scale = inputs[ROW_NORM_SCALE],
        .shift = inputs[ROW_NORM_SHIFT],
        .rows_per_scale = ht_op_rows_per(call, ROW_NORM_SCALE),
        .rows_per_shift = ht_op_rows_per(call, ROW_NORM_SHIFT),
    };
    ht_ref_layer_norm(inputs[ROW_NORM_X], ht_op_rows(&call->out), ht_op_width(&call->out), &args,
                      out);
    return HT_OK;
}

static bool norm(const ht_op_call *call, ht_op_norm *out) {
    const params *p = call->params;
    *out = (ht_op_norm){.eps = p->eps, .centre = true};
    return !ht_op_has(call, ROW_NORM_SCALE) && !ht_op_has(call, ROW_NORM_SHIFT);
}

static const ht_op_def LAYER_NORM = {.name = "layer_norm",
                                     .infer = infer,
                                     .record = record,
                                     .reference = reference,
                                     .packs = ht_op_packs_any,
                                     .norm = norm};
