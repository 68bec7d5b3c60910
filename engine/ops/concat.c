// concat: two tensors joined along an axis, one copy each.
#include "op_util.h"

typedef struct params {
    uint32_t axis;
} params;

static const ht_op_def CONCAT;

ht_value ht_op_concat(ht_graph *g, ht_value a, ht_value b, uint32_t axis) {
    const params p = {axis};
    return ht_op_add_node(g, &CONCAT, (ht_value[]){a, b}, 2, &p, sizeof p);
}

static ht_status infer(ht_op_call *call) {
    const params *p = call->params;
    const ht_tensor_desc *a = &call->in[0];
    const ht_tensor_desc *b = &call->in[1];
    ht_status status = HT_OK;
    HT_TRY(ht_op_check_float(call, &CONCAT, 0, "a"));
    HT_TRY(ht_op_check_float(call, &CONCAT, 1, "b"));
    if (p->axis >= a->rank) {
        return ht_op_fail(call, &CONCAT, "axis %u of a tensor of rank %u", p->axis, a->rank);
    }
    bool fits = a->rank == b->rank;
    for (uint32_t d = 0; d < a->rank && fits; d++) {
        fits = d == p->axis || a->dims[d] == b->dims[d];
    }
    if (!fits) {
        char left[128], right[128];
        return ht_op_fail(call, &CONCAT, "a, %s, and b, %s, differ in more than dimension %u",
                          ht_desc_text(a, left, sizeof left), ht_desc_text(b, right, sizeof right),
                          p->axis);
    }
    ht_op_same_shape(call);
    call->out.dims[p->axis] = a->dims[p->axis] + b->dims[p->axis];
fail:
    return status;
}

static ht_op_copy plan(const ht_op_call *call, uint32_t input) {
    const params *p = call->params;
    const ht_tensor_desc *in = &call->in[input];
    ht_op_copy copy = {.rank = in->rank, .input = input};
    memcpy(copy.dims, in->dims, sizeof copy.dims);
    ht_op_dense_strides(in->rank, in->dims, copy.from.strides);
    ht_op_dense_strides(call->out.rank, call->out.dims, copy.to.strides);
    copy.to.offset = input == 0 ? 0 : call->in[0].dims[p->axis] * copy.to.strides[p->axis];
    return copy;
}

static ht_status record(const ht_op_call *call, ht_vk_commands *commands) {
    ht_status status = HT_OK;
    for (uint32_t i = 0; i < 2; i++) {
        const ht_op_copy copy = plan(call, i);
        HT_TRY(ht_op_record_copy(call, &copy, commands));
    }
fail:
    return status;
}

static ht_status reference(const ht_op_call *call, const float *const *inputs, float *out) {
    for (uint32_t i = 0; i < 2; i++) {
        const ht_op_copy copy = plan(call, i);
        ht_ref_copy(inputs[i], &copy.from, copy.rank, copy.dims, &copy.to, out);
    }
    return HT_OK;
}

static const ht_op_def CONCAT = {
    .name = "concat", .infer = infer, .record = record, .reference = reference};
