// attention_predict: lists of the blocks of an attention that means of blocks say to matter.
#include "attention.h"

#include "attention_predict.shared.h"

#include <math.h>

enum { PREDICT_Q, PREDICT_K, PREDICT_ORDERS, PREDICT_HEAD_ORDERS, PREDICT_INPUTS };

typedef struct params {
    ht_attention_params attention; // first: ht_op_head_dim and ht_op_attention_scale look at it
    float share, similarity;
    uint32_t text;
} params;

static const ht_op_def PREDICT;

ht_value ht_op_attention_predict(ht_graph *g, ht_value q, ht_value k,
                                 const ht_attention_predict_args *args) {
    const ht_value inputs[PREDICT_INPUTS] = {q, k, args->orders, args->head_orders};
    const params p = {
        {.heads = args->heads, .scale = args->scale}, args->share, args->similarity, args->text};
    return ht_op_add_node(g, &PREDICT, inputs, PREDICT_INPUTS, &p, sizeof p);
}

static uint32_t block_count(uint32_t tokens) {
    return tokens / HT_ATTENTION_BLOCK + (tokens % HT_ATTENTION_BLOCK != 0);
}

static uint64_t list_count(const ht_op_call *call) {
    const params *p = call->params;
    const ht_tensor_desc *q = &call->in[PREDICT_Q];
    return (uint64_t)q->dims[0] * p->attention.heads * block_count(q->dims[1]);
}

static ht_status check_orders(const ht_op_call *call) {
    const params *p = call->params;
    const ht_tensor_desc *orders = &call->in[PREDICT_ORDERS];
    const ht_tensor_desc *heads = &call->in[PREDICT_HEAD_ORDERS];
    const uint32_t tokens = call->in[PREDICT_K].dims[1];
    if (ht_op_has(call, PREDICT_ORDERS) != ht_op_has(call, PREDICT_HEAD_ORDERS)) {
        return ht_op_fail(call, &PREDICT, "orders and head_orders need each other");
    }
    if (ht_op_has(call, PREDICT_ORDERS) &&
        (orders->format != HT_FORMAT_I32 || orders->rank != 2 || orders->dims[1] != tokens ||
         call->in[PREDICT_Q].dims[1] != tokens || heads->format != HT_FORMAT_I32 ||
         heads->rank != 1 || heads->dims[0] != p->attention.heads)) {
        return ht_op_fail(call, &PREDICT,
                          "orders must be i32 [n, %u] and head_orders i32 [%u], of as many queries",
                          tokens, p->attention.heads);
    }
    return HT_OK;
}

static ht_status infer(ht_op_call *call) {
    const params *p = call->params;
    const ht_tensor_desc *q = &call->in[PREDICT_Q], *k = &call->in[PREDICT_K];
    ht_status status = HT_OK;
    HT_TRY(ht_op_check_float(call, &PREDICT, PREDICT_Q, "q"));
    HT_TRY(ht_op_check_float(call, &PREDICT, PREDICT_K, "k"));
    if (q->rank != 3 || k->rank != 3 || q->dims[0] != k->dims[0] || q->dims[2] != k->dims[2]) {
        return ht_op_fail(call, &PREDICT, "q and k must be [B, T, C] with the same B and C");
    }
    if (p->attention.heads == 0 || q->dims[2] % (4 * p->attention.heads) != 0) {
        return ht_op_fail(call, &PREDICT, "%u channels are no %u heads of a multiple of 4 channels",
                          q->dims[2], p->attention.heads);
    }
    if (!isfinite(p->attention.scale) || !(p->share > 0.0f && p->share <= 1.0f) ||
        !(p->similarity >= -1.0f && p->similarity <= 1.0f)) {
        return ht_op_fail(call, &PREDICT,
                          "share must be above 0 and at most 1, similarity -1 to 1, not %g and %g",
                          p->share, p->similarity);
    }
    const uint64_t count = list_count(call) * (2 + (uint64_t)block_count(k->dims[1]));
    if (count > INT32_MAX || ht_desc_count(q) > INT32_MAX || ht_desc_count(k) > INT32_MAX) {
        return ht_op_fail(call, &PREDICT, "%u x %u tokens in %u heads are too many", q->dims[1],
                          k->dims[1], p->attention.heads);
    }
    HT_TRY(check_orders(call));
    call->out.format = HT_FORMAT_I32;
    call->out.rank = 1;
    call->out.dims[0] = (uint32_t)count;
fail:
    return status;
}

// Of q and of k: offsets of what each has (attention_predict.shared.h).
typedef struct side {
    uint32_t input;
    uint64_t pools, mean, inverse_lengths, similarities;
} side;

static uint64_t lay_out(const ht_op_call *call, side sides[2], uint64_t *weights) {
    const params *p = call->params;
    uint64_t at = 0;
    for (uint32_t i = 0; i < 2; i++) {
        const ht_tensor_desc *x = &call->in[i];
        const uint64_t heads = (uint64_t)x->dims[0] * p->attention.heads;
        const uint64_t width = (uint64_t)x->dims[0] * x->dims[2];
        const uint64_t blocks = block_count(x->dims[1]);
        const uint64_t bytes[] = {width * blocks * 4, width * 4, heads * x->dims[1] * 4,
                                  heads * blocks * 4};
        uint64_t *const offsets[] = {&sides[i].pools, &sides[i].mean, &sides[i].inverse_lengths,
                                     &sides[i].similarities};
        sides[i].input = i;
        for (size_t n = 0; n < sizeof bytes / sizeof bytes[0]; n++) {
            *offsets[n] = at;
            at += (bytes[n] + 15) / 16 * 16;
        }
    }
    *weights = at;
    return at + list_count(call) * block_count(call->in[PREDICT_K].dims[1]) * 4;
}

