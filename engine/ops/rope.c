// rope: pairs of neighbours turned by the angles of a table, one quad per invocation.
#include "op_util.h"

#include "rope.shared.h"

enum { X, TABLE };

ht_value ht_op_rope(ht_graph *g, ht_value x, ht_value table) {
    return ht_op_add_node(g, &ht_op_rope_def, (ht_value[]){x, table}, 2, NULL, 0);
}

static ht_status infer(ht_op_call *call) {
    const ht_tensor_desc *x = &call->in[X], *table = &call->in[TABLE];
    char text[128];
    ht_status status = HT_OK;
    HT_TRY(ht_op_check_float(call, &ht_op_rope_def, X, "x"));
    if (x->rank != 3) {
        return ht_op_fail(call, &ht_op_rope_def, "x must be [B, T, C], not %s",
                          ht_desc_text(x, text, sizeof text));
    }
    if (table->format != HT_FORMAT_F32 || table->rank != 2 || table->dims[0] != x->dims[1]) {
        return ht_op_fail(call, &ht_op_rope_def, "table must be f32 [%u, D], not %s", x->dims[1],
                          ht_desc_text(table, text, sizeof text));
    }
    if (table->dims[1] == 0 || table->dims[1] % 4 != 0 || x->dims[2] % table->dims[1] != 0) {
        return ht_op_fail(call, &ht_op_rope_def,
                          "a head of %u values must be a multiple of 4 and divide the %u of x",
                          table->dims[1], x->dims[2]);
    }
    ht_op_same_shape(call);
fail:
    return status;
}

static ht_status record(const ht_op_call *call, ht_vk_commands *commands) {
    const ht_tensor_desc *table = &call->in[TABLE];
    const ht_push_rope push = {
        .x = call->in_address[X],
        .table = call->in_address[TABLE],
        .result = call->out_address,
        .count = (uint32_t)(ht_desc_count(&call->out) / 4),
        .row = ht_op_width(&call->out) / 4,
        .tokens = table->dims[0],
        .head = table->dims[1] / 4,
    };
    ht_vk_dispatch_desc dispatch = {
        .kernel = HT_KERNEL_rope,
        .constants = {[1] = call->in[X].format, call->out.format, ht_op_wide(call, 4)},
        .n_constants = 4,
        .push = &push,
        .push_bytes = sizeof push,
    };
    return ht_op_dispatch_flat(call, commands, &dispatch, push.count);
}

static ht_status reference(const ht_op_call *call, const float *const *inputs, float *out) {
    ht_ref_rope(inputs[X], ht_op_rows(&call->out), ht_op_width(&call->out), inputs[TABLE],
                call->in[TABLE].dims[0], call->in[TABLE].dims[1], out);
    return HT_OK;
}

const ht_op_def ht_op_rope_def = {
    .name = "rope", .infer = infer, .record = record, .reference = reference};
