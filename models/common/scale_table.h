// Static scales of activations, found by calibration: per layer one for each timestep that was
// calibrated. Kept in a packed checkpoint as JSON (docs/checkpoint.md).
#ifndef HALFTONE_MODELS_SCALE_TABLE_H
#define HALFTONE_MODELS_SCALE_TABLE_H

#include <halftone/graph.h>

typedef struct ht_scale_table ht_scale_table;

// Under this key of a packed file.
#define HT_SCALE_TABLE_KEY "halftone.activations"

// `label` stands for the file in messages.
HT_API ht_status ht_scale_table_parse(ht_context *context, const char *label, const char *text,
                                      ht_scale_table **out);
HT_API void ht_scale_table_destroy(ht_scale_table **table);

// Layers that share an input share a scale: fewer scales than layers.
HT_API uint32_t ht_scale_table_count(const ht_scale_table *table);
// Number of the layer's scale, or UINT32_MAX: its scales are found while it runs.
HT_API uint32_t ht_scale_table_find(const ht_scale_table *table, const char *layer);
// All scales at a timestep: between two that were calibrated, their geometric mean weighted by the
// distances; beyond the first and the last, those.
HT_API void ht_scale_table_at(const ht_scale_table *table, float timestep, float *scales);

// Scales of activations as a network sees them.
typedef struct ht_static_scales {
    const ht_scale_table *table; // NULL: there are none
    ht_value values;             // f32 [count of the table], of this step
} ht_static_scales;

#endif
