// The settings a picture was made with, read back from the texts in its PNG: our own exact JSON, the
// "parameters" block of AUTOMATIC1111 (also of stable-diffusion.cpp and others), ComfyUI's graph.
// Nothing in them is executed or fetched; names of models are suggestions.
#ifndef HT_APP_INFOTEXT_H
#define HT_APP_INFOTEXT_H

#include "job.h"
#include "png_texts.h"

typedef struct ht_infotext {
    const char *source; // "halftone", "A1111", "ComfyUI"
    // What is said, in texts of its own; the rest is as in ht_job_defaults, but a model that is not said
    // is NULL and a strength negative. Samplers and schedules are as they were written: see
    // ht_sampler_config_choose. Files are names without folders.
    ht_job job;
} ht_infotext;

// False with a sentence in `why` when there are no settings in these texts.
bool ht_infotext_parse(const ht_png_texts *texts, ht_infotext *out, char *why, size_t why_bytes);
// The same from a file.
bool ht_infotext_read(const char *path, ht_infotext *out, char *why, size_t why_bytes);
void ht_infotext_free(ht_infotext *info);

// infotext_comfy.c: the graph of ComfyUI's API. False when it has no sampler.
bool ht_infotext_comfy(const char *json, ht_infotext *out);
// Replace a text by a copy; a missing one keeps what was there.
void ht_infotext_set(const char **field, const char *text);

#endif
