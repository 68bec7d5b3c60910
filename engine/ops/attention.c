// attention: softmax(q k^T * scale + additions) v per head, never an S x S tensor.
#include "attention.h"
#include "quantize.h"

#include "attention.shared.h"

#include <math.h>

enum { MAX_HEAD_DIM = 512, MANY_QUERIES = 512 };

ht_value ht_op_attention(ht_graph *g, ht_value q, ht_value k, ht_value v,
                         const ht_attention_args *args) {
    const ht_attention_plan plan = args->plan != NULL ? *args->plan : HT_ATTENTION_PLAN_NONE;
    ht_value inputs[ATTN_INPUTS] = {q,          k,           v,           args->rel_bias,
                                    args->mask, plan.blocks, plan.orders, plan.head_orders};
    ht_attention_params p = {.heads = args->heads,
                             .scale = args->scale,
                             .values = plan.values,
                             .by_picture = plan.by_picture,
                             .negligible = plan.negligible};
    bool codes = false;
    for (uint32_t i = ATTN_Q_TURNS; i < ATTN_INPUTS; i++) {
        inputs[i] = HT_NO_VALUE;
    }
    for (uint32_t i = 0; i < HT_GRAPH_MAX_VARIANTS; i++) {
        const bool own = plan.by_variant != NULL && i < ht_graph_variants(g);
        p.products[i] = (uint8_t)(own ? plan.by_variant[i] : plan.products);
        codes = codes || p.products[i] != HT_ATTENTION_FLOATS;
    }
    return ht_op_add_node(g, codes ? &ht_op_attention_codes_def : &ht_op_attention_def, inputs,
                          ATTN_INPUTS, &p, sizeof p);
}

// A float [B, T, C], with the result's B and C; T may be 0 for any.
static ht_status check_tokens(const ht_op_call *call, const ht_op_def *def, uint32_t input,
                              uint32_t tokens, const char *what) {
    const ht_tensor_desc *q = &call->in[ATTN_Q];
    const ht_tensor_desc *in = &call->in[input];
    char text[128];
    if (!ht_op_is_float(in) || in->rank != 3) {
        return ht_op_fail(call, def, "%s must be a float [B, T, C], not %s", what,
                          ht_desc_text(in, text, sizeof text));
    }
    if (in->dims[0] != q->dims[0] || in->dims[2] != q->dims[2] ||
        (tokens != 0 && in->dims[1] != tokens)) {
        return ht_op_fail(call, def, "%s must have the %u items and %u channels of q%s, not %s",
                          what, q->dims[0], q->dims[2], tokens != 0 ? ", and the tokens of k" : "",
                          ht_desc_text(in, text, sizeof text));
    }
    if (ht_desc_count(in) > INT32_MAX) {
        return ht_op_fail(call, def, "%s has more than 2^31 - 1 values: %s", what,
                          ht_desc_text(in, text, sizeof text));
    }
    return HT_OK;
}

// Absent, or f32 [rows, columns].
static ht_status check_addition(const ht_op_call *call, const ht_op_def *def, uint32_t input,
                                uint32_t rows, uint32_t columns, const char *what) {
    const ht_tensor_desc *in = &call->in[input];
    char text[128];
    if (ht_op_has(call, input) && (in->format != HT_FORMAT_F32 || in->rank != 2 ||
                                   in->dims[0] != rows || in->dims[1] != columns)) {
        return ht_op_fail(call, def, "%s must be f32 [%u, %u], not %s", what, rows, columns,
                          ht_desc_text(in, text, sizeof text));
    }
    return HT_OK;
}

static uint32_t block_count(uint32_t tokens) {
    return (tokens + HT_ATTENTION_BLOCK - 1) / HT_ATTENTION_BLOCK;
}

static bool is_i32(const ht_tensor_desc *desc, uint32_t rank) {
    return desc->format == HT_FORMAT_I32 && desc->rank == rank;
}

static ht_status check_plan(const ht_op_call *call, const ht_op_def *def, uint32_t queries,
                            uint32_t keys, uint32_t heads) {
    const ht_tensor_desc *blocks = &call->in[ATTN_BLOCKS];
    const ht_tensor_desc *orders = &call->in[ATTN_ORDERS];
    const ht_tensor_desc *head_orders = &call->in[ATTN_HEAD_ORDERS];
    const bool ordered = ht_op_has(call, ATTN_ORDERS);
    const ht_attention_params *p = call->params;
    const uint64_t pictures = p->by_picture ? call->in[ATTN_Q].dims[0] : 1;
    const uint64_t lists = 2 * pictures * heads * block_count(queries);
    char text[128];
    if (ht_op_has(call, ATTN_BLOCKS) && (!is_i32(blocks, 1) || blocks->dims[0] < lists)) {
        return ht_op_fail(call, def, "blocks must be i32 [at least %llu], not %s",
                          (unsigned long long)lists, ht_desc_text(blocks, text, sizeof text));
    }
    if (ordered != ht_op_has(call, ATTN_HEAD_ORDERS)) {
        return ht_op_fail(call, def, "orders and head_orders need each other");
    }
    if (ordered && (queries != keys || !is_i32(orders, 2) || orders->dims[1] != keys)) {
        return ht_op_fail(call, def, "orders must be i32 [n, %u] for %u queries, not %s", keys,
                          queries, ht_desc_text(orders, text, sizeof text));
    }
    if (ordered && (!is_i32(head_orders, 1) || head_orders->dims[0] != heads)) {
        return ht_op_fail(call, def, "head_orders must be i32 [%u], not %s", heads,
                          ht_desc_text(head_orders, text, sizeof text));
    }
    if (ht_op_has(call, ATTN_REL_BIAS) && (ordered || ht_op_has(call, ATTN_BLOCKS))) {
        return ht_op_fail(call, def, "rel_bias and a plan exclude each other");
    }
    return HT_OK;
}

