// Push constants of attention_predict, and its steps.
#ifndef ATTENTION_PREDICT_SHARED_H
#define ATTENTION_PREDICT_SHARED_H

#include "ht_attention_layout.h"
#include "ht_shared.h"

#define HT_PREDICT_POOL 0       // pools; an invocation has four channels of a block
#define HT_PREDICT_MEAN 1       // mean; four channels of a head
#define HT_PREDICT_LENGTHS 2    // inverse_lengths; a position
#define HT_PREDICT_SIMILARITY 3 // similarities; a block
#define HT_PREDICT_SELECT 4     // result; a workgroup has the list of a block of queries

HT_PUSH(attention_predict) {
    HT_ADDRESS x;               // q or k [batch, tokens, heads, head_dim]
    HT_ADDRESS pools;           // [batch, heads, blocks, head_dim] f32: means of blocks
    HT_ADDRESS mean;            // [batch, heads, head_dim] f32, taken off before rows are compared; 0: none
    HT_ADDRESS inverse_lengths; // [batch, heads, tokens] f32, of rows
    HT_ADDRESS similarities;    // [batch, heads, blocks] f32
    HT_ADDRESS k_pools;         // SELECT: those above are of q then
    HT_ADDRESS k_similarities;
    HT_ADDRESS weights; // [batch, heads, blocks, k_blocks] f32
    HT_ADDRESS result;      // i32, as ht_attention_plan.blocks by picture
    HT_ADDRESS orders;      // as in attention.shared.h
    HT_ADDRESS head_orders;
    HT_UINT batch, tokens;
    HT_UINT heads, head_dim;
    HT_UINT k_blocks;
    HT_UINT text;        // blocks with a token of the text
    HT_FLOAT scale;      // of products of pools, times log2(e)
    HT_FLOAT share;      // of the predicted weights that is kept; 1: everything
    HT_FLOAT similarity; // blocks of rows that are not more alike are kept
}
HT_PUSH_END(attention_predict);

#endif
