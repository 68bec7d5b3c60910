// The gemm kernels behind linear and conv2d: choice of kernel and tile, and the epilogue.
#include "gemm.h"

#include "gemm_matrix.h"
#include "quantize.h"

#include "formats.h"

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
        if (ht_format_is_packed(descs[i]->format) && ht_desc_bytes(descs[i]) > UINT32_MAX) {
            return ht_op_fail(call, def, "%s has more than 2^32 - 1 bytes",
                              ht_desc_text(descs[i], text, sizeof text));
        }
    }
    return HT_OK;
}

// Do the groups of one fit into those of the other? 0 is a whole row.
static bool groups_nest(uint32_t a, uint32_t b) {
    return a == 0 || b == 0 || a % b == 0 || b % a == 0;
}

ht_status ht_op_check_gemm_formats(const ht_op_call *call, const ht_op_def *def) {
    const ht_tensor_desc *x = &call->in[GEMM_X];
    const ht_tensor_desc *w = &call->in[GEMM_W];
    ht_status status = HT_OK;
    if (!ht_format_is_packed(w->format)) {
        if (ht_format_is_packed(x->format) && ht_op_is_float(w)) {
            return ht_op_fail(call, def, "w must be packed where x is (%s), not %s",
                              ht_format_name(x->format), ht_format_name(w->format));
        }
        HT_TRY(ht_op_check_float(call, def, GEMM_X, "x"));
        HT_TRY(ht_op_check_float(call, def, GEMM_W, "w"));
        return HT_OK;
    }
    if (!ht_format_is_packed(x->format)) {
        return ht_op_check_float(call, def, GEMM_X, "x");
    }
    const ht_fmt_row *of_x = ht_fmt_find(x->format);
    const ht_fmt_row *of_w = ht_fmt_find(w->format);
    if (of_x->kind == HT_FMT_ZERO_POINT) {
        return ht_op_fail(call, def, "x cannot have zero points (%s); only w can", of_x->name);
    }
    if (ht_fmt_terms(of_x) > 1 || of_x->kind == HT_FMT_BITS) {
        return ht_op_fail(call, def, "x cannot be a sum of bit planes (%s); only w can",
                          of_x->name);
    }
    if (ht_fmt_in_planes(of_x) && !ht_fmt_in_planes(of_w)) {
        return ht_op_fail(call, def, "w must be in bit planes where x is (%s), not %s", of_x->name,
                          of_w->name);
    }
    if (of_x->scale == HT_FMT_SCALE_WHOLE) {
        return ht_op_fail(call, def, "x cannot have whole numbers for scales (%s); only w can",
                          of_x->name);
    }
    if (!groups_nest(of_x->group, ht_fmt_sum_group(of_w))) {
        return ht_op_fail(call, def, "groups of %s (%u) and %s (%u) do not fit into each other",
                          of_x->name, of_x->group, of_w->name, of_w->group);
    }
fail:
    return status;
}

static uint64_t address(const ht_op_call *call, uint32_t input) {
    return ht_op_has(call, input) ? call->in_address[input] : 0;
}

uint32_t ht_op_gemm_format(const ht_op_call *call, uint32_t input) {
    return ht_op_has(call, input) ? call->in[input].format : call->out.format;
}

static uint32_t ceil_div(uint32_t a, uint32_t b) {
    return a / b + (a % b != 0);
}

bool ht_op_has_integer_codes(const ht_fmt_row *row) {
    const bool e2m1 = row->kind == HT_FMT_MINIFLOAT && row->exponent == 2 && row->mantissa == 1;
    return e2m1 || row->kind == HT_FMT_SYMMETRIC || row->kind == HT_FMT_ZERO_POINT ||
           ht_fmt_in_planes(row);
}

// Are the codes integers to gemm_packed_cpu (ht_integer_steps.glsl)?
static bool is_signed_integer(const ht_fmt_row *row) {
    return ht_op_has_integer_codes(row) && row->kind != HT_FMT_ZERO_POINT && !ht_fmt_in_planes(row);
}

