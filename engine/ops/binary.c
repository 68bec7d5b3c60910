// add and mul: two tensors, the second repeated over the first's leading dimensions.
#include "elementwise.h"

static const ht_op_def ADD;
static const ht_op_def MUL;

ht_value ht_op_add(ht_graph *g, ht_value a, ht_value b) {
    return ht_op_add_node(g, &ADD, (ht_value[]){a, b}, 2, NULL, 0);
}

ht_value ht_op_mul(ht_graph *g, ht_value a, ht_value b) {
    return ht_op_add_node(g, &MUL, (ht_value[]){a, b}, 2, NULL, 0);
}

// Are b's dims, but for leading ones, the last dims of a?
static bool repeats(const ht_tensor_desc *a, const ht_tensor_desc *b) {
    uint32_t skip = 0;
    while (skip < b->rank && b->dims[skip] == 1) {
        skip++;
    }
    const uint32_t rank = b->rank - skip;
    return rank <= a->rank &&
           memcmp(a->dims + (a->rank - rank), b->dims + skip, rank * sizeof b->dims[0]) == 0;
}

static ht_status infer(ht_op_call *call, const ht_op_def *def) {
    ht_status status = HT_OK;
    char a[128], b[128];
    HT_TRY(ht_op_check_float(call, def, 0, "a"));
    HT_TRY(ht_op_check_float(call, def, 1, "b"));
    if (!repeats(&call->in[0], &call->in[1])) {
        return ht_op_fail(call, def, "b, %s, must have a's last dimensions; a is %s",
                          ht_desc_text(&call->in[1], b, sizeof b),
                          ht_desc_text(&call->in[0], a, sizeof a));
    }
    ht_op_same_shape(call);
fail:
    return status;
}

static ht_status add_infer(ht_op_call *call) {
    return infer(call, &ADD);
}

static ht_status mul_infer(ht_op_call *call) {
    return infer(call, &MUL);
}

static ht_status add_record(const ht_op_call *call, ht_vk_commands *commands) {
    return ht_op_record_elementwise(call, &(ht_op_elementwise){.kind = HT_ELEMENTWISE_ADD},
                                    commands);
}

static ht_status mul_record(const ht_op_call *call, ht_vk_commands *commands) {
    return ht_op_record_elementwise(call, &(ht_op_elementwise){.kind = HT_ELEMENTWISE_MUL},
                                    commands);
}

static ht_status add_reference(const ht_op_call *call, const float *const *inputs, float *out) {
    ht_ref_add(inputs[0], ht_desc_count(&call->out), inputs[1], ht_desc_count(&call->in[1]), out);
    return HT_OK;
}

static ht_status mul_reference(const ht_op_call *call, const float *const *inputs, float *out) {
    ht_ref_mul(inputs[0], ht_desc_count(&call->out), inputs[1], ht_desc_count(&call->in[1]), out);
    return HT_OK;
}

static const ht_op_def ADD = {
    .name = "add", .infer = add_infer, .record = add_record, .reference = add_reference};
static const ht_op_def MUL = {
    .name = "mul", .infer = mul_infer, .record = mul_record, .reference = mul_reference};
