// Push constants of timestep_embedding.comp.
#ifndef TIMESTEP_EMBEDDING_SHARED_H
#define TIMESTEP_EMBEDDING_SHARED_H

#include "ht_shared.h"

HT_PUSH(timestep_embedding) {
    HT_ADDRESS t;
    HT_ADDRESS freqs; // f32 [half_dim]
    HT_ADDRESS result;
    HT_UINT count; // timesteps * half_dim
    HT_UINT half_dim;
    HT_UINT sin_at; // where in a row the sines start: 0 or half_dim
}
HT_PUSH_END(timestep_embedding);

#endif
