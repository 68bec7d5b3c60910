// What attention by codes does itself to q and k on their way into codes: norms and rotary positions
// that it has taken over from the nodes before (fuse.c).
#include "attention.h"
#include "row_norm.h"

// Inputs of the node that belong to q or to k.
static const struct {
    uint32_t weight, bias, turns;
} PARTS[] = {[ATTN_Q] = {ATTN_Q_WEIGHT, ATTN_Q_BIAS, ATTN_Q_TURNS},
             [ATTN_K] = {ATTN_K_WEIGHT, ATTN_K_BIAS, ATTN_K_TURNS}};

ht_attention_input ht_op_attention_input(const ht_op_call *call, uint32_t input) {
    const ht_attention_params *p = call->params;
    if (input == ATTN_V) {
        return (ht_attention_input){0};
    }
    return (ht_attention_input){.norm = p->norms[input],
                                .weight = ht_op_address(call, PARTS[input].weight),
                                .bias = ht_op_address(call, PARTS[input].bias),
                                .turns = ht_op_address(call, PARTS[input].turns)};
}

// Values that share a mean and a root.
static uint32_t norm_width(const ht_op_call *call, uint32_t input) {
    const ht_attention_params *p = call->params;
    return p->norms[input].of == HT_CODES_NORM_HEADS ? ht_op_head_dim(call)
                                                     : call->in[input].dims[2];
}

static uint64_t norm_rows(const ht_op_call *call, uint32_t input) {
    return ht_desc_count(&call->in[input]) / norm_width(call, input);
}

uint64_t ht_op_attention_moments_bytes(const ht_op_call *call, uint32_t input) {
    const ht_attention_params *p = call->params;
    const bool any = p->norms[input].of != HT_CODES_NORM_NONE;
    return any ? norm_rows(call, input) * 2 * sizeof(float) : 0;
}

ht_status ht_op_attention_moments(const ht_op_call *call, uint32_t input, uint64_t result,
                                  ht_vk_commands *commands) {
    const ht_attention_params *p = call->params;
    const ht_op_moments moments = {.x = call->in_address[input],
                                   .result = result,
                                   .format = call->in[input].format,
                                   .rows = (uint32_t)norm_rows(call, input),
                                   .width = norm_width(call, input)};
    return ht_op_record_moments(call, &p->norms[input].rows, &moments, commands);
}

// Are codes all that is made of an input? Floats are multiplied in variants of the graph that say so,
// and with four bits k is, with the means of q.
static bool only_codes(const ht_attention_params *p, uint32_t input) {
    bool good = input == ATTN_Q || input == ATTN_K;
    for (uint32_t i = 0; i < HT_GRAPH_MAX_VARIANTS; i++) {
        good = good && p->products[i] != HT_ATTENTION_FLOATS &&
               (input == ATTN_Q || p->products[i] != HT_ATTENTION_INT4);
    }
    return good;
}

// Rotary positions of all tokens, the last thing done.
static bool absorbs_turns(const ht_op_call *call, ht_op_absorption *wanted) {
    const ht_attention_params *p = call->params;
    const ht_tensor_desc *x = &call->in[wanted->input], *table = &wanted->before->in[1];
    wanted->slots[1] = PARTS[wanted->input].turns;
    return p->norms[wanted->input].of == HT_CODES_NORM_NONE && !ht_op_has(call, wanted->slots[1]) &&
           table->dims[0] == x->dims[1] && table->dims[1] == ht_op_head_dim(call) &&
           ht_op_width(&wanted->before->out) == x->dims[2];
}

// A norm of all heads of a token together, or of each head.
static bool absorbs_norm(const ht_op_call *call, ht_op_absorption *wanted) {
    ht_attention_params *p = wanted->params;
    ht_attention_norm *norm = &p->norms[wanted->input];
    const uint32_t width = ht_op_width(&wanted->before->out);
    const bool heads = width == ht_op_head_dim(call);
    ht_op_norm rows;
    if (norm->of != HT_CODES_NORM_NONE || (!heads && width != call->in[wanted->input].dims[2]) ||
        !wanted->op->norm(wanted->before, &rows)) {
        return false;
    }
    wanted->slots[1] = PARTS[wanted->input].weight;
    wanted->slots[2] = PARTS[wanted->input].bias;
    *norm = (ht_attention_norm){rows, heads ? HT_CODES_NORM_HEADS : HT_CODES_NORM_TOKENS};
    return true;
}

bool ht_op_attention_absorbs(const ht_op_call *call, ht_op_absorption *wanted) {
    if (!only_codes(call->params, wanted->input)) {
        return false;
    }
    return wanted->op == &ht_op_rope_def ? absorbs_turns(call, wanted)
           : wanted->op->norm != NULL    ? absorbs_norm(call, wanted)
                                         : false;
}

bool ht_op_attention_changes(const ht_op_call *call, uint32_t input) {
    const ht_attention_params *p = call->params;
    return p->norms[input].of != HT_CODES_NORM_NONE || ht_op_has(call, PARTS[input].turns);
}

void ht_op_attention_change(const ht_op_call *call, const float *const *inputs, uint32_t input,
                            float *x) {
    const ht_attention_params *p = call->params;
    const ht_attention_norm *norm = &p->norms[input];
    const ht_tensor_desc *of_x = &call->in[input];
    const uint32_t turns = PARTS[input].turns;
    const float *weight = inputs[PARTS[input].weight];
    if (norm->of != HT_CODES_NORM_NONE && norm->rows.centre) {
        const ht_ref_layer_norm_args args = {
            .eps = norm->rows.eps, .weight = weight, .bias = inputs[PARTS[input].bias]};
        ht_ref_layer_norm(x, norm_rows(call, input), norm_width(call, input), &args, x);
    } else if (norm->of != HT_CODES_NORM_NONE) {
        ht_ref_rms_norm(x, norm_rows(call, input), norm_width(call, input), weight, norm->rows.eps,
                        x);
    }
    if (ht_op_has(call, turns)) { // pair by pair, in place
        ht_ref_rope(x, ht_op_rows(of_x), ht_op_width(of_x), inputs[turns], call->in[turns].dims[0],
                    call->in[turns].dims[1], x);
    }
}