static uint64_t scratch(const ht_op_call *call) {
    side sides[2];
    uint64_t weights;
    return lay_out(call, sides, &weights);
}

static ht_push_attention_predict push_of(const ht_op_call *call, const side *s) {
    const params *p = call->params;
    const uint64_t base = call->scratch_address;
    const ht_tensor_desc *x = &call->in[s->input];
    return (ht_push_attention_predict){
        .x = call->in_address[s->input],
        .pools = base + s->pools,
        .mean = s->input == PREDICT_K ? base + s->mean : 0,
        .inverse_lengths = base + s->inverse_lengths,
        .similarities = base + s->similarities,
        .orders = ht_op_address(call, PREDICT_ORDERS),
        .head_orders = ht_op_address(call, PREDICT_HEAD_ORDERS),
        .batch = x->dims[0],
        .tokens = x->dims[1],
        .heads = p->attention.heads,
        .head_dim = x->dims[2] / p->attention.heads,
    };
}

static ht_vk_dispatch_desc describe(const ht_op_call *call, uint32_t input, uint32_t step,
                                    const ht_push_attention_predict *push) {
    return (ht_vk_dispatch_desc){
        .kernel = HT_KERNEL_attention_predict,
        .constants = {0, call->in[input].format, step, ht_op_has(call, PREDICT_ORDERS)},
        .n_constants = 4,
        .push = push,
        .push_bytes = sizeof *push,
        .label = call->label,
    };
}

static ht_status record_step(const ht_op_call *call, const side *s, uint32_t step,
                             ht_vk_commands *commands) {
    const ht_push_attention_predict push = push_of(call, s);
    const uint64_t heads = (uint64_t)push.batch * push.heads;
    const uint64_t quads = push.head_dim / 4, blocks = block_count(push.tokens);
    ht_vk_dispatch_desc dispatch = describe(call, s->input, step, &push);
    return ht_op_dispatch_flat(call, commands, &dispatch,
                               heads * (step == HT_PREDICT_POOL      ? blocks * quads
                                        : step == HT_PREDICT_MEAN    ? quads
                                        : step == HT_PREDICT_LENGTHS ? push.tokens
                                                                     : blocks));
}

static ht_status select_blocks(const ht_op_call *call, const side sides[2], uint64_t weights,
                               ht_vk_commands *commands) {
    const params *p = call->params;
    ht_push_attention_predict push = push_of(call, &sides[PREDICT_Q]);
    push.k_pools = call->scratch_address + sides[PREDICT_K].pools;
    push.k_similarities = call->scratch_address + sides[PREDICT_K].similarities;
    push.weights = call->scratch_address + weights;
    push.result = call->out_address;
    push.k_blocks = block_count(call->in[PREDICT_K].dims[1]);
    push.text = block_count(p->text);
    push.scale =
        (p->attention.scale != 0.0f ? p->attention.scale : 1.0f / sqrtf((float)push.head_dim)) *
        1.44269504f;
    push.share = p->share;
    push.similarity = p->similarity;
    ht_vk_dispatch_desc dispatch = describe(call, PREDICT_Q, HT_PREDICT_SELECT, &push);
    dispatch.constants[0] = ht_op_row_local(call);
    ht_vk_split_groups(call->context, list_count(call), dispatch.groups);
    return ht_vk_dispatch(commands, &dispatch);
}

static ht_status record(const ht_op_call *call, ht_vk_commands *commands) {
    static const uint32_t steps[] = {HT_PREDICT_POOL, HT_PREDICT_MEAN, HT_PREDICT_LENGTHS,
                                     HT_PREDICT_SIMILARITY};
    side sides[2];
    uint64_t weights;
    ht_status status = HT_OK;
    lay_out(call, sides, &weights);
    for (size_t n = 0; n < sizeof steps / sizeof steps[0]; n++) {
        for (uint32_t i = steps[n] == HT_PREDICT_MEAN ? PREDICT_K : PREDICT_Q; i <= PREDICT_K;
             i++) {
            HT_TRY(record_step(call, &sides[i], steps[n], commands));
        }
        ht_vk_barrier(commands);
    }
    HT_TRY(select_blocks(call, sides, weights, commands));
fail:
    return status;
}

static ht_status reference(const ht_op_call *call, const float *const *inputs, float *out) {
    const params *p = call->params;
    const ht_tensor_desc *q = &call->in[PREDICT_Q];
    const uint32_t head_dim = q->dims[2] / p->attention.heads;
    const ht_ref_predict_args args = {
        .shape = {.batch = q->dims[0],
                  .queries = q->dims[1],
                  .keys = call->in[PREDICT_K].dims[1],
                  .heads = p->attention.heads,
                  .head_dim = head_dim,
                  .scale = p->attention.scale != 0.0f ? p->attention.scale
                                                      : 1.0f / sqrtf((float)head_dim),
                  .orders = inputs[PREDICT_ORDERS],
                  .head_orders = inputs[PREDICT_HEAD_ORDERS]},
        .share = p->share,
        .similarity = p->similarity,
        .text = p->text,
    };
    double *memory =
        ht_alloc(call->context, ht_ref_attention_predict_scratch(&args) * sizeof *memory);
    if (memory == NULL) {
        return HT_ERR_NO_MEMORY;
    }
    ht_ref_attention_predict(inputs[PREDICT_Q], inputs[PREDICT_K], &args, memory, out);
    ht_free(call->context, memory);
    return HT_OK;
}

static const ht_op_def PREDICT = {.name = "attention blocks",
                                  .infer = infer,
                                  .scratch = scratch,
                                  .record = record,
                                  .reference = reference};
