// upsample: nearest neighbour, each side times a whole factor.
#include "op_util.h"

typedef struct params {
    uint32_t factor;
} params;

static const ht_op_def UPSAMPLE;

ht_value ht_op_upsample(ht_graph *g, ht_value x, uint32_t factor) {
    const params p = {factor};
    return ht_op_add_node(g, &UPSAMPLE, &x, 1, &p, sizeof p);
}

static ht_status infer(ht_op_call *call) {
    const params *p = call->params;
    const ht_tensor_desc *x = &call->in[0];
    ht_status status = HT_OK;
    HT_TRY(ht_op_check_float(call, &UPSAMPLE, 0, "x"));
    if (x->rank != 4) {
        return ht_op_fail(call, &UPSAMPLE, "x must be [B, H, W, C], has rank %u", x->rank);
    }
    if (p->factor == 0 || p->factor > 64) {
        return ht_op_fail(call, &UPSAMPLE, "factor must be 1..64, is %u", p->factor);
    }
    for (uint32_t d = 1; d < 3; d++) {
        if (x->dims[d] > UINT32_MAX / p->factor) {
            return ht_op_fail(call, &UPSAMPLE, "%u rows or columns times %u are too many",
                              x->dims[d], p->factor);
        }
    }
    ht_op_same_shape(call);
    call->out.dims[1] *= p->factor;
    call->out.dims[2] *= p->factor;
fail:
    return status;
}

// A copy of [B, H, factor, W, factor, C] whose source stands still along the factors.
static ht_op_copy plan(const ht_op_call *call) {
    const params *p = call->params;
    const uint32_t *x = call->in[0].dims;
    uint64_t strides[HT_MAX_RANK];
    ht_op_copy copy = {.rank = 6, .dims = {x[0], x[1], p->factor, x[2], p->factor, x[3]}};
    ht_op_dense_strides(4, x, strides);
    ht_op_dense_strides(6, copy.dims, copy.to.strides);
    copy.from.strides[0] = strides[0];
    copy.from.strides[1] = strides[1];
    copy.from.strides[3] = strides[2];
    copy.from.strides[5] = strides[3];
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

static const ht_op_def UPSAMPLE = {
    .name = "upsample", .infer = infer, .record = record, .reference = reference};
