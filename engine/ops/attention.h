// What attention by floats (attention.c) and by integer codes (attention_codes.c) share.
#ifndef HT_OP_ATTENTION_H
#define HT_OP_ATTENTION_H

#include "gemm.h"

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
    ATTN_Q_TURNS, // absent while the graph is built: tables of rotary positions that are taken over
    ATTN_K_TURNS,
    ATTN_INPUTS
};

typedef struct ht_attention_params {
    uint32_t heads;
    float scale;
    ht_format values;
    bool by_picture;
    uint32_t negligible;
    uint8_t products[HT_GRAPH_MAX_VARIANTS]; // ht_attention_products; all of them set
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

#endif
