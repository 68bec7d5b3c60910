// Push constants of the attention kernels.
#ifndef ATTENTION_SHARED_H
#define ATTENTION_SHARED_H

#include "ht_attention_push.h"

HT_PUSH(attention) {
    HT_ADDRESS q;        // [batch, queries, heads, head_dim]
    HT_ADDRESS k;        // [batch, keys, heads, head_dim]
    HT_ADDRESS v;        // [batch, keys, heads, head_dim]
    HT_ADDRESS rel_bias; // [queries + keys - 1, heads] f32; looked at with REL_BIAS only
    HT_ADDRESS scales;   // of a packed result
    HT_ADDRESS tensor;   // in the block; 0: the format has no scale of the tensor
    HT_ATTENTION_FIELDS
}
HT_PUSH_END(attention);

#endif