// Groups that gemm_packed_cpu sums as floats, without a loop.
static bool has_short_groups(const ht_op_call *call) {
    if (is_signed_integer(ht_fmt_find(call->in[GEMM_X].format)) &&
        is_signed_integer(ht_fmt_find(call->in[GEMM_W].format))) {
        return false;
    }
    const uint32_t x = ht_fmt_find(call->in[GEMM_X].format)->group;
    const uint32_t w = ht_fmt_sum_group(ht_fmt_find(call->in[GEMM_W].format));
    const uint32_t shorter = x == 0 || (w != 0 && w < x) ? w : x;
    return shorter != 0 && shorter <= 32;
}

// Tile of gemm_cpu. Few columns would leave most lanes idle, few rows most of the tile.
static void choose_cpu_tile(const ht_push_gemm *push, uint32_t lanes, bool packed_k,
                            bool short_groups, uint32_t *tile_m, uint32_t *tile_n) {
    const uint32_t least = lanes > 8 ? lanes : 8;
    *tile_n = push->columns <= lanes ? 1 : 4;
    *tile_m = push->rows <= least || !packed_k ? least : 16;
    if (push->rows <= 4) { // timesteps and the like: as matrix times vectors
        *tile_m = push->rows == 3 ? 4 : push->rows;
    }
    // What a lane decodes then serves more rows; a kernel for these takes longer to compile.
    const uint64_t products = (uint64_t)push->rows * push->columns * push->depth;
    if (short_groups && lanes >= 8 && push->rows >= 512 && products >= UINT64_C(1) << 28) {
        *tile_m = 32;
    }
}

// Where the scales of packed operands lie. Returns whether the sums of a row, all integers, are too
// long for f32: then the kernel counts on as int.
static bool place_scales(const ht_op_call *call, ht_push_gemm *push) {
    enum { MAX_EXACT = 1024 }; // of the kernels: 127 * 127 * 1024 < 2^24
    const ht_fmt_row *x = ht_fmt_find(call->in[GEMM_X].format);
    const ht_fmt_row *w = ht_fmt_find(call->in[GEMM_W].format);
    ht_packed_layout layout;
    if (w->scale == HT_FMT_SCALE_NONE) {
        return false;
    }
    ht_packed_layout_of(&call->in[GEMM_W], &layout);
    push->w_scales = (uint32_t)layout.scales_offset;
    push->w_extra = (uint32_t)layout.zeros_offset; // equal to outer_offset without zero points
    if (x->scale == HT_FMT_SCALE_NONE) {
        return false;
    }
    ht_packed_layout_of(&call->in[GEMM_X], &layout);
    push->x_scales = (uint32_t)layout.scales_offset;
    return x->kind == HT_FMT_SYMMETRIC && x->group == 0 &&
           (w->kind == HT_FMT_SYMMETRIC || w->scale == HT_FMT_SCALE_WHOLE || ht_fmt_in_planes(w)) &&
           ht_fmt_sum_group(w) == 0 && push->depth > MAX_EXACT;
}

static uint64_t row_bytes(const ht_tensor_desc *desc) {
    ht_packed_layout layout;
    if (!ht_format_is_packed(desc->format)) {
        return (uint64_t)ht_op_width(desc) * ht_format_bits(desc->format) / 8;
    }
    ht_packed_layout_of(desc, &layout);
    return layout.row_bytes;
}

bool ht_op_use_dot_kernel(const ht_op_call *call) {
    return ht_op_has_dot(call) && ht_op_has_integer_codes(ht_fmt_find(call->in[GEMM_X].format)) &&
           ht_op_has_integer_codes(ht_fmt_find(call->in[GEMM_W].format));
}

// Both operands in bit planes: products by AND and bit counts, on every tier.
static bool are_planes(const ht_op_call *call) {
    return ht_fmt_in_planes(ht_fmt_find(call->in[GEMM_X].format)) &&
           ht_fmt_in_planes(ht_fmt_find(call->in[GEMM_W].format));
}

static ht_vk_kernel choose_kernel(const ht_op_call *call, bool cpu, bool packed) {
    if (are_planes(call)) {
        return cpu ? HT_KERNEL_gemm_planes_cpu : HT_KERNEL_gemm_planes_tiles;
    }
    if (cpu) {
        return packed ? HT_KERNEL_gemm_packed_cpu : HT_KERNEL_gemm_cpu;
    }
    if (ht_op_use_dot_kernel(call)) {
        return HT_KERNEL_gemm_dot_tiles;
    }
    return packed ? HT_KERNEL_gemm_packed_tiles : HT_KERNEL_gemm_tiles;
}

