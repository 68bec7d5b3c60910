// Weights that are copied to the device while graphs run: the ring of two buffers.
#include "weights_table.h"

enum { ALIGNMENT = 256 };

ht_status ht_weights_stream(ht_weights *weights, uint64_t bytes) {
    weights->ring.slot_bytes = bytes / 2 / ALIGNMENT * ALIGNMENT;
    return weights->ring.slot_bytes > 0
               ? HT_OK
               : ht_fail(weights->context, HT_ERR_INVALID,
                         "weights '%s': %llu bytes are too few to stream through", weights->path,
                         (unsigned long long)bytes);
}

ht_status ht_weights_get_ring(ht_weights *weights, ht_weights_ring **out) {
    ht_weights_ring *ring = &weights->ring;
    ht_status status = HT_OK;
    for (int i = 0; i < 2; i++) {
        if (!ring->slots[i].block) {
            HT_TRY(ht_vk_alloc(weights->context, ring->slot_bytes, "streamed weights",
                               &ring->slots[i]));
            weights->device_bytes += ring->slot_bytes;
        }
    }
    *out = ring;
fail:
    return status;
}
