// Push constants of the attention kernels.
#ifndef ATTENTION_SHARED_H
#define ATTENTION_SHARED_H

#include "ht_attention_layout.h"
#include "ht_shared.h"

// attention_tiles: invocations; groups of them that own a row; channels that pass through shared
// memory at a time; up to how many such chunks in a head an invocation owns four rows, else one.
#define HT_ATTENTION_INVOCATIONS 128
#define HT_ATTENTION_LINES 16
#define HT_ATTENTION_CHUNK 32
#define HT_ATTENTION_FEW_CHUNKS 4

HT_PUSH(attention) {
    HT_ADDRESS q;           // [batch, queries, heads, head_dim]
    HT_ADDRESS k;           // [batch, keys, heads, head_dim]
    HT_ADDRESS v;           // [batch, keys, heads, head_dim]
    HT_ADDRESS result;      // as q, or the block of a packed format
    HT_ADDRESS rel_bias;    // [queries + keys - 1, heads] f32; looked at with REL_BIAS only
    HT_ADDRESS mask;        // [batch, keys] f32; 0: none
    HT_ADDRESS scales;      // of a packed result
    HT_ADDRESS tensor;      // in the block; 0: the format has no scale of the tensor
    HT_ADDRESS blocks;      // kept blocks (ht_attention_plan); looked at with SPARSE only
    HT_ADDRESS orders;      // [n, keys] i32: token at each position; looked at with ORDERED only
    HT_ADDRESS head_orders; // [heads] i32: row of `orders`
    HT_UINT batch;
    HT_UINT queries, keys;
    HT_UINT heads, head_dim;
    HT_UINT tiles;  // of queries, per head
    HT_FLOAT scale; // of q . k, times log2(e)
}
HT_PUSH_END(attention);

#endif