// Specialization constants that all gemm kernels have; id 0 is the caller's.
static ht_vk_dispatch_desc describe(const ht_op_call *call, const ht_push_gemm *push,
                                    ht_activation act, bool packed_k, bool packed_n,
                                    bool long_sums) {
    return (ht_vk_dispatch_desc){
        .constants = {[1] = call->in[GEMM_X].format,
                      call->in[GEMM_W].format,
                      call->out.format,
                      ht_op_gemm_format(call, GEMM_GATE),
                      ht_op_gemm_format(call, GEMM_RESIDUAL),
                      act,
                      packed_k,
                      packed_n,
                      [11] = long_sums,
                      call->copy,
                      ht_vk_get_limits(call->context)->fused_integers},
        .push = push,
        .push_bytes = sizeof *push,
        .label = call->label,
    };
}

// By gemm_matrix.comp.
static ht_status record_matrix(const ht_op_call *call, ht_push_gemm *push,
                               const ht_gemm_matrix *cut, ht_vk_dispatch_desc *dispatch,
                               ht_vk_commands *commands) {
    enum { BAND = 8 }; // row tiles that share what they read of w
    const uint32_t constants[] = {cut->tile,    cut->shape.m,
                                  false, // sums of integers are int
                                  cut->shape.n, cut->shape.k, cut->subgroups_m, cut->subgroups_n,
                                  cut->fetches};
    dispatch->kernel = cut->kernel;
    dispatch->constants[0] = 2 * cut->tile;
    memcpy(&dispatch->constants[9], constants, sizeof constants);
    dispatch->n_constants = 9 + sizeof constants / sizeof constants[0];
    dispatch->subgroup_size = ht_vk_get_limits(call->context)->matrix_subgroup;
    push->tiles_m = ceil_div(push->rows, cut->tile);
    push->tiles_n = ceil_div(push->columns, cut->tile);
    push->band = (uint32_t)ht_op_min(BAND, push->tiles_m);
    ht_vk_split_groups(call->context, (uint64_t)push->tiles_m * push->tiles_n, dispatch->groups);
    return ht_vk_dispatch(commands, dispatch);
}

// By gemm_few.comp: rows of x that do not fill a tile.
static bool is_few(const ht_op_call *call, const ht_push_gemm *push) {
    return !ht_op_use_cpu_kernel(call) && !are_planes(call) && push->rows <= HT_GEMM_FEW_ROWS &&
           push->kernel_h * push->kernel_w == 1 && push->stride * push->upsample == 1 &&
           push->in_h == push->out_h && push->in_w == push->out_w;
}

static ht_status record_few(const ht_op_call *call, ht_push_gemm *push,
                            ht_vk_dispatch_desc *dispatch, ht_vk_commands *commands) {
    uint32_t rows = 1;
    while (rows < push->rows) {
        rows *= 2;
    }
    dispatch->kernel = HT_KERNEL_gemm_few;
    dispatch->constants[0] = HT_GEMM_FEW_INVOCATIONS;
    dispatch->constants[9] = rows;
    dispatch->n_constants = 12;
    push->tiles_m = 1;
    push->tiles_n = ceil_div(push->columns, 4);
    push->band = 1;
    ht_vk_split_groups(call->context, push->tiles_n, dispatch->groups);
    return ht_vk_dispatch(commands, dispatch);
}

ht_push_gemm ht_op_linear_push(uint32_t rows, uint32_t columns, uint32_t depth) {
    return (ht_push_gemm){.rows = rows,
                          .columns = columns,
                          .depth = depth,
                          .kernel_h = 1,
                          .kernel_w = 1,
                          .in_h = 1,
                          .in_w = rows,
                          .out_h = 1,
                          .out_w = rows,
                          .stride = 1,
                          .upsample = 1};
}

ht_window ht_op_gemm_window(const ht_push_gemm *push) {
    return (ht_window){.kernel_h = push->kernel_h,
                       .kernel_w = push->kernel_w,
                       .in_h = push->in_h,
                       .in_w = push->in_w,
                       .out_h = push->out_h,
                       .out_w = push->out_w,
                       .stride = push->stride,
                       .upsample = push->upsample,
                       .pad_top = (uint32_t)push->pad_top,
                       .pad_left = (uint32_t)push->pad_left};
}

