// Push constants of copy.comp.
#ifndef COPY_SHARED_H
#define COPY_SHARED_H

#include "ht_shared.h"

#define HT_COPY_MAX_RANK 6

HT_PUSH(copy) {
    HT_ADDRESS x;
    HT_ADDRESS result;
    HT_UINT count; // quads, or values when not wide; so are the offsets and strides
    HT_UINT rank;
    HT_UINT x_offset;
    HT_UINT result_offset;
    HT_UINT dims[HT_COPY_MAX_RANK];
    HT_UINT x_strides[HT_COPY_MAX_RANK];
    HT_UINT result_strides[HT_COPY_MAX_RANK];
}
HT_PUSH_END(copy);

#endif
