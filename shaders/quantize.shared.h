// Push constants of quantize.comp.
#ifndef QUANTIZE_SHARED_H
#define QUANTIZE_SHARED_H

#include "ht_shared.h"

HT_PUSH(quantize) {
    HT_ADDRESS x;      // [rows, width]
    HT_ADDRESS codes;  // ht_packed_layout: the block
    HT_ADDRESS scales; // in the block
    HT_ADDRESS tensor; // in the block; 0: the format has no scale of the tensor
    HT_ADDRESS given; // the scale of all rows; 0: found for each
    HT_UINT rows, width;
    HT_UINT quads;  // of a padded row
    HT_UINT groups; // of a row
}
HT_PUSH_END(quantize);

#endif
