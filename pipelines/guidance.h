// Classifier-free guidance on a batch of [negative, positive] predictions.
#ifndef HALFTONE_PIPELINES_GUIDANCE_H
#define HALFTONE_PIPELINES_GUIDANCE_H

#include <halftone/status.h>

#include <stdbool.h>
#include <stddef.h>

// Whether a scale needs the second prediction at all.
HT_API bool ht_guidance_needed(float scale);
// out = negative + scale * (positive - negative); out may be either input.
HT_API void ht_guidance(const float *negative, const float *positive, float scale, size_t count,
                        float *out);
// Multiply `guided` so that its deviation goes by `share` (0..1) to that of `positive`: strong guidance
// overexposes (Lin et al. 2023, "Common Diffusion Noise Schedules and Sample Steps are Flawed").
HT_API void ht_guidance_rescale(const float *positive, float share, size_t count, float *guided);

#endif
