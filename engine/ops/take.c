// take: columns of the last dimension, by number.
#include "op_util.h"

#include "take.shared.h"

enum { X, COLUMNS };

static const ht_op_def TAKE;

ht_value ht_op_take(ht_graph *g, ht_value x, ht_value columns) {
    return ht_op_add_node(g, &TAKE, (ht_value[]){x, columns}, 2, NULL, 0);
}

static ht_status infer(ht_op_call *call) {
    const ht_tensor_desc *x = &call->in[X], *columns = &call->in[COLUMNS];
    ht_status status = HT_OK;
    HT_TRY(ht_op_check_float(call, &TAKE, X, "x"));
    if (columns->format != HT_FORMAT_I32 || columns->rank != 1) {
        return ht_op_fail(call, &TAKE, "columns must be i32 [n], not %s of rank %u",
                          ht_format_name(columns->format), columns->rank);
    }
    ht_op_same_shape(call);
    call->out.dims[x->rank - 1] = columns->dims[0];
fail:
    return status;
}

static ht_status record(const ht_op_call *call, ht_vk_commands *commands) {
    const ht_push_take push = {
        .x = call->in_address[X],
        .columns = call->in_address[COLUMNS],
        .result = call->out_address,
        .count = (uint32_t)ht_desc_count(&call->out),
        .width = call->in[COLUMNS].dims[0],
        .x_width = call->in[X].dims[call->in[X].rank - 1],
    };
    ht_vk_dispatch_desc dispatch = {
        .kernel = HT_KERNEL_take,
        .constants = {[1] = call->in[X].format, call->out.format},
        .n_constants = 3,
        .push = &push,
        .push_bytes = sizeof push,
    };
    return ht_op_dispatch_flat(call, commands, &dispatch, push.count);
}

static ht_status reference(const ht_op_call *call, const float *const *inputs, float *out) {
    const uint64_t width = call->in[X].dims[call->in[X].rank - 1];
    ht_ref_take(inputs[X], ht_desc_count(&call->in[X]) / width, width, inputs[COLUMNS],
                call->in[COLUMNS].dims[0], out);
    return HT_OK;
}

static const ht_op_def TAKE = {
    .name = "take", .infer = infer, .record = record, .reference = reference};
