// affine: x * scale + shift with scalars.
#include "elementwise.h"

typedef struct params {
    float scale, shift;
} params;

static const ht_op_def AFFINE;

ht_value ht_op_affine(ht_graph *g, ht_value x, float scale, float shift) {
    const params p = {scale, shift};
    return ht_op_add_node(g, &AFFINE, &x, 1, &p, sizeof p);
}

static ht_status infer(ht_op_call *call) {
    ht_status status = HT_OK;
    HT_TRY(ht_op_check_float(call, &AFFINE, 0, "x"));
    ht_op_same_shape(call);
fail:
    return status;
}

static ht_status record(const ht_op_call *call, ht_vk_commands *commands) {
    const params *p = call->params;
    const ht_op_elementwise what = {
        .kind = HT_ELEMENTWISE_AFFINE, .scale = p->scale, .shift = p->shift};
    return ht_op_record_elementwise(call, &what, commands);
}

static ht_status reference(const ht_op_call *call, const float *const *inputs, float *out) {
    const params *p = call->params;
    ht_ref_affine(inputs[0], ht_desc_count(&call->out), p->scale, p->shift, out);
    return HT_OK;
}

static const ht_op_def AFFINE = {
    .name = "affine", .infer = infer, .record = record, .reference = reference};
