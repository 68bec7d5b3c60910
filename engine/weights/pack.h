// Packing a tensor of a checkpoint, onto the device or into a file.
#ifndef HT_WEIGHTS_PACK_H
#define HT_WEIGHTS_PACK_H

#include "weights_table.h"

// Where packed bytes go; `offset` counts from the start of the tensor's block (ht_packed_layout).
typedef struct ht_pack_sink {
    ht_status (*write)(void *user, uint64_t offset, const void *data, uint64_t bytes);
    void *user;
} ht_pack_sink;

// Sums of squares: of the values, and of what coding changed.
typedef struct ht_pack_error {
    double signal, noise;
} ht_pack_error;

// Pack a float tensor, rows at a time (HT_SCALE_SEARCH). `error` may be NULL; the sums are added to
// it.
ht_status ht_weights_pack(ht_weights *weights, const ht_weights_entry *entry,
                          const ht_tensor_desc *desc, const ht_weight_order *order,
                          const ht_pack_sink *sink, ht_pack_error *error);

#endif