void ht_op_gemm_addresses(const ht_op_call *call, ht_push_gemm *push) {
    push->x = call->in_address[GEMM_X];
    push->w = call->in_address[GEMM_W];
    push->result = call->out_address;
    push->bias = address(call, GEMM_BIAS);
    push->gate = address(call, GEMM_GATE);
    push->residual = address(call, GEMM_RESIDUAL);
    push->rows_per_gate = (uint32_t)rows_per_gate(call);
}

bool ht_op_gemm_packs(const ht_op_call *call, ht_format format) {
    enum { COLUMNS = 32 }; // of a tile, and of a group
    return format == HT_FORMAT_INT8_G32 && ht_op_use_cpu_kernel(call) &&
           ht_vk_get_limits(call->context)->subgroup_size * 4 == COLUMNS &&
           ht_op_width(&call->out) % COLUMNS == 0 && ht_format_is_packed(call->in[GEMM_W].format) &&
           !are_planes(call) && !ht_op_has(call, GEMM_GATE) && !ht_op_has(call, GEMM_RESIDUAL);
}

bool ht_op_gemm_packs_copy(const ht_op_call *call, ht_format format) {
    ht_op_call plain = *call; // a copy is of what the whole epilogue gives
    plain.in[GEMM_GATE].format = plain.in[GEMM_RESIDUAL].format = HT_FORMAT_NONE;
    return ht_op_gemm_packs(&plain, format);
}

ht_status ht_op_record_gemm(const ht_op_call *call, ht_push_gemm *push, ht_activation act,
                            ht_vk_commands *commands) {
    const uint32_t lanes = ht_vk_get_limits(call->context)->subgroup_size;
    const bool cpu = ht_op_use_cpu_kernel(call);
    const bool packed = ht_format_is_packed(call->in[GEMM_W].format);
    ht_op_gemm_addresses(call, push);
    const bool long_sums = place_scales(call, push) && !cpu; // whose kernel sums integers as int
    if (ht_format_is_packed(call->out.format)) {
        push->residual = ht_op_packed_result(call).scales;
    }

    const bool packed_k = push->depth % 4 == 0 && (push->x | push->w) % 8 == 0;
    const uint64_t others = push->result | push->bias | push->gate | push->residual;
    const bool packed_n = push->columns % 4 == 0 && others % 8 == 0;
    ht_vk_dispatch_desc dispatch = describe(call, push, act, packed_k, packed_n, long_sums);
    ht_gemm_matrix cut;
    if (is_few(call, push)) {
        return record_few(call, push, &dispatch, commands);
    }
    if (ht_op_cut_gemm_matrix(call, push, &cut)) {
        return record_matrix(call, push, &cut, &dispatch, commands);
    }
    uint32_t tile_m = HT_GEMM_TILE_M;
    uint32_t tile_n = HT_GEMM_TILE_N;
    uint32_t width = HT_GEMM_TILE_N;
    if (cpu) {
        choose_cpu_tile(push, lanes, packed_k || packed, has_short_groups(call), &tile_m, &tile_n);
        if (are_planes(call) &&
            tile_m > lanes) { // a step is 32 values: more would take long to compile
            tile_m = lanes > 8 ? lanes : 8;
        }
        width = tile_n * lanes;
        dispatch.constants[8] = packed_n && tile_n == 4;
    }
    push->tiles_m = ceil_div(push->rows, tile_m);
    push->tiles_n = ceil_div(push->columns, width);
    const uint64_t band = BAND_BYTES / (tile_m * row_bytes(&call->in[GEMM_X]));
    push->band = band == 0 ? 1 : ht_op_min(band, push->tiles_m);

    dispatch.kernel = choose_kernel(call, cpu, packed);
    dispatch.constants[0] = cpu ? lanes : HT_GEMM_TILE_INVOCATIONS;
    dispatch.constants[9] = tile_m;
    dispatch.constants[10] = tile_n;
    dispatch.n_constants = packed ? 14 : (cpu ? 11 : 9);
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
