// attention by integer codes: q, k and v are packed into scratch memory in the order of each head,
// then multiplied.
#include "attention.h"

#include "formats.h"

#include "attention_codes.shared.h"
#include "attention_pack.shared.h"

static const float LOG2E = 1.44269504f;

// Parts of the scratch memory: offsets from its start (ht_attention_layout.h).
typedef struct layout {
    uint32_t bits;
    uint32_t row_words; // of a row of codes of q and k
    uint32_t slices;    // of the tokens, summed up apart
    uint64_t q, k, v, scales, channels, q_means, partials, bytes;
    uint64_t moments[2]; // of q and k
} layout;

static uint32_t divide_up(uint32_t a, uint32_t b) {
    return a / b + (a % b != 0);
}

static uint64_t take(layout *l, uint64_t bytes) {
    const uint64_t at = l->bytes;
    l->bytes += (bytes + 15) / 16 * 16;
    return at;
}

static bool is_e4m3(const ht_op_call *call) {
    const ht_attention_params *p = call->params;
    return p->values == HT_FORMAT_E4M3;
}

static uint32_t bits_of(uint32_t products) {
    return products == HT_ATTENTION_INT8 ? 8 : 4;
}

static layout lay_out(const ht_op_call *call, uint32_t bits) {
    enum { MAX_SLICES = 128, SLICE_TOKENS = 64 };
    const ht_attention_params *p = call->params;
    const uint64_t batch = call->in[ATTN_Q].dims[0];
    const uint64_t width = call->in[ATTN_Q].dims[2];
    const uint32_t head_dim = ht_op_head_dim(call);
    const uint32_t queries = call->in[ATTN_Q].dims[1], keys = call->in[ATTN_K].dims[1];
    const uint64_t q_rows = batch * p->heads * queries, k_rows = batch * p->heads * keys;
    layout l = {.bits = bits};
    l.row_words = divide_up(head_dim * l.bits, 128) * 4;
    l.slices = divide_up(keys, SLICE_TOKENS);
    l.slices = l.slices < MAX_SLICES ? l.slices : MAX_SLICES;
    l.q = take(&l, q_rows * l.row_words * 4);
    l.k = take(&l, k_rows * l.row_words * 4);
    l.v = take(&l, batch * divide_up(keys, 4) * width * 4);
    l.scales = take(&l, (q_rows + k_rows) * sizeof(float));
    l.channels = take(&l, batch * HT_CODES_CHANNEL_ROWS * width * sizeof(float));
    l.partials = take(&l, batch * l.slices * HT_CODES_PARTIAL_ROWS * width * sizeof(float));
    if (l.bits == 4) {
        l.q_means =
            take(&l, batch * divide_up(queries, HT_ATTENTION_BLOCK) * width * sizeof(float));
    }
    for (uint32_t i = ATTN_Q; i <= ATTN_K; i++) {
        l.moments[i] = take(&l, ht_op_attention_moments_bytes(call, i));
    }
    return l;
}

static ht_status infer(ht_op_call *call) {
    ht_status status = HT_OK;
    HT_TRY(ht_op_check_attention(call, &ht_op_attention_codes_def));
    const ht_format values = ((const ht_attention_params *)call->params)->values;
    if (values != HT_FORMAT_NONE && values != HT_FORMAT_INT8 && values != HT_FORMAT_E4M3) {
        return ht_op_fail(call, &ht_op_attention_codes_def, "values must be %s or %s, not %s",
                          ht_format_name(HT_FORMAT_INT8), ht_format_name(HT_FORMAT_E4M3),
                          ht_format_name(values));
    }
    if (ht_op_has(call, ATTN_REL_BIAS)) {
        return ht_op_fail(call, &ht_op_attention_codes_def, "integer codes go without rel_bias");
    }
    if (ht_op_head_dim(call) % 4 != 0) {
        return ht_op_fail(call, &ht_op_attention_codes_def,
                          "integer codes need heads of a multiple of 4 channels, not %u",
                          ht_op_head_dim(call));
    }
fail:
    return status;
}

// What the largest of the graph's variants needs.
static uint64_t scratch(const ht_op_call *call) {
    const ht_attention_params *p = call->params;
    uint64_t most = 0;
    for (uint32_t i = 0; i < HT_GRAPH_MAX_VARIANTS; i++) {
        const bool codes = p->products[i] != HT_ATTENTION_FLOATS;
        const uint64_t bytes = codes ? lay_out(call, bits_of(p->products[i])).bytes : 0;
        most = bytes > most ? bytes : most;
    }
    return most;
}

