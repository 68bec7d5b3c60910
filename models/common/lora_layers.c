// The layers of a network under the names that files of LoRA have for them: those of diffusers, of
// older files, and of single-file models, all compared with _ in the place of dots.
#include "lora_internal.h"

#include "ldm.h"

#include <stdlib.h>
#include <string.h>

// Tables whose rows are looked up, not multiplied with.
static bool is_table(const char *layer) {
    static const char *const tables[] = {"token_embedding", "position_embedding", "shared",
                                         "embed_tokens", "relative_attention_bias"};
    const char *leaf = strrchr(layer, '.');
    leaf = leaf ? leaf + 1 : layer;
    for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); ++i) {
        if (strcmp(leaf, tables[i]) == 0) {
            return true;
        }
    }
    return false;
}

// Is the entry the weight of a layer? Its name without ".weight".
static bool layer_of(const ht_weight_entry *entry, const char *name,
                     char layer[HT_LORA_NAME_BYTES]) {
    return entry->rank >= 2 && name && ht_weight_layer(name, layer, HT_LORA_NAME_BYTES) &&
           !is_table(layer);
}

static void add_alias(ht_lora_layers *all, const char *name, uint32_t capacity,
                      ht_status *status) {
    if (*status != HT_OK || all->n_aliases == capacity) {
        return;
    }
    ht_lora_alias *alias = &all->aliases[all->n_aliases];
    *alias = (ht_lora_alias){.name = ht_strdup(all->context, name), .layer = all->n_layers};
    if (!alias->name) {
        *status = HT_ERR_NO_MEMORY;
        return;
    }
    for (char *c = alias->name; *c; ++c) {
        *c = *c == '.' ? '_' : *c;
    }
    ++all->n_aliases;
}

enum { MAX_ALIASES = 8 }; // of a layer

static ht_status add_layer(ht_lora_layers *all, const ht_weight_entry *entry,
                           const ht_lora_desc *desc, uint32_t capacity) {
    char name[HT_LORA_NAME_BYTES], layer[HT_LORA_NAME_BYTES];
    if (!layer_of(entry, entry->name, layer)) {
        return HT_OK;
    }
    ht_lora_layer *out = &all->layers[all->n_layers];
    *out = (ht_lora_layer){.name = ht_strdup(all->context, layer), .dims = {1, 1, 1, 1}};
    memcpy(out->dims, entry->dims, entry->rank * sizeof(*out->dims));
    ht_status status = out->name ? HT_OK : HT_ERR_NO_MEMORY;
    add_alias(all, layer, capacity, &status);
    if (layer_of(entry, entry->old_name, layer)) {
        add_alias(all, layer, capacity, &status);
    }
    for (uint32_t i = 0; desc->levels > 0 &&
                         ht_ldm_unet_alias(desc->levels, desc->layers_per_block, entry->name, i,
                                           name, sizeof(name));
         ++i) {
        if (layer_of(entry, name, layer)) {
            add_alias(all, layer, capacity, &status);
        }
    }
    ++all->n_layers;
    return status;
}

static int compare(const void *a, const void *b) {
    return strcmp(((const ht_lora_alias *)a)->name, ((const ht_lora_alias *)b)->name);
}

ht_status ht_lora_layers_create(ht_context *context, const ht_weight_map *map,
                                const ht_lora_desc *desc, ht_lora_layers **out) {
    const uint32_t capacity = (map->count + 1) * MAX_ALIASES;
    ht_lora_layers *all = *out = ht_alloc(context, sizeof(*all));
    if (!all) {
        return HT_ERR_NO_MEMORY;
    }
    *all = (ht_lora_layers){.context = context,
                            .format = desc->format,
                            .layers = ht_alloc(context, (map->count + 1) * sizeof(*all->layers)),
                            .aliases = ht_alloc(context, capacity * sizeof(*all->aliases))};
    ht_status status = all->layers && all->aliases ? HT_OK : HT_ERR_NO_MEMORY;
    for (uint32_t i = 0; i < map->count && status == HT_OK; ++i) {
        status = add_layer(all, &map->entries[i], desc, capacity);
    }
    if (status == HT_OK) {
        qsort(all->aliases, all->n_aliases, sizeof(*all->aliases), compare);
    }
    return status;
}

void ht_lora_layers_destroy(ht_lora_layers **layers) {
    ht_lora_layers *all = *layers;
    if (!all) {
        return;
    }
    ht_context *context = all->context;
    for (uint32_t i = 0; i < all->n_layers; ++i) {
        for (ht_lora_change *c = all->layers[i].changes, *next; c; c = next) {
            next = c->next;
            ht_free(context, c);
        }
        ht_free(context, all->layers[i].name);
    }
    for (uint32_t i = 0; i < all->n_aliases; ++i) {
        ht_free(context, all->aliases[i].name);
    }
    ht_free(context, all->layers);
    ht_free(context, all->aliases);
    ht_free(context, all);
    *layers = NULL;
}

ht_lora_layer *ht_lora_layers_find(const ht_lora_layers *layers, const char *module) {
    ht_lora_alias key = {.name = (char *)module}; // not written to
    const ht_lora_alias *found =
        bsearch(&key, layers->aliases, layers->n_aliases, sizeof(*layers->aliases), compare);
    return found ? &layers->layers[found->layer] : NULL;
}
