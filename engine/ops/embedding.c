// embedding: rows of a table, gathered by number.
#include "op_util.h"

#include "embedding.shared.h"

enum { TABLE, IDS };

static const ht_op_def EMBEDDING;

ht_value ht_op_embedding(ht_graph *g, ht_value table, ht_value ids) {
    return ht_op_add_node(g, &EMBEDDING, (ht_value[]){table, ids}, 2, NULL, 0);
}

static ht_status infer(ht_op_call *call) {
    const ht_tensor_desc *table = &call->in[TABLE];
    const ht_tensor_desc *ids = &call->in[IDS];
    ht_status status = HT_OK;
    if (table->format != HT_FORMAT_I32) {
        HT_TRY(ht_op_check_float(call, &EMBEDDING, TABLE, "table"));
    }
    if (table->rank < 2) {
        return ht_op_fail(call, &EMBEDDING, "table must be [R, C..], has rank %u", table->rank);
    }
    if (ids->format != HT_FORMAT_I32) {
        return ht_op_fail(call, &EMBEDDING, "ids must be i32, not %s", ht_format_name(ids->format));
    }
    if (ids->rank + table->rank - 1 > HT_MAX_RANK) {
        return ht_op_fail(call, &EMBEDDING, "the result would have %u dimensions, more than %d",
                          ids->rank + table->rank - 1, HT_MAX_RANK);
    }
    call->out.format = table->format == HT_FORMAT_I32 ? HT_FORMAT_I32 : call->out.format;
    call->out.rank = ids->rank + table->rank - 1;
    memcpy(call->out.dims, ids->dims, ids->rank * sizeof ids->dims[0]);
    memcpy(call->out.dims + ids->rank, table->dims + 1, (table->rank - 1) * sizeof table->dims[0]);
fail:
    return status;
}

static ht_status record(const ht_op_call *call, ht_vk_commands *commands) {
    const uint64_t width = ht_desc_count(&call->in[TABLE]) / call->in[TABLE].dims[0];
    const bool wide = call->in[TABLE].format != HT_FORMAT_I32 && width % 4 == 0 &&
                      call->in_address[TABLE] % 8 == 0 && call->out_address % 8 == 0;
    const uint32_t step = wide ? 4 : 1;
    const ht_push_embedding push = {
        .table = call->in_address[TABLE],
        .ids = call->in_address[IDS],
        .result = call->out_address,
        .count = (uint32_t)(ht_desc_count(&call->out) / step),
        .width = (uint32_t)(width / step),
        .last_row = call->in[TABLE].dims[0] - 1,
    };
    ht_vk_dispatch_desc dispatch = {
        .kernel = HT_KERNEL_embedding,
        .constants = {[1] = call->in[TABLE].format, call->out.format, wide},
        .n_constants = 4,
        .push = &push,
        .push_bytes = sizeof push,
    };
    return ht_op_dispatch_flat(call, commands, &dispatch, push.count);
}

static ht_status reference(const ht_op_call *call, const float *const *inputs, float *out) {
    const uint64_t rows = call->in[TABLE].dims[0];
    ht_ref_embedding(inputs[TABLE], rows, ht_desc_count(&call->in[TABLE]) / rows, inputs[IDS],
                     ht_desc_count(&call->in[IDS]), out);
    return HT_OK;
}

static const ht_op_def EMBEDDING = {
    .name = "embedding", .infer = infer, .record = record, .reference = reference};