// One step of attention_pack, of input `x` as the thing that is packed.
static ht_status pack(const ht_op_call *call, const layout *l, uint32_t step, uint32_t x,
                      uint64_t count, ht_vk_commands *commands) {
    const ht_attention_params *p = call->params;
    const ht_attention_input input = ht_op_attention_input(call, x);
    const bool of_q = step == HT_CODES_MEANS_Q || step == HT_CODES_PACK_Q;
    const uint64_t base = call->scratch_address;
    const uint64_t q_rows =
        (uint64_t)call->in[ATTN_Q].dims[0] * p->heads * call->in[ATTN_Q].dims[1];
    const ht_push_attention_pack push = {
        .x = call->in_address[x],
        .v = call->in_address[ATTN_V],
        .partials = base + l->partials,
        .means = base + (of_q ? l->q_means : l->channels),
        .codes = base + (step == HT_CODES_PACK_Q   ? l->q
                         : step == HT_CODES_PACK_K ? l->k
                                                   : l->v),
        .scales = base + l->scales + (step == HT_CODES_PACK_K ? q_rows * sizeof(float) : 0),
        .orders = ht_op_address(call, ATTN_ORDERS),
        .head_orders = ht_op_address(call, ATTN_HEAD_ORDERS),
        .moments = x != ATTN_V ? base + l->moments[x] : 0,
        .weight = input.weight,
        .bias = input.bias,
        .turns = input.turns,
        .batch = call->in[x].dims[0],
        .tokens = call->in[x].dims[1],
        .heads = p->heads,
        .head_dim = ht_op_head_dim(call),
        .slices = l->slices,
        .row_words = l->row_words,
        .factor = ht_op_attention_scale(call) * LOG2E,
    };
    ht_vk_dispatch_desc dispatch = {
        .kernel = HT_KERNEL_attention_pack,
        .constants = {0, call->in[x].format, call->in[ATTN_V].format, step, l->bits,
                      push.orders != 0, is_e4m3(call), push.turns != 0, input.norm.of,
                      push.weight != 0, push.bias != 0},
        .n_constants = 11,
        .push = &push,
        .push_bytes = sizeof push,
    };
    return ht_op_dispatch_flat(call, commands, &dispatch, count);
}

static ht_status find_moments(const ht_op_call *call, const layout *l, ht_vk_commands *commands) {
    const ht_attention_params *p = call->params;
    bool any = false;
    ht_status status = HT_OK;
    for (uint32_t i = ATTN_Q; i <= ATTN_K; i++) {
        if (p->norms[i].of != HT_CODES_NORM_NONE) {
            HT_TRY(
                ht_op_attention_moments(call, i, call->scratch_address + l->moments[i], commands));
            any = true;
        }
    }
    if (any) {
        ht_vk_barrier(commands);
    }
fail:
    return status;
}

static ht_status pack_all(const ht_op_call *call, const layout *l, ht_vk_commands *commands) {
    const ht_attention_params *p = call->params;
    const uint64_t batch = call->in[ATTN_Q].dims[0];
    const uint64_t quads = call->in[ATTN_Q].dims[2] / 4;
    const uint32_t queries = call->in[ATTN_Q].dims[1], keys = call->in[ATTN_K].dims[1];
    ht_status status = HT_OK;
    HT_TRY(find_moments(call, l, commands));
    HT_TRY(pack(call, l, HT_CODES_SLICES, ATTN_K, batch * l->slices * quads, commands));
    if (l->bits == 4) {
        const uint64_t blocks = divide_up(queries, HT_ATTENTION_BLOCK);
        HT_TRY(pack(call, l, HT_CODES_MEANS_Q, ATTN_Q, batch * blocks * quads, commands));
    }
    ht_vk_barrier(commands);
    HT_TRY(pack(call, l, HT_CODES_COMBINE, ATTN_K, batch * quads, commands));
    ht_vk_barrier(commands);
    HT_TRY(pack(call, l, HT_CODES_PACK_Q, ATTN_Q, batch * p->heads * queries, commands));
    HT_TRY(pack(call, l, HT_CODES_PACK_K, ATTN_K, batch * p->heads * keys, commands));
    HT_TRY(pack(call, l, HT_CODES_PACK_V, ATTN_V, batch * divide_up(keys, 4) * quads, commands));
    ht_vk_barrier(commands);
fail:
    return status;
}

