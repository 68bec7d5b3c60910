// What a checkpoint must hold for a network: names and shapes, from tables with holes for the
// block's prefix and the sizes of the configuration.
#ifndef HT_MODELS_WEIGHT_MAP_H
#define HT_MODELS_WEIGHT_MAP_H

#include <halftone/weights.h>

// One row of a network's table.
typedef struct ht_weight_row {
    const char *name;     // behind the prefix of the block
    const char *old_name; // what older files call it, or NULL
    uint8_t need;         // the row counts when sizes[need] is not 0
    uint8_t rank;
    uint8_t dims[5]; // indices into sizes
} ht_weight_row;

typedef struct ht_weight_entry {
    char *name;
    char *old_name; // or NULL
    uint32_t rank;
    uint32_t dims[5];
} ht_weight_entry;

// Zeroed before use.
typedef struct ht_weight_map {
    ht_context *context;
    ht_weight_entry *entries;
    uint32_t count, capacity;
    ht_status status; // of the additions; the first failure is kept
} ht_weight_map;

void ht_weight_map_add(ht_weight_map *map, const char *prefix, const ht_weight_row *rows,
                       uint32_t n_rows, const uint32_t *sizes);
// The same for layers 0 to `layers` - 1, each behind "<list>.<number>.".
void ht_weight_map_add_layers(ht_weight_map *map, const char *list, uint32_t layers,
                              const ht_weight_row *rows, uint32_t n_rows, const uint32_t *sizes);
// As ht_weight_map_add, each name being accepted behind `old_prefix` too.
void ht_weight_map_add_renamed(ht_weight_map *map, const char *prefix, const char *old_prefix,
                               const ht_weight_row *rows, uint32_t n_rows, const uint32_t *sizes);
void ht_weight_map_clear(ht_weight_map *map);

// Every entry must be there in its shape (a trailing 1, 1 of an old convolution is accepted); the
// first that is not is named. Tensors of the file that no entry asks for are counted in *left_over
// (may be NULL) and named at debug level.
ht_status ht_weight_map_check(const ht_weight_map *map, const ht_weights *weights,
                              uint32_t *left_over);

#endif
