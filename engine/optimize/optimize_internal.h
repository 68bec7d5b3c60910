// What the files of this folder share.
#ifndef HT_OPTIMIZE_INTERNAL_H
#define HT_OPTIMIZE_INTERNAL_H

#include "core.h"
#include "reconstruct.h"

// A format's values and the middles between them.
typedef struct ht_snap {
    uint32_t count;
    float values[HT_GRID_MAX], middles[HT_GRID_MAX];
} ht_snap;

void ht_snap_of(ht_format format, ht_snap *out);

// Value of the grid nearest to x.
static inline float ht_snap_to(const ht_snap *s, float x) {
    uint32_t low = 0, high = s->count - 1;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (x > s->middles[middle]) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return s->values[low];
}

// Where a row's scales lie.
typedef struct ht_groups {
    uint32_t segments, groups; // of a row, of a segment
    uint32_t length;           // values of a group
} ht_groups;
ht_groups ht_groups_of(const ht_layer *layer);
static inline uint32_t ht_group_at(const ht_layer *layer, const ht_groups *g, uint32_t k) {
    return k / layer->segment * g->groups + k % layer->segment / g->length;
}
// Values of the group that begins at value k of a row.
static inline uint32_t ht_group_count(const ht_layer *layer, const ht_groups *g, uint32_t k) {
    const uint32_t rest = layer->segment - k % layer->segment;
    const uint32_t in_group = g->length - k % layer->segment % g->length;
    return rest < in_group ? rest : in_group;
}

#endif
