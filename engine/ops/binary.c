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

// Is b [B, 1, .., C], a row for each item of a?
static bool per_item(const ht_tensor_desc *a, const ht_tensor_desc *b) {
    const uint32_t last = a->rank - 1;
    bool rows = a->rank > 2 && b->rank == a->rank && a->dims[0] == b->dims[0] && b->dims[0] > 1 &&
                a->dims[last] == b->dims[last];
    for (uint32_t i = 1; rows && i < last; i++) {
        rows = b->dims[i] == 1;
    }
    return rows && !repeats(a, b);
}

static ht_status infer(ht_op_call *call, const ht_op_def *def) {
    ht_status status = HT_OK;
    char a[128], b[128];
    HT_TRY(ht_op_check_float(call, def, 0, "a"));
    HT_TRY(ht_op_check_float(call, def, 1, "b"));
    if (!repeats(&call->in[0], &call->in[1]) && !per_item(&call->in[0], &call->in[1])) {
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

static ht_status record(const ht_op_call *call, uint32_t kind, ht_vk_commands *commands) {
    const ht_op_elementwise what = {.kind = kind, .per_item = per_item(&call->in[0], &call->in[1])};
    return ht_op_record_elementwise(call, &what, commands);
}

static ht_status add_record(const ht_op_call *call, ht_vk_commands *commands) {
    return record(call, HT_ELEMENTWISE_ADD, commands);
}

static ht_status mul_record(const ht_op_call *call, ht_vk_commands *commands) {
    return record(call, HT_ELEMENTWISE_MUL, commands);
}

typedef void (*combine)(const float *a, uint64_t count, const float *b, uint64_t b_count,
                        float *out);

static ht_status reference(const ht_op_call *call, const float *const *inputs, combine of,
                           float *out) {
    const uint64_t items = per_item(&call->in[0], &call->in[1]) ? call->in[1].dims[0] : 1;
    const uint64_t count = ht_desc_count(&call->out) / items;
    const uint64_t b_count = ht_desc_count(&call->in[1]) / items;
    for (uint64_t i = 0; i < items; i++) {
        of(inputs[0] + i * count, count, inputs[1] + i * b_count, b_count, out + i * count);
    }
    return HT_OK;
}

static ht_status add_reference(const ht_op_call *call, const float *const *inputs, float *out) {
    return reference(call, inputs, ht_ref_add, out);
}

static ht_status mul_reference(const ht_op_call *call, const float *const *inputs, float *out) {
    return reference(call, inputs, ht_ref_mul, out);
}

static const ht_op_def ADD = {
    .name = "add", .infer = add_infer, .record = add_record, .reference = add_reference};
static const ht_op_def MUL = {
    .name = "mul", .infer = mul_infer, .record = mul_record, .reference = mul_reference};
