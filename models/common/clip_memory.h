// What autoencoders of clips remember between the pieces that a clip goes through them in: the last frames
// that each convolution over time was given. They look back only, so that memory does not grow with clips.
#ifndef HALFTONE_MODELS_CLIP_MEMORY_H
#define HALFTONE_MODELS_CLIP_MEMORY_H

#include "layers.h"

enum {
    HT_CLIP_TIMES = 4, // frames per latent frame, but for the first, which is one
    HT_CLIP_MAX_SLOTS = 256,
};

// Of one half of an autoencoder, for one size of picture.
typedef struct ht_clip_memory {
    ht_context *context;
    uint32_t count;
    ht_tensor *slots[HT_CLIP_MAX_SLOTS];
} ht_clip_memory;

// Slot `index`, of `frames` frames like those of x; the first graph that asks for it makes it, so all ask
// in the same order. NULL when it failed, the graph then too.
ht_tensor *ht_clip_memory_slot(ht_clip_memory *memory, ht_graph *graph, ht_value x, uint32_t index,
                               uint32_t frames);
// Before the first piece of a clip.
HT_API ht_status ht_clip_memory_restart(ht_clip_memory *memory);
HT_API void ht_clip_memory_release(ht_clip_memory *memory);

// The last frames of `both` stay in the slot, as many as it has.
void ht_clip_keep(const ht_nn *nn, ht_value both, ht_tensor *slot);
// What the slot has and x [T, H, W, C] behind it, whose last frames stay in the slot. Failed: a failure.
ht_value ht_clip_remember(const ht_nn *nn, ht_tensor *slot, ht_value x);

// A convolution of 3 x kernel x kernel, as the sum over three moments of that of `both`, each `frames`
// frames; those before moment `first` are zeros.   [frames + 2, H, W, I] -> [frames, H, W, out]
ht_value ht_clip_moments(const ht_nn *nn, const char *prefix, ht_value both, uint32_t frames,
                         uint32_t first, uint32_t out, uint32_t kernel, ht_value residual);

#endif
