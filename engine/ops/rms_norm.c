// rms_norm: rows divided by the root of their mean square, then a weight.
#include "quantize.h"
#include "row_norm.h"

typedef struct params {
    float eps;
} params;

static const ht_op_def RMS_NORM;

ht_value ht_op_rms_norm(ht_graph *g, ht_value x, ht_value weight, float eps) {
    const params p = {eps};
    return ht_op_add_node(g, &RMS_NORM, (ht_value[]){x, weight}, 2, &p, sizeof p);
}

static ht_status infer(ht_op_call *call) {
    const params *p = call->params;
    const uint32_t width = ht_op_width(&call->in[ROW_NORM_X]);
    ht_status status = HT_OK;
    HT_TRY(ht_op_check_float(call, &RMS_NORM, ROW_NORM_X, "x"));
    if (call->in[ROW_NORM_X].rank == 0) {
        return ht_op_fail(call, &RMS_NORM, "x must have a dimension to normalise");
    }
    if (!(p->eps >= 0.0f)) {
        return ht_op_fail(call, &RMS_NORM, "eps must not be negative, is %g", (double)p->eps);
    }
    HT_TRY(ht_op_check_vector(call, &RMS_NORM, ROW_NORM_WEIGHT, width, "weight"));
    ht_op_same_shape(call);
fail:
    return status;
}

static ht_status record(const ht_op_call *call, ht_vk_commands *commands) {
    const params *p = call->params;
    return ht_op_record_row_norm(call, &(ht_op_norm){p->eps, false}, commands);
}

static ht_status reference(const ht_op_call *call, const float *const *inputs, float *out) {
    const params *p = call->params;
    ht_ref_rms_norm(inputs[ROW_NORM_X], ht_op_rows(&call->out), ht_op_width(&call->out),
                    inputs[ROW_NORM_WEIGHT], p->eps, out);
    return HT_OK;
}

static bool norm(const ht_op_call *call, ht_op_norm *out) {
    const params *p = call->params;
    *out = (ht_op_norm){.eps = p->eps, .centre = false};
    return true;
}

static const ht_op_def RMS_NORM = {.name = "rms_norm",
                                   .infer = infer,
                                   .record = record,
                                   .reference = reference,
                                   .packs = ht_op_packs_any,
                                   .norm = norm};