ht_status ht_op_check_attention(ht_op_call *call, const ht_op_def *def) {
    const ht_attention_params *p = call->params;
    const ht_tensor_desc *q = &call->in[ATTN_Q];
    ht_status status = HT_OK;
    HT_TRY(check_tokens(call, def, ATTN_Q, 0, "q"));
    HT_TRY(check_tokens(call, def, ATTN_K, 0, "k"));
    const uint32_t keys = call->in[ATTN_K].dims[1];
    HT_TRY(check_tokens(call, def, ATTN_V, keys, "v"));
    if (p->heads == 0 || q->dims[2] % p->heads != 0) {
        return ht_op_fail(call, def, "%u channels cannot be split into %u heads", q->dims[2],
                          p->heads);
    }
    if (q->dims[2] / p->heads > MAX_HEAD_DIM) {
        return ht_op_fail(call, def, "a head may have %d channels, not %u", MAX_HEAD_DIM,
                          q->dims[2] / p->heads);
    }
    if (!isfinite(p->scale)) {
        return ht_op_fail(call, def, "scale must be finite");
    }
    HT_TRY(check_addition(call, def, ATTN_REL_BIAS, q->dims[1] + keys - 1, p->heads, "rel_bias"));
    HT_TRY(check_addition(call, def, ATTN_MASK, q->dims[0], keys, "mask"));
    HT_TRY(check_plan(call, def, q->dims[1], keys, p->heads));
    ht_op_same_shape(call);
fail:
    return status;
}

static ht_status infer(ht_op_call *call) {
    return ht_op_check_attention(call, &ht_op_attention_def);
}

uint32_t ht_op_head_dim(const ht_op_call *call) {
    const ht_attention_params *p = call->params;
    return call->out.dims[2] / p->heads;
}

float ht_op_attention_scale(const ht_op_call *call) {
    const ht_attention_params *p = call->params;
    return p->scale != 0.0f ? p->scale : 1.0f / sqrtf((float)ht_op_head_dim(call));
}

ht_attention_division ht_op_divide_tiles(uint32_t head_dim) {
    const uint32_t chunks = (head_dim + HT_ATTENTION_CHUNK - 1) / HT_ATTENTION_CHUNK;
    const uint32_t rows = chunks <= HT_ATTENTION_FEW_CHUNKS ? 4 : 1;
    return (ht_attention_division){
        .own = rows, .chunks = chunks, .tile = HT_ATTENTION_LINES * rows};
}

// As many queries, up to `most`, as leave their results in the registers and the code of a kernel.
ht_attention_division ht_op_divide_lanes(uint32_t head_dim, uint32_t lanes, uint32_t most,
                                         bool packed_result) {
    const uint32_t chunk = 4 * lanes;
    const uint32_t rest = head_dim % chunk;
    ht_attention_division d = {.chunks = head_dim / chunk};
    if (d.chunks > 0 && rest <= 2 * lanes && !packed_result) {
        d.tail = rest > lanes ? 2 : rest > 0 ? 1 : 0;
    } else if (rest > 0) {
        d.chunks++;
    }
    const uint32_t width = 4 * d.chunks + d.tail;
    d.tile = d.own = width <= 12 ? most : width <= 32 ? 8 : 4;
    return d;
}

ht_attention_fields ht_op_attention_fields(const ht_op_call *call, uint32_t tile) {
    const ht_attention_params *p = call->params;
    const uint32_t queries = call->out.dims[1];
    return (ht_attention_fields){
        .result = call->out_address,
        .mask = ht_op_address(call, ATTN_MASK),
        .blocks = ht_op_address(call, ATTN_BLOCKS),
        .orders = ht_op_address(call, ATTN_ORDERS),
        .head_orders = ht_op_address(call, ATTN_HEAD_ORDERS),
        .batch = call->out.dims[0],
        .queries = queries,
        .keys = call->in[ATTN_K].dims[1],
        .heads = p->heads,
        .head_dim = ht_op_head_dim(call),
        .tiles = queries / tile + (queries % tile != 0),
        .picture_rows = p->by_picture ? p->heads * block_count(queries) : 0,
        .scale = ht_op_attention_scale(call) * 1.44269504f,
    };
}

