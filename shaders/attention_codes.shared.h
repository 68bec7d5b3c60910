// Push constants of the kernels of attention by codes.
#ifndef ATTENTION_CODES_SHARED_H
#define ATTENTION_CODES_SHARED_H

#include "ht_attention_push.h"

HT_PUSH(attention_codes) {
    HT_ADDRESS q, k, v; // codes
    HT_ADDRESS scales;
    HT_ADDRESS channels;
    HT_ADDRESS q_means;  // with four bits
    HT_ADDRESS k_values; // with four bits: [batch, keys, heads, head_dim], as it was given
    HT_ATTENTION_FIELDS
}
HT_PUSH_END(attention_codes);

#endif
