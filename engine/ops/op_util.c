// Choices, checks and dispatches that several ops share.
#include "op_util.h"

enum { FLAT_LOCAL = 256, ROW_LOCAL = 128 };

uint32_t ht_op_row_local(const ht_op_call *call) {
    if (ht_context_tier(call->context) == HT_TIER_CPU) {
        return ht_vk_get_limits(call->context)->subgroup_size;
    }
    return ROW_LOCAL;
}

uint32_t ht_op_row_kept(const ht_op_call *call, uint32_t width) {
    enum { PAIR = 8 }; // values
    // Few, as each is a pipeline of its own; more of them would take long to compile.
    static const uint32_t kept[] = {1, 2, 3, 6, 12};
    const uint64_t step = (uint64_t)ht_op_row_local(call) * PAIR;
    if (ht_context_tier(call->context) != HT_TIER_CPU || !ht_op_wide(call, width)) {
        return 0;
    }
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        if (width <= kept[i] * step) {
            return kept[i];
        }
    }
    return 0;
}

ht_status ht_op_dispatch_flat(const ht_op_call *call, ht_vk_commands *commands,
                              ht_vk_dispatch_desc *dispatch, uint64_t count) {
    const uint32_t local =
        ht_op_min(FLAT_LOCAL, ht_vk_get_limits(call->context)->max_workgroup_invocations);
    dispatch->constants[0] = local;
    dispatch->label = call->label;
    ht_vk_split_groups(call->context, (count + local - 1) / local, dispatch->groups);
    return ht_vk_dispatch(commands, dispatch);
}

ht_status ht_op_check_float(const ht_op_call *call, const ht_op_def *def, uint32_t input,
                            const char *what) {
    if (!ht_op_is_float(&call->in[input])) {
        return ht_op_fail(call, def, "%s must be f32, f16 or bf16, not %s", what,
                          ht_format_name(call->in[input].format));
    }
    return HT_OK;
}

ht_status ht_op_check_vector(const ht_op_call *call, const ht_op_def *def, uint32_t input,
                             uint32_t width, const char *what) {
    const ht_tensor_desc *in = &call->in[input];
    char text[128];
    if (!ht_op_has(call, input)) {
        return HT_OK;
    }
    if (in->format != HT_FORMAT_F32 || ht_desc_count(in) != width || ht_op_width(in) != width) {
        return ht_op_fail(call, def, "%s must be f32 [%u], not %s", what, width,
                          ht_desc_text(in, text, sizeof text));
    }
    return HT_OK;
}

void ht_op_same_shape(ht_op_call *call) {
    call->out.rank = call->in[0].rank;
    memcpy(call->out.dims, call->in[0].dims, sizeof call->out.dims);
}
