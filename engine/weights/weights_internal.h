// What the graph needs of a checkpoint beyond the public header.
#ifndef HT_WEIGHTS_INTERNAL_H
#define HT_WEIGHTS_INTERNAL_H

#include "gpu.h"

#include <halftone/weights.h>

// Address of a weight on the device in the given layout, uploading or importing it on first use.
// `dims` is the expected shape as the file has it; mismatch and absence are failures with the
// tensor's name, what was expected and what was found. *desc becomes the shape and format on the
// device. CONV of [O, I, kh, kw] becomes [O, kh, kw, I]. `format` NONE is what the weights were
// opened with. Packed formats are packed here (HT_SCALE_SEARCH), a piece at a time; NaN or infinity
// is refused with its place. A weight may be there in several formats.
ht_status ht_weights_device(ht_weights *weights, const char *name, ht_weight_layout layout,
                            ht_format format, uint32_t rank, const uint32_t *dims,
                            ht_tensor_desc *desc, uint64_t *address);
// Of weights that are streamed, *address is 0 for what does not lie on the device for good.
// Two buffers of equal size, and whose piece each has now (owner NULL: nobody's).
typedef struct ht_weights_ring {
    ht_vk_range slots[2];
    const void *owner[2];
    uint32_t piece[2];
    uint64_t slot_bytes;
    uint64_t used; // while a graph is planned
} ht_weights_ring;
// The ring, made when it is needed first.
ht_status ht_weights_get_ring(ht_weights *weights, ht_weights_ring **out);
// Copy such a weight, which ht_weights_device described as `desc`, into a slot.
ht_status ht_weights_stream_in(ht_weights *weights, const char *name, ht_weight_layout layout,
                               const ht_tensor_desc *desc, const ht_vk_range *slot,
                               uint64_t offset);
// Read back such a weight (its device bytes) for the reference run; `format` as above, or the one
// it has on the device.
ht_status ht_weights_device_read(ht_weights *weights, const char *name, ht_weight_layout layout,
                                 ht_format format, void *data, uint64_t bytes);
// What a residual stack stands for with the blocks that are on the device: floats [rows][width] of its
// description there (for the reference run).
ht_status ht_weights_stack_floats(ht_weights *weights, const char *name, float *values,
                                  uint64_t count);
ht_context *ht_weights_context(const ht_weights *weights);

#endif
