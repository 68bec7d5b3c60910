// permute: the dimensions in another order.
#include "op_util.h"

typedef struct params {
    uint32_t order[HT_MAX_RANK];
} params;

static const ht_op_def PERMUTE;

ht_value ht_op_permute(ht_graph *g, ht_value x, const uint32_t *order) {
    const uint32_t rank = ht_graph_value_desc(g, x).rank; // 0 for a failed value
    params p = {{0}};
    memcpy(p.order, order, rank * sizeof *order);
    return ht_op_add_node(g, &PERMUTE, &x, 1, &p, sizeof p);
}

static ht_status infer(ht_op_call *call) {
    const params *p = call->params;
    const ht_tensor_desc *x = &call->in[0];
    uint32_t seen = 0;
    ht_status status = HT_OK;
    HT_TRY(ht_op_check_float(call, &PERMUTE, 0, "x"));
    call->out.rank = x->rank;
    for (uint32_t d = 0; d < x->rank; d++) {
        if (p->order[d] >= x->rank || (seen >> p->order[d] & 1u) != 0) {
            return ht_op_fail(call, &PERMUTE, "order[%u] is %u: not each of 0..%u once", d,
                              p->order[d], x->rank - 1);
        }
        seen |= 1u << p->order[d];
        call->out.dims[d] = x->dims[p->order[d]];
    }
fail:
    return status;
}

static ht_op_copy plan(const ht_op_call *call) {
    const params *p = call->params;
    uint64_t strides[HT_MAX_RANK];
    ht_op_copy copy = {.rank = call->out.rank};
    memcpy(copy.dims, call->out.dims, sizeof copy.dims);
    ht_op_dense_strides(copy.rank, call->in[0].dims, strides);
    ht_op_dense_strides(copy.rank, call->out.dims, copy.to.strides);
    for (uint32_t d = 0; d < copy.rank; d++) {
        copy.from.strides[d] = strides[p->order[d]];
    }
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

static const ht_op_def PERMUTE = {
    .name = "permute", .infer = infer, .record = record, .reference = reference};
