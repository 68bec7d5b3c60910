// gated_activation: one half of each row times a function of the other.
#include "elementwise.h"
#include "quantize.h"

typedef struct params {
    ht_activation act;
} params;

static const ht_op_def GATED;

ht_value ht_op_gated_activation(ht_graph *g, ht_value x, ht_activation act) {
    const params p = {act};
    return ht_op_add_node(g, &GATED, &x, 1, &p, sizeof p);
}

static ht_status infer(ht_op_call *call) {
    const params *p = call->params;
    ht_status status = HT_OK;
    HT_TRY(ht_op_check_float(call, &GATED, 0, "x"));
    if ((uint32_t)p->act > HT_ACT_RELU) {
        return ht_op_fail(call, &GATED, "there is no activation %d", (int)p->act);
    }
    if (call->in[0].rank == 0 || ht_op_width(&call->in[0]) % 2 != 0) {
        return ht_op_fail(call, &GATED, "rows of %u values have no halves",
                          ht_op_width(&call->in[0]));
    }
    ht_op_same_shape(call);
    call->out.dims[call->out.rank - 1] /= 2;
fail:
    return status;
}

static ht_status record(const ht_op_call *call, ht_vk_commands *commands) {
    const params *p = call->params;
    if (ht_format_is_packed(call->out.format)) {
        const ht_op_quantize_source source = {.kind = HT_QUANTIZE_GATED, .act = p->act};
        return ht_op_record_quantize(call, &source, commands);
    }
    const ht_op_elementwise what = {.kind = HT_ELEMENTWISE_GATED, .act = p->act};
    return ht_op_record_elementwise(call, &what, commands);
}

static ht_status reference(const ht_op_call *call, const float *const *inputs, float *out) {
    const params *p = call->params;
    ht_ref_gated_activation(inputs[0], ht_op_rows(&call->out), ht_op_width(&call->out), p->act,
                            out);
    return HT_OK;
}

static const ht_op_def GATED = {.name = "gated_activation",
                                .infer = infer,
                                .record = record,
                                .reference = reference,
                                .packs = ht_op_packs_any};
