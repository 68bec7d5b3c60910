// What a checkpoint must hold for a network.
#include "weight_map.h"

#include <stdio.h>
#include <string.h>

static char *join(ht_context *context, const char *prefix, const char *name) {
    size_t bytes = strlen(prefix) + strlen(name) + 1;
    char *text = ht_alloc(context, bytes);
    if (text) {
        snprintf(text, bytes, "%s%s", prefix, name);
    }
    return text;
}

static ht_weight_entry *grow(ht_weight_map *map) {
    if (map->count == map->capacity) {
        uint32_t capacity = map->capacity ? map->capacity * 2 : 64;
        ht_weight_entry *entries =
            ht_realloc(map->context, map->entries, capacity * sizeof(*entries));
        if (!entries) {
            return NULL;
        }
        map->entries = entries;
        map->capacity = capacity;
    }
    ht_weight_entry *entry = &map->entries[map->count++];
    *entry = (ht_weight_entry){0};
    return entry;
}

// The name of older files, or NULL without one.
static char *older_name(const ht_weight_map *map, const char *prefix, const char *old_prefix,
                        const ht_weight_row *row) {
    if (row->old_name) {
        return join(map->context, prefix, row->old_name);
    }
    return old_prefix ? join(map->context, old_prefix, row->name) : NULL;
}

void ht_weight_map_add(ht_weight_map *map, const char *prefix, const ht_weight_row *rows,
                       uint32_t n_rows, const uint32_t *sizes) {
    ht_weight_map_add_renamed(map, prefix, NULL, rows, n_rows, sizes);
}

void ht_weight_map_add_layers(ht_weight_map *map, const char *list, uint32_t layers,
                              const ht_weight_row *rows, uint32_t n_rows, const uint32_t *sizes) {
    for (uint32_t i = 0; i < layers; ++i) {
        char prefix[64];
        snprintf(prefix, sizeof(prefix), "%s.%u.", list, i);
        ht_weight_map_add(map, prefix, rows, n_rows, sizes);
    }
}

void ht_weight_map_add_renamed(ht_weight_map *map, const char *prefix, const char *old_prefix,
                               const ht_weight_row *rows, uint32_t n_rows, const uint32_t *sizes) {
    for (uint32_t i = 0; i < n_rows && map->status == HT_OK; ++i) {
        const ht_weight_row *row = &rows[i];
        if (sizes[row->need] == 0) {
            continue;
        }
        ht_weight_entry *entry = grow(map);
        if (!entry) {
            map->status = HT_ERR_NO_MEMORY;
            return;
        }
        entry->name = join(map->context, prefix, row->name);
        entry->old_name = older_name(map, prefix, old_prefix, row);
        entry->rank = row->rank;
        for (uint32_t d = 0; d < row->rank; ++d) {
            entry->dims[d] = sizes[row->dims[d]];
        }
        if (!entry->name || ((row->old_name || old_prefix) && !entry->old_name)) {
            map->status = HT_ERR_NO_MEMORY;
        }
    }
}

void ht_weight_map_clear(ht_weight_map *map) {
    for (uint32_t i = 0; i < map->count; ++i) {
        ht_free(map->context, map->entries[i].name);
        ht_free(map->context, map->entries[i].old_name);
    }
    ht_free(map->context, map->entries);
    *map = (ht_weight_map){0};
}

static bool same_shape(const ht_weight_entry *entry, const ht_tensor_desc *desc) {
    uint32_t rank = desc->rank;
    while (rank > entry->rank && desc->dims[rank - 1] == 1) {
        --rank;
    }
    return rank == entry->rank && memcmp(entry->dims, desc->dims, rank * sizeof(*entry->dims)) == 0;
}

static ht_status wrong_shape(const ht_weight_map *map, const ht_weights *weights,
                             const ht_weight_entry *entry, const ht_weight_info *info) {
    char found[128], expected[128];
    ht_tensor_desc want = {.format = info->desc.format, .rank = entry->rank};
    memcpy(want.dims, entry->dims, sizeof(entry->dims));
    return ht_fail(map->context, HT_ERR_IO, "'%s': tensor '%s' is %s, expected %s",
                   ht_weights_path(weights), info->source ? info->source : info->name,
                   ht_desc_text(&info->desc, found, sizeof(found)),
                   ht_desc_text(&want, expected, sizeof(expected)));
}

static const ht_weight_info *find(const ht_weights *weights, const ht_weight_entry *entry) {
    const ht_weight_info *info = ht_weights_find(weights, entry->name);
    return info || !entry->old_name ? info : ht_weights_find(weights, entry->old_name);
}

// A matrix or convolution whose salient inputs are kept apart: two tensors that are its shape together.
static bool is_split(const ht_weights *weights, const ht_weight_entry *entry) {
    static const char *const suffixes[] = {HT_SALIENT_WEIGHT, HT_SALIENT_REST};
    char layer[512], name[560];
    uint32_t inputs = 0;
    if (entry->rank < 2 || !ht_weight_layer(entry->name, layer, sizeof(layer))) {
        return false;
    }
    for (int i = 0; i < 2; ++i) {
        snprintf(name, sizeof(name), "%s%s", layer, suffixes[i]);
        const ht_weight_info *info = ht_weights_find(weights, name);
        if (!info || info->desc.rank < 2 || info->desc.dims[1] > entry->dims[1]) {
            return false;
        }
        ht_weight_entry half = *entry;
        half.dims[1] = info->desc.dims[1];
        inputs += half.dims[1];
        if (!same_shape(&half, &info->desc)) {
            return false;
        }
    }
    return inputs == entry->dims[1];
}

static bool asked_for(const ht_weight_map *map, const char *name) {
    for (uint32_t i = 0; i < map->count; ++i) {
        const ht_weight_entry *entry = &map->entries[i];
        if (strcmp(entry->name, name) == 0 ||
            (entry->old_name && strcmp(entry->old_name, name) == 0)) {
            return true;
        }
    }
    return false;
}

ht_status ht_weight_map_check(const ht_weight_map *map, const ht_weights *weights,
                              uint32_t *left_over) {
    const char *missing = NULL;
    uint32_t n_missing = 0;
    if (map->status != HT_OK) {
        return map->status;
    }
    for (uint32_t i = 0; i < map->count; ++i) {
        const ht_weight_info *info = find(weights, &map->entries[i]);
        if (!info && is_split(weights, &map->entries[i])) {
            continue;
        }
        if (!info) {
            missing = missing ? missing : map->entries[i].name;
            ++n_missing;
        } else if (!same_shape(&map->entries[i], &info->desc)) {
            return wrong_shape(map, weights, &map->entries[i], info);
        }
    }
    if (missing) {
        return ht_fail(map->context, HT_ERR_IO,
                       "'%s' lacks tensor '%s' (%u of %u tensors are missing)",
                       ht_weights_path(weights), missing, n_missing, map->count);
    }
    uint32_t unused = 0;
    for (size_t i = 0; i < ht_weights_count(weights); ++i) {
        const char *name = ht_weights_get(weights, i)->name;
        if (!asked_for(map, name)) {
            ht_log(map->context, HT_LOG_DEBUG, "'%s': tensor '%s' is not used",
                   ht_weights_path(weights), name);
            ++unused;
        }
    }
    if (left_over) {
        *left_over = unused;
    }
    return HT_OK;
}
