// Push constants of elementwise.comp.
#ifndef ELEMENTWISE_SHARED_H
#define ELEMENTWISE_SHARED_H

#include "ht_shared.h"

// What is computed; specialization constant 1.
#define HT_ELEMENTWISE_ACTIVATION 0
#define HT_ELEMENTWISE_AFFINE 1
#define HT_ELEMENTWISE_ADD 2
#define HT_ELEMENTWISE_MUL 3

HT_PUSH(elementwise) {
    HT_ADDRESS a;
    HT_ADDRESS b;
    HT_ADDRESS result;
    HT_UINT count;   // quads, or values when not wide
    HT_UINT b_count; // after so many, b starts again
    HT_FLOAT scale;
    HT_FLOAT shift;
}
HT_PUSH_END(elementwise);

#endif
