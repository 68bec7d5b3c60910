// The gemm kernels behind linear and conv2d: choice of kernel and tile, and the epilogue.
#include "gemm.h"

// Rows of x that stay in a core's cache while w passes by.
enum { BAND_BYTES = 256 * 1024 };

// Rows of the result that share a row of the gate; 0: the gate's shape is not one of those allowed.
static uint64_t rows_per_gate(const ht_op_call *call) {
    const ht_tensor_desc *gate = &call->in[GEMM_GATE];
    const ht_tensor_desc *out = &call->out;
    const uint64_t rows = ht_op_rows(out);
    if (!ht_op_has(call, GEMM_GATE)) {
        return rows;
    }
    if (gate->rank == 0 || ht_op_width(gate) != ht_op_width(out)) {
        return 0;
    }
    const uint64_t gates = ht_op_rows(gate);
    if (gates == 1) {
        return rows;
    }
    if (gate->rank == out->rank &&
        memcmp(gate->dims, out->dims, out->rank * sizeof *out->dims) == 0) {
        return 1;
    }
    const bool per_item =
        out->rank >= 2 && gate->rank >= 2 && gate->dims[0] == gates && gates == out->dims[0];
    return per_item ? rows / gates : 0;
}

ht_status ht_op_check_epilogue(const ht_op_call *call, const ht_op_def *def, ht_activation act) {
    const ht_tensor_desc *out = &call->out;
    const uint32_t columns = ht_op_width(out);
    char text[128];
    char other[128];
    ht_status status = HT_OK;
    HT_TRY(ht_op_check_vector(call, def, GEMM_BIAS, columns, "bias"));
    if ((int)act < HT_ACT_NONE || act > HT_ACT_RELU) {
        return ht_op_fail(call, def, "activation %d does not exist", (int)act);
    }
    if (ht_op_has(call, GEMM_GATE) &&
        (!ht_op_is_float(&call->in[GEMM_GATE]) || rows_per_gate(call) == 0)) {
        return ht_op_fail(
            call, def, "gate must be a float [%u], [%u, %u] or the result's shape, not %s", columns,
            out->dims[0], columns, ht_desc_text(&call->in[GEMM_GATE], text, sizeof text));
    }
    if (ht_op_has(call, GEMM_RESIDUAL)) {
        const ht_tensor_desc *residual = &call->in[GEMM_RESIDUAL];
        if (!ht_op_is_float(residual) || residual->rank != out->rank ||
            memcmp(residual->dims, out->dims, out->rank * sizeof *out->dims) != 0) {
            return ht_op_fail(call, def, "residual must have the result's shape %s, not %s",
                              ht_desc_text(out, text, sizeof text),
                              ht_desc_text(residual, other, sizeof other));
        }
    }
fail:
    return status;
}

ht_status ht_op_check_gemm_sizes(const ht_op_call *call, const ht_op_def *def) {
    const ht_tensor_desc *descs[] = {&call->in[GEMM_X], &call->in[GEMM_W], &call->out};
    char text[128];
    for (size_t i = 0; i < sizeof descs / sizeof descs[0]; i++) {
        if (ht_desc_count(descs[i]) > INT32_MAX) {
            return ht_op_fail(call, def, "%s has more than 2^31 - 1 values",
                              ht_desc_text(descs[i], text, sizeof text));
        }
    }
    return HT_OK;
}

static uint64_t address(const ht_op_call *call, uint32_t input) {
    return ht_op_has(call, input) ? call->in_address[input] : 0;
}

// An absent input counts as the result's format, so that it makes no other pipeline.
static uint32_t format(const ht_op_call *call, uint32_t input) {
    return ht_op_has(call, input) ? call->in[input].format : call->out.format;
}

static uint32_t ceil_div(uint32_t a, uint32_t b) {
    return a / b + (a % b != 0);
}

// Tile of gemm_cpu. Few columns would leave most lanes idle, few rows most of the tile.
static void choose_cpu_tile(const ht_push_gemm *push, uint32_t lanes, bool packed_k,
                            uint32_t *tile_m, uint32_t *tile_n) {
    const uint32_t least = lanes > 8 ? lanes : 8;
    *tile_n = push->columns <= lanes ? 1 : 4;
    *tile_m = push->rows <= least || !packed_k ? least : 16;
}

ht_status ht_op_record_gemm(const ht_op_call *call, ht_push_gemm *push, ht_activation act,
                            ht_vk_commands *commands) {
    const uint32_t lanes = ht_vk_get_limits(call->context)->subgroup_size;
    const bool cpu = ht_op_use_cpu_kernel(call);
    push->x = call->in_address[GEMM_X];
    push->w = call->in_address[GEMM_W];
    push->result = call->out_address;
    push->bias = address(call, GEMM_BIAS);
    push->gate = address(call, GEMM_GATE);
    push->residual = address(call, GEMM_RESIDUAL);
    push->rows_per_gate = (uint32_t)rows_per_gate(call);

    const bool packed_k = push->depth % 4 == 0 && (push->x | push->w) % 8 == 0;
    const uint64_t others = push->result | push->bias | push->gate | push->residual;
    bool packed_n = push->columns % 4 == 0 && others % 8 == 0;
    uint32_t tile_m = HT_GEMM_TILE_M;
    uint32_t tile_n = HT_GEMM_TILE_N;
    uint32_t width = HT_GEMM_TILE_N;
    if (cpu) {
        choose_cpu_tile(push, lanes, packed_k, &tile_m, &tile_n);
        width = tile_n * lanes;
        packed_n = packed_n && tile_n == 4;
    }
    push->tiles_m = ceil_div(push->rows, tile_m);
    push->tiles_n = ceil_div(push->columns, width);
    const uint64_t tile_bytes =
        (uint64_t)tile_m * push->depth * ht_format_bits(call->in[GEMM_X].format) / 8;
    const uint64_t band = BAND_BYTES / tile_bytes;
    push->band = band == 0 ? 1 : ht_op_min(band, push->tiles_m);

    ht_vk_dispatch_desc dispatch = {
        .kernel = cpu ? HT_KERNEL_gemm_cpu : HT_KERNEL_gemm_tiles,
        .constants = {cpu ? lanes : HT_GEMM_TILE_INVOCATIONS, call->in[GEMM_X].format,
                      call->in[GEMM_W].format, call->out.format, format(call, GEMM_GATE),
                      format(call, GEMM_RESIDUAL), act, packed_k, packed_n, tile_m, tile_n},
        .n_constants = cpu ? 11 : 9,
        .push = push,
        .push_bytes = sizeof *push,
        .label = call->label,
    };
    ht_vk_split_groups(call->context, (uint64_t)push->tiles_m * push->tiles_n, dispatch.groups);
    return ht_vk_dispatch(commands, &dispatch);
}

ht_ref_epilogue ht_op_ref_epilogue(const ht_op_call *call, const float *const *inputs,
                                   ht_activation act) {
    return (ht_ref_epilogue){.bias = inputs[GEMM_BIAS],
                             .act = act,
                             .gate = inputs[GEMM_GATE],
                             .rows_per_gate = rows_per_gate(call),
                             .residual = inputs[GEMM_RESIDUAL]};
}
