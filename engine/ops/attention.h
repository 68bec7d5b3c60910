// What attention by floats (attention.c) and by integer codes (attention_codes.c) share.
#ifndef HT_OP_ATTENTION_H
#define HT_OP_ATTENTION_H

#include "gemm.h"

#include "ht_attention_layout.h"
#include "ht_attention_push.h"

enum {
    ATTN_Q,
    ATTN_K,
    ATTN_V,
    ATTN_REL_BIAS,
    ATTN_MASK,
    ATTN_BLOCKS,
    ATTN_ORDERS,
    ATTN_HEAD_ORDERS,
    ATTN_Q_TURNS,  // absent while the graph is built, like all that follow: what is taken over of
    ATTN_K_TURNS,  // rotary positions, their tables,
    ATTN_Q_WEIGHT, // and of norms
    ATTN_Q_BIAS,
    ATTN_K_WEIGHT,
    ATTN_K_BIAS,
    ATTN_INPUTS
};

// A norm that is taken over.
typedef struct ht_attention_norm {
    ht_op_norm rows;
    uint8_t of; // HT_CODES_NORM_TOKENS or HT_CODES_NORM_HEADS; HT_CODES_NORM_NONE: there is none
} ht_attention_norm;

typedef struct ht_attention_params {
    uint32_t heads;
    float scale;
    ht_format values;
    bool by_picture;
    uint32_t negligible;
    uint8_t products[HT_GRAPH_MAX_VARIANTS]; // ht_attention_products; all of them set
    ht_attention_norm norms[2];              // of q and k
} ht_attention_params;

extern const ht_op_def ht_op_attention_def, ht_op_attention_codes_def;

// Every rule but those of codes alone, and the result's shape.
ht_status ht_op_check_attention(ht_op_call *call, const ht_op_def *def);
uint32_t ht_op_head_dim(const ht_op_call *call);
// What multiplies q . k.
float ht_op_attention_scale(const ht_op_call *call);
// Address of an input, 0 where it is absent.
static inline uint64_t ht_op_address(const ht_op_call *call, uint32_t input) {
    return ht_op_has(call, input) ? call->in_address[input] : 0;
}

// How a kernel divides the work: its constants, and queries of a workgroup.
typedef struct ht_attention_division {
    uint32_t own;    // queries of an invocation (attention_tiles) or workgroup (the others)
    uint32_t chunks; // parts of the head of which an invocation holds four channels each
    uint32_t tail;   // channels in the part behind them (ht_lane_channels.glsl)
    uint32_t tile;
} ht_attention_division;
ht_attention_division ht_op_divide_lanes(uint32_t head_dim, uint32_t lanes, uint32_t most,
                                         bool packed_result);
ht_attention_division ht_op_divide_tiles(uint32_t head_dim);

// What all attention kernels get, for workgroups of `tile` queries.
ht_attention_fields ht_op_attention_fields(const ht_op_call *call, uint32_t tile);
// Constants 4, 5 and 7 to 11 of ht_attention.glsl and of the division, with whole quads (5) or not.
void ht_op_attention_constants(const ht_op_call *call, const ht_attention_division *division,
                               bool quads, ht_vk_dispatch_desc *dispatch);
ht_status ht_op_dispatch_attention(const ht_op_call *call, const ht_attention_fields *fields,
                                   ht_vk_dispatch_desc *dispatch, ht_vk_commands *commands);

ht_ref_attention_args ht_op_ref_attention(const ht_op_call *call, const float *const *inputs);

// --- what is done to q and k on the way into codes (attention_inputs.c) ---------------------------

// Of ATTN_Q, ATTN_K or ATTN_V; addresses are 0 where there is nothing of the kind.
typedef struct ht_attention_input {
    ht_attention_norm norm;
    uint64_t weight, bias, turns;
} ht_attention_input;
ht_attention_input ht_op_attention_input(const ht_op_call *call, uint32_t input);
// Memory for the moments of the norm in front of q or k (ht_attention_layout.h), and what writes them.
uint64_t ht_op_attention_moments_bytes(const ht_op_call *call, uint32_t input);
ht_status ht_op_attention_moments(const ht_op_call *call, uint32_t input, uint64_t result,
                                  ht_vk_commands *commands);
// ht_op_def.absorbs
bool ht_op_attention_absorbs(const ht_op_call *call, ht_op_absorption *wanted);
// Is anything done to q or k, and the same to x, the input as floats, in place. `inputs` as reference
// has them; only those of norm and rotary positions are looked at.
bool ht_op_attention_changes(const ht_op_call *call, uint32_t input);
void ht_op_attention_change(const ht_op_call *call, const float *const *inputs, uint32_t input,
                            float *x);

#endif
