// Push constants of the three kernels of group normalisation.
#ifndef GROUP_NORM_SHARED_H
#define GROUP_NORM_SHARED_H

#include "ht_shared.h"

// A workgroup takes one chunk of positions and one block of channels. Its invocations form
// `subrows` rows of 1 << lanes_log2 invocations; each keeps to one quad of channels, or to a few
// that are 1 << lanes_log2 apart.
HT_PUSH(group_norm) {
    HT_ADDRESS x;
    HT_ADDRESS weight;
    HT_ADDRESS bias;
    HT_ADDRESS result;
    HT_ADDRESS statistics; // f32 [batch, groups, 2]: mean, variance; read or written, or 0
    HT_ADDRESS partials;   // (mean, squares) [batch, chunks * subrows, channels]
    HT_ADDRESS factors;    // f32 [3, batch, channels]: mean, scale, shift of each channel
    HT_UINT batch;
    HT_UINT positions;
    HT_UINT channels;
    HT_UINT groups;
    HT_UINT chunks;
    HT_UINT chunk_positions;
    HT_UINT blocks;
    HT_UINT lanes_log2;
    HT_UINT subrows;
    HT_FLOAT eps;
}
HT_PUSH_END(group_norm);

#endif
