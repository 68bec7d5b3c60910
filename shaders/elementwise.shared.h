// Push constants of elementwise.comp.
#ifndef ELEMENTWISE_SHARED_H
#define ELEMENTWISE_SHARED_H

#include "ht_shared.h"

// What is computed; specialization constant 1.
#define HT_ELEMENTWISE_ACTIVATION 0
#define HT_ELEMENTWISE_AFFINE 1
#define HT_ELEMENTWISE_ADD 2
#define HT_ELEMENTWISE_MUL 3
// a has two halves per row of 2 b_count: first * act(second)
#define HT_ELEMENTWISE_GATED 4

// How b goes with a; specialization constant 7.
#define HT_ELEMENTWISE_SAME 0   // value by value
#define HT_ELEMENTWISE_REPEAT 1 // again and again
#define HT_ELEMENTWISE_ITEMS 2  // a row of b for every `item` quads of a

HT_PUSH(elementwise) {
    HT_ADDRESS a;
    HT_ADDRESS b;
    HT_ADDRESS result;
    HT_UINT count;   // quads, or values when not wide
    HT_UINT b_count; // after so many, b starts again; of ITEMS and GATED, those of a row
    HT_UINT item;
    HT_FLOAT scale;
    HT_FLOAT shift;
}
HT_PUSH_END(elementwise);

#endif
