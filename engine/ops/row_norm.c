// One dispatch of row_norm.comp: a workgroup per row.
#include "row_norm.h"

#include "quantize.h"

#include "row_norm.shared.h"

uint64_t ht_op_rows_per(const ht_op_call *call, uint32_t input) {
    const uint64_t rows = ht_op_rows(&call->out);
    return ht_op_has(call, input) ? rows / ht_op_rows(&call->in[input]) : rows;
}

static uint64_t address(const ht_op_call *call, uint32_t input) {
    return ht_op_has(call, input) ? call->in_address[input] : 0;
}

static uint32_t format(const ht_op_call *call, uint32_t input) {
    return ht_op_has(call, input) ? call->in[input].format : HT_FORMAT_NONE;
}

static ht_status record(const ht_op_call *call, const ht_op_norm *norm, bool moments,
                        ht_vk_commands *commands) {
    const uint64_t rows = ht_op_rows(&call->out);
    ht_push_row_norm push = {
        .x = call->in_address[ROW_NORM_X],
        .weight = address(call, ROW_NORM_WEIGHT),
        .bias = address(call, ROW_NORM_BIAS),
        .scale = address(call, ROW_NORM_SCALE),
        .shift = address(call, ROW_NORM_SHIFT),
        .result = call->out_address,
        .rows = (uint32_t)rows,
        .width = ht_op_width(&call->out),
        .rows_per_scale = (uint32_t)ht_op_rows_per(call, ROW_NORM_SCALE),
        .rows_per_shift = (uint32_t)ht_op_rows_per(call, ROW_NORM_SHIFT),
        .eps = norm->eps,
    };
    if (ht_format_is_packed(call->out.format)) {
        const ht_op_packed packed = ht_op_packed_result(call);
        push.scales = packed.scales;
        push.tensor = packed.tensor;
        push.packed_quads = packed.quads;
        push.given = call->scale_address;
    }
    ht_vk_dispatch_desc dispatch = {
        .kernel = HT_KERNEL_row_norm,
        .constants = {ht_op_row_local(call), norm->centre, call->in[0].format, call->out.format,
                      ht_op_wide(call, push.width), push.weight != 0, push.bias != 0,
                      format(call, ROW_NORM_SCALE), format(call, ROW_NORM_SHIFT), push.given != 0,
                      ht_op_row_kept(call, push.width), moments},
        .n_constants = 12,
        .push = &push,
        .push_bytes = sizeof push,
        .label = call->label,
    };
    ht_vk_split_groups(call->context, rows, dispatch.groups);
    return ht_vk_dispatch(commands, &dispatch);
}

ht_status ht_op_record_row_norm(const ht_op_call *call, const ht_op_norm *norm,
                                ht_vk_commands *commands) {
    return record(call, norm, false, commands);
}

ht_status ht_op_record_moments(const ht_op_call *call, const ht_op_norm *norm,
                               const ht_op_moments *moments, ht_vk_commands *commands) {
    const ht_tensor_desc x = {
        .format = moments->format, .rank = 2, .dims = {moments->rows, moments->width}};
    ht_op_call rows = {.context = call->context,
                       .label = call->label,
                       .n_inputs = 1,
                       .in = {[ROW_NORM_X] = x},
                       .out = x,
                       .in_address = {[ROW_NORM_X] = moments->x},
                       .out_address = moments->result};
    rows.out.format = HT_FORMAT_F32;
    return record(&rows, norm, true, commands);
}
