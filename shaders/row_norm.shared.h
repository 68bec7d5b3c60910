// Push constants of row_norm.comp.
#ifndef ROW_NORM_SHARED_H
#define ROW_NORM_SHARED_H

#include "ht_shared.h"

HT_PUSH(row_norm) {
    HT_ADDRESS x;
    HT_ADDRESS weight;
    HT_ADDRESS bias;
    HT_ADDRESS scale;
    HT_ADDRESS shift;
    HT_ADDRESS result; // floats, the block of a packed format, or with MOMENTS f32 [rows, 2]
    HT_ADDRESS scales; // in the block
    HT_ADDRESS tensor; // in the block; 0: the format has no scale of the tensor
    HT_ADDRESS given; // the scale of all rows; 0: found for each
    HT_UINT rows;
    HT_UINT width;          // in values
    HT_UINT rows_per_scale; // rows that share one row of scale
    HT_UINT rows_per_shift;
    HT_UINT packed_quads; // of a padded row
    HT_FLOAT eps;
}
HT_PUSH_END(row_norm);

#endif
