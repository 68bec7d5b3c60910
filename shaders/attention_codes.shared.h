// Push constants of attention_codes_cpu.
#ifndef ATTENTION_CODES_SHARED_H
#define ATTENTION_CODES_SHARED_H

#include "ht_attention_layout.h"
#include "ht_shared.h"

HT_PUSH(attention_codes) {
    HT_ADDRESS q, k, v; // codes
    HT_ADDRESS scales;
    HT_ADDRESS channels;
    HT_ADDRESS q_means;  // with four bits
    HT_ADDRESS k_values; // with four bits: [batch, keys, heads, head_dim], as it was given
    HT_ADDRESS result;   // [batch, queries, heads, head_dim]
    HT_ADDRESS mask;     // from here to head_orders as in attention.shared.h
    HT_ADDRESS blocks;
    HT_ADDRESS orders;
    HT_ADDRESS head_orders;
    HT_UINT batch;
    HT_UINT queries, keys;
    HT_UINT heads, head_dim;
    HT_UINT tiles;  // of queries, per head
    HT_FLOAT scale; // of q . k, times log2(e)
}
HT_PUSH_END(attention_codes);

#endif