static ht_status multiply(const ht_op_call *call, const layout *l, ht_vk_commands *commands) {
    const ht_attention_params *p = call->params;
    const uint32_t lanes = ht_vk_get_limits(call->context)->subgroup_size;
    const uint32_t head_dim = ht_op_head_dim(call);
    const bool cpu = ht_op_use_cpu_kernel(call);
    const ht_attention_division d =
        cpu ? ht_op_divide_lanes(head_dim, lanes, 16, false) : ht_op_divide_tiles(head_dim);
    const uint64_t base = call->scratch_address;
    const ht_push_attention_codes push = {
        .q = base + l->q,
        .k = base + l->k,
        .v = base + l->v,
        .scales = base + l->scales,
        .channels = base + l->channels,
        .q_means = base + l->q_means,
        .k_values = call->in_address[ATTN_K],
        .fields = ht_op_attention_fields(call, d.tile),
    };
    ht_vk_dispatch_desc dispatch = {
        .kernel = cpu                   ? HT_KERNEL_attention_codes_cpu
                  : ht_op_has_dot(call) ? HT_KERNEL_attention_codes_dot
                                        : HT_KERNEL_attention_codes_tiles,
        .constants = {cpu ? lanes : HT_ATTENTION_INVOCATIONS, call->in[ATTN_K].format, l->bits,
                      head_dim / 4, [6] = is_e4m3(call)},
        .push = &push,
        .push_bytes = sizeof push,
        .subgroup_size = cpu ? lanes : 0,
    };
    ht_op_attention_constants(call, &d, true, &dispatch);
    dispatch.constants[dispatch.n_constants++] = p->negligible;
    return ht_op_dispatch_attention(call, &push.fields, &dispatch, commands);
}

static uint32_t products_of(const ht_op_call *call) {
    const ht_attention_params *p = call->params;
    return p->products[call->variant];
}

static ht_status record(const ht_op_call *call, ht_vk_commands *commands) {
    const layout l = lay_out(call, bits_of(products_of(call)));
    ht_status status = HT_OK;
    if (products_of(call) == HT_ATTENTION_FLOATS) { // in this variant of the graph
        return ht_op_attention_def.record(call, commands);
    }
    HT_TRY(pack_all(call, &l, commands));
    HT_TRY(multiply(call, &l, commands));
fail:
    return status;
}

// q or k as floats; where something is done to it on the way a copy, which becomes *copy.
static ht_status changed(const ht_op_call *call, const float *const *inputs, uint32_t input,
                         float **copy, const float **out) {
    const uint64_t count = ht_desc_count(&call->in[input]);
    *out = inputs[input];
    if (!ht_op_attention_changes(call, input)) {
        return HT_OK;
    }
    *copy = ht_alloc(call->context, count * sizeof **copy);
    if (*copy == NULL) {
        return HT_ERR_NO_MEMORY;
    }
    memcpy(*copy, inputs[input], count * sizeof **copy);
    ht_op_attention_change(call, inputs, input, *copy);
    *out = *copy;
    return HT_OK;
}

static ht_status reference(const ht_op_call *call, const float *const *inputs, float *out) {
    const ht_ref_attention_args args = ht_op_ref_attention(call, inputs);
    const float *q, *k;
    float *copies[2] = {NULL, NULL};
    double *scratch = NULL;
    ht_status status = HT_OK;
    if (products_of(call) == HT_ATTENTION_FLOATS) {
        return ht_op_attention_def.reference(call, inputs, out);
    }
    HT_TRY(changed(call, inputs, ATTN_Q, &copies[0], &q));
    HT_TRY(changed(call, inputs, ATTN_K, &copies[1], &k));
    scratch = ht_alloc(call->context, ht_ref_attention_codes_scratch(&args) * sizeof *scratch);
    status = scratch != NULL ? HT_OK : HT_ERR_NO_MEMORY;
    HT_TRY(status);
    ht_ref_attention_codes(q, k, inputs[ATTN_V], &args, bits_of(products_of(call)), is_e4m3(call),
                           scratch, out);
fail:
    ht_free(call->context, scratch);
    ht_free(call->context, copies[0]);
    ht_free(call->context, copies[1]);
    return status;
}

const ht_op_def ht_op_attention_codes_def = {.name = "attention by codes",
                                             .infer = infer,
                                             .scratch = scratch,
                                             .record = record,
                                             .reference = reference,
                                             .absorbs = ht_op_attention_absorbs};
