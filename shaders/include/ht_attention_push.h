// What the push constants of all attention kernels end with, for C and GLSL: one struct in C, so that
// it is filled in one place.
#ifndef HT_ATTENTION_PUSH_H
#define HT_ATTENTION_PUSH_H

#include "ht_attention_layout.h"
#include "ht_shared.h"

#define HT_ATTENTION_FIELDS_OF_ALL                                                                 \
    HT_ADDRESS result; /* [batch, queries, heads, head_dim], or the block of a packed format */    \
    HT_ADDRESS mask;   /* [batch, keys] f32; 0: none */                                            \
    HT_ADDRESS blocks; /* kept blocks (ht_attention_plan); looked at with SPARSE only */           \
    HT_ADDRESS orders; /* [n, keys] i32: token at each position; looked at with ORDERED only */    \
    HT_ADDRESS head_orders; /* [heads] i32: row of `orders` */                                     \
    HT_UINT batch;                                                                                 \
    HT_UINT queries, keys;                                                                         \
    HT_UINT heads, head_dim;                                                                       \
    HT_UINT tiles;        /* of queries, per head */                                               \
    HT_UINT picture_rows; /* of lists in `blocks` that a picture has to itself; 0: all share them */ \
    HT_FLOAT scale;       /* of q . k, times log2(e) */

#ifndef VULKAN
typedef struct ht_attention_fields {
    HT_ATTENTION_FIELDS_OF_ALL
} ht_attention_fields;
#define HT_ATTENTION_FIELDS ht_attention_fields fields;
#else
#define HT_ATTENTION_FIELDS HT_ATTENTION_FIELDS_OF_ALL
#endif

#endif
