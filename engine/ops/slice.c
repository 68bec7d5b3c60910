// slice: a range of one axis.
#include "op_util.h"

typedef struct params {
    uint32_t axis, begin, count;
} params;

static const ht_op_def SLICE;

// A range of the outermost axis lies in one piece: the same memory serves.
static ht_value view(ht_graph *g, ht_value x, const params *p) {
    ht_tensor_desc desc = ht_graph_value_desc(g, x);
    if (!ht_op_is_float(&desc) || p->axis >= desc.rank || p->count == 0 ||
        (uint64_t)p->begin + p->count > desc.dims[p->axis]) {
        return HT_NO_VALUE;
    }
    for (uint32_t i = 0; i < p->axis; i++) {
        if (desc.dims[i] != 1) {
            return HT_NO_VALUE;
        }
    }
    const uint64_t piece = ht_desc_bytes(&desc) / desc.dims[p->axis];
    desc.dims[p->axis] = p->count;
    return ht_op_add_view(g, x, p->begin * piece, desc.rank, desc.dims);
}

ht_value ht_op_slice(ht_graph *g, ht_value x, uint32_t axis, uint32_t begin, uint32_t count) {
    const params p = {axis, begin, count};
    const ht_value part = view(g, x, &p);
    return part.id != HT_NO_VALUE.id ? part : ht_op_add_node(g, &SLICE, &x, 1, &p, sizeof p);
}

static ht_status infer(ht_op_call *call) {
    const params *p = call->params;
    const ht_tensor_desc *x = &call->in[0];
    ht_status status = HT_OK;
    HT_TRY(ht_op_check_float(call, &SLICE, 0, "x"));
    if (p->axis >= x->rank) {
        return ht_op_fail(call, &SLICE, "axis %u of a tensor of rank %u", p->axis, x->rank);
    }
    if (p->count == 0 || (uint64_t)p->begin + p->count > x->dims[p->axis]) {
        return ht_op_fail(call, &SLICE, "%u values from %u of a dimension of %u", p->count,
                          p->begin, x->dims[p->axis]);
    }
    ht_op_same_shape(call);
    call->out.dims[p->axis] = p->count;
fail:
    return status;
}

static ht_op_copy plan(const ht_op_call *call) {
    const params *p = call->params;
    ht_op_copy copy = {.rank = call->out.rank};
    memcpy(copy.dims, call->out.dims, sizeof copy.dims);
    ht_op_dense_strides(copy.rank, call->in[0].dims, copy.from.strides);
    ht_op_dense_strides(copy.rank, call->out.dims, copy.to.strides);
    copy.from.offset = p->begin * copy.from.strides[p->axis];
    return copy;
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

static const ht_op_def SLICE = {
    .name = "slice", .infer = infer, .record = record, .reference = reference};
