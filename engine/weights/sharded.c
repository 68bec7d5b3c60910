// Checkpoints in several files: the index names the file of every tensor. File names in it are
// untrusted and must be plain names of files beside the index.
#include "weights_table.h"

#include "json.h"

#include <stdlib.h>
#include <string.h>

// One line of the weight map.
typedef struct mapped {
    const char *tensor;
    const char *file;
    uint32_t shard;
} mapped;

typedef struct indexer {
    ht_context *context;
    ht_weights *weights;
    const char *path;
    ht_json json;
    char *strings;
    size_t strings_left;
    mapped *rows;
    uint32_t n_rows, capacity;
} indexer;

static ht_status fail_index(const indexer *x) {
    return ht_fail(x->context, HT_ERR_IO, "weights index '%s': %s at byte %llu", x->path,
                   x->json.error, (unsigned long long)x->json.at);
}

// A file name that cannot lead out of the folder, on any system.
static bool is_plain_name(const char *name) {
    static const char suffix[] = ".safetensors";
    const size_t length = strlen(name), tail = sizeof suffix - 1;
    if (length <= tail || length > 255 || name[0] == '.' ||
        strcmp(name + length - tail, suffix) != 0) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        const unsigned char c = (unsigned char)name[i];
        if (c < 0x20 || c == 0x7f || strchr("/\\:*?\"<>|", c)) {
            return false;
        }
    }
    return true;
}

// A string without NULs, kept.
static const char *read_kept(indexer *x, bool key) {
    size_t length = 0;
    const bool good = key ? ht_json_next_key(&x->json, x->strings, x->strings_left, &length)
                          : ht_json_string(&x->json, x->strings, x->strings_left, &length);
    if (!good) {
        return NULL;
    }
    if (strlen(x->strings) != length) {
        ht_json_fail(&x->json, "NUL in a string");
        return NULL;
    }
    const char *kept = x->strings;
    x->strings += length + 1;
    x->strings_left -= length + 1;
    return kept;
}

static ht_status add_row(indexer *x, const char *tensor, const char *file) {
    if (!is_plain_name(file)) {
        return ht_fail(x->context, HT_ERR_IO,
                       "weights index '%s': tensor '%s' is said to be in '%s', expected the plain "
                       "name of a .safetensors file beside the index",
                       x->path, tensor, file);
    }
    if (x->n_rows == HT_ST_MAX_TENSORS) {
        return ht_fail(x->context, HT_ERR_IO, "weights index '%s': more than %d tensors", x->path,
                       HT_ST_MAX_TENSORS);
    }
    if (x->n_rows == x->capacity) {
        const uint32_t wanted = x->capacity ? 2 * x->capacity : 256;
        mapped *larger = ht_realloc(x->context, x->rows, wanted * sizeof *larger);
        if (!larger) {
            return HT_ERR_NO_MEMORY;
        }
        x->rows = larger;
        x->capacity = wanted;
    }
    x->rows[x->n_rows++] = (mapped){.tensor = tensor, .file = file};
    return HT_OK;
}

static ht_status read_weight_map(indexer *x) {
    ht_json_begin_object(&x->json);
    for (;;) {
        const char *tensor = read_kept(x, true);
        if (!tensor) {
            break;
        }
        const char *file = read_kept(x, false);
        if (!file) {
            break;
        }
        const ht_status status = add_row(x, tensor, file);
        if (status != HT_OK) {
            return status;
        }
    }
    return x->json.error ? fail_index(x) : HT_OK;
}

static ht_status read_index(indexer *x) {
    bool seen = false;
    size_t length = 0;
    ht_json_begin_object(&x->json);
    while (ht_json_next_key(&x->json, x->strings, x->strings_left, &length)) {
        if (length == 10 && memcmp(x->strings, "weight_map", 10) == 0) {
            if (seen) {
                ht_json_fail(&x->json, "weight_map appears twice");
                break;
            }
            seen = true;
            const ht_status status = read_weight_map(x);
            if (status != HT_OK) {
                return status;
            }
        } else {
            ht_json_skip(&x->json); // metadata.total_size is often wrong
        }
    }
    if (!ht_json_end(&x->json)) {
        return fail_index(x);
    }
    if (x->n_rows == 0) {
        return ht_fail(x->context, HT_ERR_IO, "weights index '%s': no weight_map with tensors",
                       x->path);
    }
    return HT_OK;
}

static int compare_files(const void *a, const void *b) {
    const mapped *x = a, *y = b;
    return strcmp(x->file, y->file);
}

static int compare_tensors(const void *a, const void *b) {
    const mapped *x = a, *y = b;
    return strcmp(x->tensor, y->tensor);
}

