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
// Read back such a weight (its device bytes) for the reference run; `format` as above, or the one
// it has on the device.
ht_status ht_weights_device_read(ht_weights *weights, const char *name, ht_weight_layout layout,
                                 ht_format format, void *data, uint64_t bytes);
ht_context *ht_weights_context(const ht_weights *weights);

#endif
