// Push constants of attention_pack.
#ifndef ATTENTION_PACK_SHARED_H
#define ATTENTION_PACK_SHARED_H

#include "ht_attention_layout.h"
#include "ht_shared.h"

HT_PUSH(attention_pack) {
    HT_ADDRESS x;        // [batch, tokens, heads, head_dim]: k (SLICES), else what is packed
    HT_ADDRESS v;        // SLICES: as x
    HT_ADDRESS partials; // [batch, slices, HT_CODES_PARTIAL_ROWS, C] f32
    HT_ADDRESS means;    // MEANS_Q, PACK_Q: q_means; else channels
    HT_ADDRESS codes;
    HT_ADDRESS scales; // [batch, heads, tokens] f32
    HT_ADDRESS orders; // as in attention.shared.h
    HT_ADDRESS head_orders;
    // Of x, looked at with NORM: moments of rows (row_norm.shared.h), weight, bias, f32.
    HT_ADDRESS moments, weight, bias;
    HT_ADDRESS turns; // [tokens, head_dim] f32, rotary positions of x; looked at with TURNED only
    HT_UINT batch, tokens;
    HT_UINT heads, head_dim;
    HT_UINT slices;
    HT_UINT row_words; // of a row of codes of q and k
    HT_FLOAT factor;   // of the scores, in the scales of q
}
HT_PUSH_END(attention_pack);

#endif