void ht_op_attention_constants(const ht_op_call *call, const ht_attention_division *division,
                               bool quads, ht_vk_dispatch_desc *dispatch) {
    dispatch->constants[4] = call->out.format;
    dispatch->constants[5] = quads;
    dispatch->constants[7] = division->own;
    dispatch->constants[8] = division->chunks;
    dispatch->constants[9] = ht_op_has(call, ATTN_BLOCKS);
    dispatch->constants[10] = ht_op_has(call, ATTN_ORDERS);
    dispatch->constants[11] = division->tail;
    dispatch->n_constants = 12;
}

ht_status ht_op_dispatch_attention(const ht_op_call *call, const ht_attention_fields *fields,
                                   ht_vk_dispatch_desc *dispatch, ht_vk_commands *commands) {
    dispatch->label = call->label;
    ht_vk_split_groups(call->context, (uint64_t)fields->tiles * fields->heads * fields->batch,
                       dispatch->groups);
    return ht_vk_dispatch(commands, dispatch);
}

static ht_status record(const ht_op_call *call, ht_vk_commands *commands) {
    const uint32_t lanes = ht_vk_get_limits(call->context)->subgroup_size;
    const bool cpu = ht_op_use_cpu_kernel(call);
    const uint32_t head_dim = ht_op_head_dim(call);
    // 32 take a seventh less time than 16, and twice as long to compile.
    const uint32_t most = call->out.dims[1] < MANY_QUERIES ? 16 : 32;
    const ht_attention_division d =
        cpu ? ht_op_divide_lanes(head_dim, lanes, most, ht_format_is_packed(call->out.format))
            : ht_op_divide_tiles(head_dim);
    ht_push_attention push = {
        .q = call->in_address[ATTN_Q],
        .k = call->in_address[ATTN_K],
        .v = call->in_address[ATTN_V],
        .rel_bias = ht_op_address(call, ATTN_REL_BIAS),
        .fields = ht_op_attention_fields(call, d.tile),
    };
    if (ht_format_is_packed(call->out.format)) {
        const ht_op_packed result = ht_op_packed_result(call);
        push.scales = result.scales;
        push.tensor = result.tensor;
    }
    const bool quads = head_dim % 4 == 0 && (push.q | push.k | push.v | call->out_address) % 8 == 0;
    ht_vk_dispatch_desc dispatch = {
        .kernel = cpu ? HT_KERNEL_attention_cpu : HT_KERNEL_attention_tiles,
        .constants = {cpu ? lanes : HT_ATTENTION_INVOCATIONS, call->in[ATTN_Q].format,
                      call->in[ATTN_K].format, call->in[ATTN_V].format, [6] = push.rel_bias != 0},
        .push = &push,
        .push_bytes = sizeof push,
    };
    ht_op_attention_constants(call, &d, quads, &dispatch);
    return ht_op_dispatch_attention(call, &push.fields, &dispatch, commands);
}

// A workgroup has one head: groups must lie within it, and rows have no padding.
static bool packs(const ht_op_call *call, ht_format format) {
    const ht_attention_params *p = call->params;
    const ht_fmt_row *row = ht_fmt_find(format);
    return ht_op_can_pack(format) && row->group != 0 &&
           call->out.dims[2] / p->heads % row->group == 0 && call->out.dims[2] % 32 == 0;
}

ht_ref_attention_args ht_op_ref_attention(const ht_op_call *call, const float *const *inputs) {
    const ht_attention_params *p = call->params;
    return (ht_ref_attention_args){
        .batch = call->out.dims[0],
        .queries = call->out.dims[1],
        .keys = call->in[ATTN_K].dims[1],
        .heads = p->heads,
        .head_dim = ht_op_head_dim(call),
        .scale = ht_op_attention_scale(call),
        .rel_bias = inputs[ATTN_REL_BIAS],
        .mask = inputs[ATTN_MASK],
        .blocks = inputs[ATTN_BLOCKS],
        .orders = inputs[ATTN_ORDERS],
        .head_orders = inputs[ATTN_HEAD_ORDERS],
        .by_picture = p->by_picture,
        .negligible = p->negligible,
    };
}

static ht_status reference(const ht_op_call *call, const float *const *inputs, float *out) {
    const ht_ref_attention_args args = ht_op_ref_attention(call, inputs);
    double *scratch = ht_alloc(call->context, args.keys * sizeof *scratch);
    if (scratch == NULL) {
        return HT_ERR_NO_MEMORY;
    }
    ht_ref_attention(inputs[ATTN_Q], inputs[ATTN_K], inputs[ATTN_V], &args, scratch, out);
    ht_free(call->context, scratch);
    return HT_OK;
}

const ht_op_def ht_op_attention_def = {
    .name = "attention", .infer = infer, .record = record, .reference = reference, .packs = packs};