// Open the file `name` beside the index.
static ht_status open_shard(indexer *x, const char *name) {
    const char *slash = strrchr(x->path, '/');
    const size_t folder = slash ? (size_t)(slash - x->path) + 1 : 0;
    char *path = ht_alloc(x->context, folder + strlen(name) + 1);
    if (!path) {
        return HT_ERR_NO_MEMORY;
    }
    memcpy(path, x->path, folder);
    strcpy(path + folder, name);
    ht_weights *weights = x->weights;
    const ht_status status = ht_st_open(x->context, path, &weights->shards[weights->n_shards]);
    if (status == HT_OK) {
        weights->n_shards++;
    }
    ht_free(x->context, path);
    return status;
}

// Number the distinct files and open each.
static ht_status open_shards(indexer *x) {
    uint32_t count = 0;
    qsort(x->rows, x->n_rows, sizeof *x->rows, compare_files);
    for (uint32_t i = 0; i < x->n_rows; i++) {
        if (i > 0 && strcmp(x->rows[i - 1].file, x->rows[i].file) != 0) {
            count++;
        }
        x->rows[i].shard = count;
    }
    count++;
    if (count > HT_ST_MAX_SHARDS) {
        return ht_fail(x->context, HT_ERR_IO, "weights index '%s': %u files, at most %d expected",
                       x->path, count, HT_ST_MAX_SHARDS);
    }
    x->weights->shards = ht_alloc(x->context, count * sizeof *x->weights->shards);
    if (!x->weights->shards) {
        return HT_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < x->n_rows; i++) {
        if (x->rows[i].shard == x->weights->n_shards) {
            const ht_status status = open_shard(x, x->rows[i].file);
            if (status != HT_OK) {
                return status;
            }
        }
    }
    return HT_OK;
}

// The table of all tensors, sorted by name.
static ht_status merge(indexer *x) {
    ht_weights *weights = x->weights;
    uint64_t present = 0;
    qsort(x->rows, x->n_rows, sizeof *x->rows, compare_tensors);
    weights->entries = ht_alloc(x->context, x->n_rows * sizeof *weights->entries);
    if (!weights->entries) {
        return HT_ERR_NO_MEMORY;
    }
    weights->owns_entries = true;
    for (uint32_t i = 0; i < x->n_rows; i++) {
        const mapped *row = &x->rows[i];
        if (i > 0 && strcmp(x->rows[i - 1].tensor, row->tensor) == 0) {
            return ht_fail(x->context, HT_ERR_IO, "weights index '%s': tensor '%s' appears twice",
                           x->path, row->tensor);
        }
        const ht_shard *shard = &weights->shards[row->shard];
        const ht_weights_entry *entry =
            ht_weights_lookup(shard->entries, shard->n_entries, row->tensor);
        if (!entry) {
            return ht_fail(x->context, HT_ERR_IO,
                           "weights index '%s': tensor '%s' is not in '%s' as the index says",
                           x->path, row->tensor, row->file);
        }
        weights->entries[i] = *entry;
        weights->entries[i].shard = row->shard;
        weights->n_entries++;
    }
    for (uint32_t i = 0; i < weights->n_shards; i++) {
        present += weights->shards[i].n_entries;
    }
    if (present > weights->n_entries) {
        ht_log(x->context, HT_LOG_WARN,
               "weights index '%s': %llu tensors of its files are not in the index and are ignored",
               x->path, (unsigned long long)(present - weights->n_entries));
    }
    return HT_OK;
}

static ht_status check_size(const indexer *x, uint64_t bytes) {
    if (bytes > HT_ST_MAX_HEADER) {
        return ht_fail(x->context, HT_ERR_IO, "weights index '%s': %llu bytes, at most %d expected",
                       x->path, (unsigned long long)bytes, HT_ST_MAX_HEADER);
    }
    return HT_OK;
}

ht_status ht_sharded_open(ht_weights *weights, const char *index_path) {
    ht_context *context = weights->context;
    indexer x = {.context = context, .weights = weights, .path = index_path};
    ht_file_map map;
    ht_status status = ht_file_map_open(context, index_path, &map);
    if (status != HT_OK) {
        return status;
    }
    HT_TRY(check_size(&x, map.bytes));
    // As in a header, decoded strings are never longer than in the file.
    x.strings_left = (size_t)map.bytes + 1;
    weights->index_strings = ht_alloc(context, x.strings_left);
    if (!weights->index_strings) {
        status = HT_ERR_NO_MEMORY;
        goto fail;
    }
    x.strings = weights->index_strings;
    ht_json_init(&x.json, map.data, map.bytes, HT_ST_MAX_DEPTH);
    HT_TRY(read_index(&x));
    HT_TRY(open_shards(&x));
    HT_TRY(merge(&x));
fail:
    ht_free(context, x.rows);
    ht_file_map_close(&map);
    return status;
}
