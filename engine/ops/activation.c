// activation: a function of each value.
#include "elementwise.h"
#include "quantize.h"

typedef struct params {
    ht_activation act;
} params;

static const ht_op_def ACTIVATION;

ht_value ht_op_activation(ht_graph *g, ht_value x, ht_activation act) {
    const params p = {act};
    return ht_op_add_node(g, &ACTIVATION, &x, 1, &p, sizeof p);
}

static ht_status infer(ht_op_call *call) {
    const params *p = call->params;
    ht_status status = HT_OK;
    HT_TRY(ht_op_check_float(call, &ACTIVATION, 0, "x"));
    if ((uint32_t)p->act > HT_ACT_RELU) {
        return ht_op_fail(call, &ACTIVATION, "there is no activation %d", (int)p->act);
    }
    ht_op_same_shape(call);
fail:
    return status;
}

static ht_status record(const ht_op_call *call, ht_vk_commands *commands) {
    const params *p = call->params;
    if (ht_format_is_packed(call->out.format)) {
        const ht_op_quantize_source source = {.kind = HT_QUANTIZE_VALUES, .act = p->act};
        return ht_op_record_quantize(call, &source, commands);
    }
    const ht_op_elementwise what = {.kind = HT_ELEMENTWISE_ACTIVATION, .act = p->act};
    return ht_op_record_elementwise(call, &what, commands);
}

static ht_status reference(const ht_op_call *call, const float *const *inputs, float *out) {
    const params *p = call->params;
    ht_ref_activation(inputs[0], ht_desc_count(&call->out), p->act, out);
    return HT_OK;
}

static const ht_op_def ACTIVATION = {.name = "activation",
                                     .infer = infer,
                                     .record = record,
                                     .reference = reference,
                                     .packs = ht_op_packs_any,
                                     .in_place = true};
