// quantize: floats into a packed format, with the scale that brings the largest value to the
// largest code.
#include "quantize.h"

typedef struct params {
    ht_format format;
    uint32_t index; // of the scale
} params;

enum { X, SCALES, INPUTS };

static ht_value quantize(ht_graph *g, const ht_value inputs[INPUTS], const params *p) {
    const ht_value known = ht_op_find_node(g, &ht_op_quantize_def, inputs, INPUTS, p, sizeof *p);
    return known.id != HT_NO_VALUE.id
               ? known
               : ht_op_add_node(g, &ht_op_quantize_def, inputs, INPUTS, p, sizeof *p);
}

ht_value ht_op_quantize(ht_graph *g, ht_value x, ht_format format) {
    return quantize(g, (ht_value[]){x, HT_NO_VALUE}, &(params){.format = format});
}

ht_value ht_op_quantize_static(ht_graph *g, ht_value x, ht_format format, ht_value scales,
                               uint32_t index) {
    return quantize(g, (ht_value[]){x, scales}, &(params){format, index});
}

uint64_t ht_op_static_offset(const ht_op_call *call) {
    return ((const params *)call->params)->index * sizeof(float);
}

ht_op_packed ht_op_packed_result(const ht_op_call *call) {
    ht_op_packed packed = {.codes = call->out_address};
    ht_packed_layout_of(&call->out, &packed.layout);
    packed.scales = packed.codes + packed.layout.scales_offset;
    if (packed.layout.outers != 0) {
        packed.tensor = packed.codes + packed.layout.outer_offset;
    }
    packed.quads = packed.layout.padded / 4;
    return packed;
}

bool ht_op_packs_rows(ht_format format) {
    const ht_fmt_row *row = ht_fmt_find(format);
    return row != NULL && row->scale != HT_FMT_SCALE_NONE && row->group == 0;
}

bool ht_op_can_pack(ht_format format) {
    return ht_format_for_activations(format);
}

bool ht_op_packs_any(const ht_op_call *call, ht_format format) {
    (void)call;
    return ht_op_can_pack(format);
}

static ht_status infer(ht_op_call *call) {
    const params *p = call->params;
    ht_status status = HT_OK;
    HT_TRY(ht_op_check_float(call, &ht_op_quantize_def, 0, "x"));
    const ht_fmt_row *row = ht_fmt_find(p->format);
    if (row != NULL && row->top == 1) {
        return ht_op_fail(call, &ht_op_quantize_def,
                          "%s has too few levels for what is packed while a graph runs",
                          ht_format_name(p->format));
    }
    if (!ht_op_can_pack(p->format)) {
        return ht_op_fail(call, &ht_op_quantize_def,
                          "the new format must be packed and without zero points, not %s",
                          ht_format_name(p->format));
    }
    if (ht_op_has(call, SCALES)) {
        const ht_tensor_desc *scales = &call->in[SCALES];
        char text[128];
        if (!ht_op_packs_rows(p->format)) {
            return ht_op_fail(call, &ht_op_quantize_def,
                              "a scale that is given needs a format with one a row, not %s",
                              ht_format_name(p->format));
        }
        if (scales->format != HT_FORMAT_F32 || scales->rank != 1 || p->index >= scales->dims[0]) {
            return ht_op_fail(call, &ht_op_quantize_def, "scales must be f32 [n > %u], not %s",
                              p->index, ht_desc_text(scales, text, sizeof text));
        }
    }
    ht_op_same_shape(call);
    call->out.format = p->format;
fail:
    return status;
}

ht_status ht_op_record_quantize(const ht_op_call *call, const ht_op_quantize_source *source,
                                ht_vk_commands *commands) {
    const ht_op_packed packed = ht_op_packed_result(call);
    const bool by_row = ht_op_packs_rows(call->out.format);
    const ht_push_quantize push = {
        .x = call->in_address[0],
        .codes = packed.codes,
        .scales = packed.scales,
        .tensor = packed.tensor,
        .given = call->scale_address,
        .factors = source->factors,
        .rows = (uint32_t)packed.layout.rows,
        .width = packed.layout.width,
        .quads = packed.quads,
        .groups = packed.layout.groups,
        .item = source->item,
    };
    const bool twice = by_row && push.given == 0; // are values needed
    const bool keep = twice && !ht_fmt_in_planes(ht_fmt_find(call->out.format));
    ht_vk_dispatch_desc dispatch = {
        .kernel = HT_KERNEL_quantize,
        .constants = {ht_op_row_local(call), call->in[0].format, call->out.format,
                      ht_op_wide(call, push.width), by_row, source->act, call->scale_address != 0,
                      source->kind, keep ? ht_op_row_kept(call, push.width) : 0},
        .n_constants = 9,
        .push = &push,
        .push_bytes = sizeof push,
        .label = call->label,
    };
    if (!by_row) {
        return ht_op_dispatch_flat(call, commands, &dispatch, (uint64_t)push.rows * push.groups);
    }
    uint64_t groups = push.rows;
    if (source->kind == HT_QUANTIZE_NORMALISED && dispatch.constants[8] != 0) {
        const uint32_t per_item = (push.item + HT_QUANTIZE_ROWS - 1) / HT_QUANTIZE_ROWS;
        groups = (uint64_t)per_item * (push.rows / push.item);
    }
    ht_vk_split_groups(call->context, groups, dispatch.groups);
    return ht_vk_dispatch(commands, &dispatch);
}

static ht_status record(const ht_op_call *call, ht_vk_commands *commands) {
    const ht_op_quantize_source source = {.kind = HT_QUANTIZE_VALUES, .act = HT_ACT_NONE};
    ht_op_call own = *call;
    own.n_inputs = 1; // alignment of the scales does not matter
    own.scale_address =
        ht_op_has(call, SCALES) ? call->in_address[SCALES] + ht_op_static_offset(call) : 0;
    return ht_op_record_quantize(&own, &source, commands);
}

// The graph's check packs what an op gives for a packed result.
static ht_status reference(const ht_op_call *call, const float *const *inputs, float *out) {
    memcpy(out, inputs[0], ht_desc_count(&call->out) * sizeof *out);
    return HT_OK;
}

const ht_op_def ht_op_quantize_def = {
    .name = "quantize", .infer = infer, .record = record, .reference = reference};
