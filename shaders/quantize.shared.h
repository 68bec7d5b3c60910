// Push constants of quantize.comp.
#ifndef QUANTIZE_SHARED_H
#define QUANTIZE_SHARED_H

#include "ht_shared.h"

// What x is on its way to codes; specialization constant 7.
#define HT_QUANTIZE_VALUES 0
#define HT_QUANTIZE_GATED 1      // two halves a row: first * act(second)
#define HT_QUANTIZE_NORMALISED 2 // act((x - mean) * scale + shift), of each item's channels

#define HT_QUANTIZE_ROWS 16 // of an item, by a workgroup that keeps factors

HT_PUSH(quantize) {
    HT_ADDRESS x;       // [rows, width], GATED: [rows, 2 width]
    HT_ADDRESS codes;   // ht_packed_layout: the block
    HT_ADDRESS scales;  // in the block
    HT_ADDRESS tensor;  // in the block; 0: the format has no scale of the tensor
    HT_ADDRESS given;   // the scale of all rows; 0: found for each
    HT_ADDRESS factors; // NORMALISED: f32 [3, items, width]: mean, scale, shift
    HT_UINT rows, width;
    HT_UINT quads;  // of a padded row
    HT_UINT groups; // of a row
    HT_UINT item;   // NORMALISED: rows of an item
}
HT_PUSH_END(quantize);

#endif
