// Push constants of take.comp.
#ifndef TAKE_SHARED_H
#define TAKE_SHARED_H

#include "ht_shared.h"

HT_PUSH(take) {
    HT_ADDRESS x;
    HT_ADDRESS columns;
    HT_ADDRESS result;
    HT_UINT count;   // values of the result
    HT_UINT width;   // of a row of the result
    HT_UINT x_width; // of a row of x; numbers of columns are clamped to it
}
HT_PUSH_END(take);

#endif
