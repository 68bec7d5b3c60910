// Opening a checkpoint by file, index or folder, and looking tensors up by name.
#include "gguf.h"

#include "formats.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

// What a folder may hold, in order of preference.
static const char *const folder_files[] = {
    "diffusion_pytorch_model.safetensors",
    "model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "model.safetensors.index.json",
    "diffusion_pytorch_model.fp16.safetensors",
    "model.fp16.safetensors",
    "diffusion_pytorch_model.safetensors.index.fp16.json",
    "model.safetensors.index.fp16.json",
};

static bool is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool ends_with(const char *text, const char *suffix) {
    const size_t length = strlen(text), tail = strlen(suffix);
    return length >= tail && strcmp(text + length - tail, suffix) == 0;
}

// PyTorch's own files: programs that build tensors when they are run.
static const char *const pickle_endings[] = {".ckpt", ".pt", ".pth", ".bin", ".pkl"};
static const char *const pickled_folder_files[] = {"diffusion_pytorch_model.bin",
                                                   "pytorch_model.bin"};

static ht_status refuse_pickle(ht_context *context, const char *path) {
    return ht_fail(
        context, HT_ERR_UNSUPPORTED,
        "weights '%s': a pickle of PyTorch, which is a program that may do anything when "
        "it is read, and is not; get the model as safetensors, or convert it (torch.load "
        "with weights_only=True, then safetensors.torch.save_file)",
        path);
}

static bool has_pickle_ending(const char *path) {
    bool has = false;
    for (size_t i = 0; i < sizeof pickle_endings / sizeof pickle_endings[0]; i++) {
        has = has || ends_with(path, pickle_endings[i]);
    }
    return has;
}

// By its first bytes: a zip archive, or a pickle of protocol 2 or later. Neither can be the length
// that safetensors begins with: it would be beyond the limit.
static bool is_pickle(const ht_file_map *map) {
    const uint8_t *b = map->data;
    if (map->bytes < 8 || (b[4] | b[5] | b[6] | b[7]) == 0) {
        return false;
    }
    return memcmp(b, "PK\3\4", 4) == 0 || (b[0] == 0x80 && b[1] >= 2 && b[1] <= 5);
}

// Path of the checkpoint within a folder; the caller frees *out.
static ht_status find_in_folder(ht_context *context, const char *folder, char **out) {
    const size_t capacity = strlen(folder) + 64; // the longest name above has 52 bytes
    char *path = ht_alloc(context, capacity);
    if (!path) {
        return HT_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < sizeof folder_files / sizeof folder_files[0]; i++) {
        struct stat info;
        const char *separator = ends_with(folder, "/") ? "" : "/";
        snprintf(path, capacity, "%s%s%s", folder, separator, folder_files[i]);
        if (stat(path, &info) == 0 && !S_ISDIR(info.st_mode)) {
            *out = path;
            return HT_OK;
        }
    }
    for (size_t i = 0; i < sizeof pickled_folder_files / sizeof pickled_folder_files[0]; i++) {
        struct stat info;
        snprintf(path, capacity, "%s/%s", folder, pickled_folder_files[i]);
        if (stat(path, &info) == 0) {
            const ht_status status = refuse_pickle(context, path);
            ht_free(context, path);
            return status;
        }
    }
    ht_free(context, path);
    return ht_fail(context, HT_ERR_IO,
                   "weights '%s': found neither %s nor %s, nor their .index.json in this folder",
                   folder, folder_files[0], folder_files[1]);
}

// Which reader a file needs, by its first bytes.
static ht_status choose_reader(const ht_weights *weights, bool *gguf) {
    ht_file_map map;
    ht_status status = ht_file_map_open(weights->context, weights->path, &map);
    if (status != HT_OK) {
        return status;
    }
    *gguf = map.bytes >= 4 && memcmp(map.data, "GGUF", 4) == 0;
    if (is_pickle(&map) || has_pickle_ending(weights->path)) {
        status = refuse_pickle(weights->context, weights->path);
    }
    ht_file_map_close(&map);
    return status;
}

static ht_status open_single(ht_weights *weights) {
    bool gguf = false;
    ht_status status = choose_reader(weights, &gguf);
    if (status != HT_OK) {
        return status;
    }
    weights->shards = ht_alloc(weights->context, sizeof *weights->shards);
    if (!weights->shards) {
        return HT_ERR_NO_MEMORY;
    }
    status = gguf ? ht_gguf_open(weights->context, weights->path, weights->shards)
                  : ht_st_open(weights->context, weights->path, weights->shards);
    if (status == HT_OK) {
        weights->n_shards = 1;
        weights->entries = weights->shards[0].entries;
        weights->n_entries = weights->shards[0].n_entries;
    }
    return status;
}

