// cast: the same values in another float format.
#include "op_util.h"

typedef struct params {
    ht_format format;
} params;

static const ht_op_def CAST;

ht_value ht_op_cast(ht_graph *g, ht_value x, ht_format format) {
    const params p = {format};
    return ht_op_add_node(g, &CAST, &x, 1, &p, sizeof p);
}

static ht_status infer(ht_op_call *call) {
    const params *p = call->params;
    const ht_tensor_desc wanted = {.format = p->format};
    ht_status status = HT_OK;
    HT_TRY(ht_op_check_float(call, &CAST, 0, "x"));
    if (!ht_op_is_float(&wanted)) {
        return ht_op_fail(call, &CAST, "the new format must be f32, f16 or bf16, not %s",
                          ht_format_name(p->format));
    }
    ht_op_same_shape(call);
    call->out.format = p->format;
fail:
    return status;
}

static ht_op_copy plan(const ht_op_call *call) {
    const uint32_t count = (uint32_t)ht_desc_count(&call->out);
    return (ht_op_copy){
        .rank = 1, .dims = {count}, .from = {.strides = {1}}, .to = {.strides = {1}}};
}

static ht_status record(const ht_op_call *call, ht_vk_commands *commands) {
    const ht_op_copy copy = plan(call);
    return ht_op_record_copy(call, &copy, commands);
}

static ht_status reference(const ht_op_call *call, const float *const *inputs, float *out) {
    const ht_op_copy copy = plan(call);
    ht_ref_copy(inputs[0], &copy.from, copy.rank, copy.dims, &copy.to, out);
    return HT_OK;
}

static const ht_op_def CAST = {
    .name = "cast", .infer = infer, .record = record, .reference = reference};
