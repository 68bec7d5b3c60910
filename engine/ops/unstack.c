// unstack: the floats that a residual stack stands for, made before each use of the weight. They live
// no longer than the product that reads them.
#include "op_util.h"
#include "stack_format.h"

#include "unstack.shared.h"

_Static_assert(HT_UNSTACK_BLOCKS == HT_STACK_MAX_BLOCKS, "blocks of a table");

typedef struct params {
    uint32_t rank;
} params;

static const ht_op_def UNSTACK;

ht_value ht_op_unstack(ht_graph *g, ht_value w, uint32_t rank) {
    const params p = {rank};
    return ht_op_add_node(g, &UNSTACK, &w, 1, &p, sizeof p);
}

static ht_status infer(ht_op_call *call) {
    const params *p = call->params;
    if (!ht_format_is_stack(call->in[0].format)) {
        return ht_op_fail(call, &UNSTACK, "w must be a residual stack, not %s",
                          ht_format_name(call->in[0].format));
    }
    if (p->rank == 0 || p->rank > HT_STACK_MAX_RANK) {
        return ht_op_fail(call, &UNSTACK, "rank must be 1 to %d, not %u", HT_STACK_MAX_RANK,
                          p->rank);
    }
    if (ht_desc_count(&call->in[0]) > INT32_MAX) {
        return ht_op_fail(call, &UNSTACK, "w has more than 2^31 - 1 values");
    }
    ht_op_same_shape(call);
    return HT_OK;
}

static ht_status record(const ht_op_call *call, ht_vk_commands *commands) {
    const params *p = call->params;
    ht_stack_layout at;
    ht_stack_layout_of(&call->in[0], p->rank, &at);
    const bool wide = at.width % 4 == 0 && call->out_address % 8 == 0;
    const uint32_t quads = (at.width + 3) / 4;
    const ht_push_unstack push = {
        .table = call->in_address[0],
        .result = call->out_address,
        .count = (uint32_t)at.rows * quads,
        .quads = quads,
        .width = at.width,
        .words = at.padded / 32,
        .rank = p->rank,
        .left = (uint32_t)at.left,
        .right = (uint32_t)at.right,
    };
    ht_vk_dispatch_desc dispatch = {
        .kernel = HT_KERNEL_unstack,
        .constants = {[1] = call->out.format, wide},
        .n_constants = 3,
        .push = &push,
        .push_bytes = sizeof push,
    };
    return ht_op_dispatch_flat(call, commands, &dispatch, push.count);
}

// The graph reads a stack as the floats that its blocks on the device stand for.
static ht_status reference(const ht_op_call *call, const float *const *inputs, float *out) {
    memcpy(out, inputs[0], ht_desc_count(&call->out) * sizeof *out);
    return HT_OK;
}

static const ht_op_def UNSTACK = {
    .name = "unstack", .infer = infer, .record = record, .reference = reference};