ht_status ht_weights_open(ht_context *context, const ht_weights_desc *desc, ht_weights **out) {
    *out = NULL;
    if (!desc->path || desc->path[0] == '\0') {
        return ht_fail(context, HT_ERR_INVALID, "weights: no path given");
    }
    const ht_fmt_row *row = ht_fmt_find(desc->format);
    if (desc->format != HT_FORMAT_NONE && (!row || row->kind != HT_FMT_FLOAT)) {
        return ht_fail(context, HT_ERR_INVALID,
                       "weights '%s': format %d asked for, expected none or a float format",
                       desc->path, (int)desc->format);
    }
    ht_weights *weights = ht_alloc(context, sizeof *weights);
    if (!weights) {
        return HT_ERR_NO_MEMORY;
    }
    weights->context = context;
    weights->format = desc->format;
    ht_status status = HT_OK;
    if (is_folder(desc->path)) {
        HT_TRY(find_in_folder(context, desc->path, &weights->path));
    } else {
        weights->path = ht_strdup(context, desc->path);
        if (!weights->path) {
            status = HT_ERR_NO_MEMORY;
            goto fail;
        }
    }
    HT_TRY(ends_with(weights->path, ".json") ? ht_sharded_open(weights, weights->path)
                                             : open_single(weights));
    *out = weights;
    return HT_OK;
fail:
    ht_weights_destroy(&weights);
    return status;
}

void ht_weights_destroy(ht_weights **weights) {
    ht_weights *w = *weights;
    if (!w) {
        return;
    }
    ht_weights_release_device(w);
    for (uint32_t i = 0; i < w->n_shards; i++) {
        ht_st_close(w->context, &w->shards[i]);
    }
    if (w->owns_entries) {
        ht_free(w->context, w->entries);
    }
    for (uint32_t i = 0; i < w->n_view_data; i++) {
        ht_free(w->context, w->view_data[i]);
    }
    ht_free(w->context, w->view_data);
    ht_free(w->context, w->view_names);
    ht_free(w->context, w->uploads);
    ht_free(w->context, w->index_strings);
    ht_free(w->context, w->shards);
    ht_free(w->context, w->path);
    ht_free(w->context, w);
    *weights = NULL;
}

size_t ht_weights_count(const ht_weights *weights) {
    return weights->n_entries;
}

const ht_weight_info *ht_weights_get(const ht_weights *weights, size_t index) {
    return index < weights->n_entries ? &weights->entries[index].info : NULL;
}

ht_weights_entry *ht_weights_lookup(ht_weights_entry *entries, uint32_t count, const char *name) {
    uint32_t low = 0, high = count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const int order = strcmp(name, entries[middle].info.name);
        if (order == 0) {
            return &entries[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const ht_weight_info *ht_weights_find(const ht_weights *weights, const char *name) {
    const ht_weights_entry *entry = ht_weights_lookup(weights->entries, weights->n_entries, name);
    return entry ? &entry->info : NULL;
}

const char *ht_weights_path(const ht_weights *weights) {
    return weights->path;
}

const char *ht_st_metadata(const ht_shard *shard, const char *key) {
    for (uint32_t i = 0; i < shard->n_metadata; i++) {
        if (strcmp(shard->metadata[i].key, key) == 0) {
            return shard->metadata[i].value;
        }
    }
    return NULL;
}

const char *ht_weights_metadata(const ht_weights *weights, const char *key) {
    return ht_st_metadata(&weights->shards[0], key);
}

bool ht_weight_layer(const char *name, char *layer, size_t bytes) {
    const size_t length = strlen(name), tail = strlen(".weight");
    if (length <= tail || length - tail >= bytes || !ends_with(name, ".weight")) {
        return false;
    }
    memcpy(layer, name, length - tail);
    layer[length - tail] = '\0';
    return true;
}

void ht_weights_device_bytes(const ht_weights *weights, uint64_t *total, uint64_t *imported) {
    *total = weights->device_bytes;
    *imported = weights->imported_bytes;
}

ht_context *ht_weights_context(const ht_weights *weights) {
    return weights->context;
}
