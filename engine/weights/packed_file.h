// Packed tensors in safetensors files; docs/checkpoint.md describes the container.
#ifndef HT_WEIGHTS_PACKED_FILE_H
#define HT_WEIGHTS_PACKED_FILE_H

#include "formats.h"
#include "weights_table.h"

// Files with low-rank branches are of version 2: readers of version 1 would leave them out. Those with
// residual stacks are of version 3, with layers whose salient columns are kept apart of version 4.
enum {
    HT_PACKED_VERSION_PLAIN = 1,
    HT_PACKED_VERSION_BRANCHES = 2,
    HT_PACKED_VERSION_STACKS = 3,
    HT_PACKED_VERSION = 4,
};
// Keys of __metadata__.
#define HT_PACKED_KEY_VERSION "halftone.version"
#define HT_PACKED_KEY_TENSORS "halftone.tensors"

// One tensor of the file that holds a part of a packed tensor.
typedef struct ht_packed_part_desc {
    const char *suffix; // behind the tensor's name
    const char *dtype;
    uint32_t rank;
    uint64_t dims[2];
    uint64_t offset, bytes; // in the block on the device
} ht_packed_part_desc;

// What a packed tensor's part looks like in a file. False when its format has no such part.
bool ht_packed_part_of(const ht_fmt_row *format, const ht_packed_layout *layout,
                       ht_packed_part part, ht_packed_part_desc *out);

// Shape on the device of a file's matrix [N, K] or convolution [O, I, kh, kw], and its taps. False
// when it is neither, or too large.
bool ht_packed_shape(const ht_tensor_desc *file, ht_format format, ht_tensor_desc *device,
                     uint64_t *taps);

#endif
