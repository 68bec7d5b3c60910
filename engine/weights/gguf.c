// One GGUF file (versions 2 and 3): mapped, and its tables checked whole before anything uses them.
// The rules are listed in docs/checkpoint.md.
#include "gguf.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_KEYS = 100000,
    MAX_KEY_BYTES = 65535,
    MAX_KEPT_TEXT = 4096, // longer values are passed over
    MAX_DEPTH = 4,        // of arrays in arrays
    MAX_ALIGNMENT = 1 << 20,
};

// Types of values.
enum {
    T_U8,
    T_I8,
    T_U16,
    T_I16,
    T_U32,
    T_I32,
    T_F32,
    T_BOOL,
    T_TEXT,
    T_ARRAY,
    T_U64,
    T_I64,
    T_F64
};
static const uint8_t value_bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

static const char SHAPE_KEY[] = "comfy.gguf.orig_shape.";

// Shape that a tensor had before it was stored in another one.
typedef struct original_shape {
    const uint8_t *name;
    uint64_t name_bytes;
    uint32_t rank;
    uint64_t dims[HT_ST_MAX_RANK];
} original_shape;

typedef struct reader {
    ht_context *context;
    ht_shard *shard;
    const uint8_t *data;
    uint64_t at, bytes;
    const char *error; // what is wrong at `at`
    char *strings;
    uint64_t alignment;
    original_shape *shapes;
    uint32_t n_shapes;
} reader;

static bool wrong(reader *r, const char *what) {
    r->error = r->error ? r->error : what;
    return false;
}

static uint64_t take(reader *r, uint32_t bytes) {
    uint64_t value = 0;
    if (r->error || r->bytes - r->at < bytes) {
        wrong(r, "the file ends");
        return 0;
    }
    for (uint32_t i = bytes; i-- > 0;) {
        value = value << 8 | r->data[r->at + i];
    }
    r->at += bytes;
    return value;
}

// Bytes of a text in the file, without their end.
static const uint8_t *take_text(reader *r, uint64_t *bytes) {
    *bytes = take(r, 8);
    if (r->error || *bytes > r->bytes - r->at) {
        wrong(r, "a text goes beyond the end");
        return NULL;
    }
    const uint8_t *text = r->data + r->at;
    r->at += *bytes;
    return text;
}

static const char *keep(reader *r, const uint8_t *text, uint64_t bytes) {
    char *kept = r->strings;
    memcpy(kept, text, bytes);
    kept[bytes] = 0;
    r->strings += bytes + 1;
    return kept;
}

// Pass over `count` values of a type; arrays have arrays in them.
static bool skip(reader *r, uint32_t type, uint64_t count, int depth) {
    if (type > T_F64 || depth > MAX_DEPTH) {
        return wrong(r,
                     depth > MAX_DEPTH ? "arrays in arrays, too deep" : "an unknown type of value");
    }
    if (value_bytes[type] > 0) {
        if (count > (r->bytes - r->at) / value_bytes[type]) {
            return wrong(r, "values go beyond the end");
        }
        r->at += count * value_bytes[type];
        return true;
    }
    for (uint64_t i = 0; i < count && !r->error; i++) {
        uint64_t bytes;
        if (type == T_TEXT) {
            take_text(r, &bytes);
        } else {
            const uint32_t inner = (uint32_t)take(r, 4);
            const uint64_t items = take(r, 8);
            skip(r, inner, items, depth + 1);
        }
    }
    return !r->error;
}

static bool is_key(const uint8_t *key, uint64_t bytes, const char *want) {
    return bytes == strlen(want) && memcmp(key, want, bytes) == 0;
}

// An array of i32: the shape of the tensor whose name the key ends with.
static bool read_shape(reader *r, const uint8_t *name, uint64_t name_bytes) {
    const uint32_t type = (uint32_t)take(r, 4);
    const uint64_t count = take(r, 8);
    if (type != T_I32 || count > HT_ST_MAX_RANK) {
        return wrong(r, "an original shape that is not a few numbers of 32 bits");
    }
    original_shape *shape = &r->shapes[r->n_shapes];
    *shape = (original_shape){.name = name, .name_bytes = name_bytes, .rank = (uint32_t)count};
    for (uint64_t i = 0; i < count; i++) {
        shape->dims[i] = take(r, 4);
    }
    r->n_shapes += !r->error;
    return !r->error;
}

static bool read_key(reader *r) {
    uint64_t key_bytes, text_bytes;
    const size_t shape_bytes = sizeof SHAPE_KEY - 1;
    const uint8_t *key = take_text(r, &key_bytes);
    const uint32_t type = (uint32_t)take(r, 4);
    if (r->error) {
        return false;
    }
    if (key_bytes == 0 || key_bytes > MAX_KEY_BYTES || memchr(key, 0, key_bytes)) {
        return wrong(r, "a key that is empty, too long or has a NUL");
    }
    if (type == T_ARRAY && key_bytes > shape_bytes && memcmp(key, SHAPE_KEY, shape_bytes) == 0) {
        return read_shape(r, key + shape_bytes, key_bytes - shape_bytes);
    }
    if (type == T_U32 && is_key(key, key_bytes, "general.alignment")) {
        r->alignment = take(r, 4);
        const bool power = r->alignment && (r->alignment & (r->alignment - 1)) == 0;
        return power && r->alignment <= MAX_ALIGNMENT ? true : wrong(r, "a strange alignment");
    }
    if (type != T_TEXT) {
        return skip(r, type, 1, 0);
    }
    const uint8_t *text = take_text(r, &text_bytes);
    if (!r->error && text_bytes <= MAX_KEPT_TEXT && !memchr(text, 0, text_bytes)) {
        ht_weights_metadata_pair *pair = &r->shard->metadata[r->shard->n_metadata++];
        pair->key = keep(r, key, key_bytes);
        pair->value = keep(r, text, text_bytes);
    }
    return !r->error;
}

static ht_status fail_tensor(const reader *r, const char *name, const char *what) {
    return ht_fail(r->context, HT_ERR_IO, "weights '%s': tensor '%s': %s", r->shard->path, name,
                   what);
}

static int compare_shapes(const void *a, const void *b) {
    const original_shape *x = a, *y = b;
    const uint64_t bytes = x->name_bytes < y->name_bytes ? x->name_bytes : y->name_bytes;
    const int order = memcmp(x->name, y->name, bytes);
    return order != 0 ? order : (x->name_bytes > y->name_bytes) - (x->name_bytes < y->name_bytes);
}

static const original_shape *find_shape(const reader *r, const char *name) {
    const original_shape key = {.name = (const uint8_t *)name, .name_bytes = strlen(name)};
    return r->n_shapes > 0
               ? bsearch(&key, r->shapes, r->n_shapes, sizeof *r->shapes, compare_shapes)
               : NULL;
}

// The shape in our order, outermost first; *count becomes its product.
static ht_status set_shape(const reader *r, ht_weights_entry *entry, const uint64_t *dims,
                           uint32_t rank, uint64_t *count) {
    const original_shape *original = find_shape(r, entry->info.name);
    uint64_t before = 1;
    *count = 1;
    for (uint32_t i = 0; i < rank; i++) {
        if (!ht_mul_u64(before, dims[i], &before)) {
            return fail_tensor(r, entry->info.name, "its shape is too large");
        }
    }
    const uint32_t n = original ? original->rank : rank;
    entry->fits = n <= HT_MAX_RANK;
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t dim = original ? original->dims[i] : dims[rank - 1 - i];
        if (!ht_mul_u64(*count, dim, count)) {
            return fail_tensor(r, entry->info.name, "its shape is too large");
        }
        entry->fits = entry->fits && dim <= UINT32_MAX;
        if (i < HT_MAX_RANK) {
            entry->info.desc.dims[i] = (uint32_t)dim;
        }
    }
    entry->info.desc.rank = entry->fits ? n : 0;
    return *count == before ? HT_OK
                            : fail_tensor(r, entry->info.name,
                                          "its original shape has another number of values");
}

// Type, bytes and offset behind the name and dims.
static ht_status set_data(const reader *r, ht_weights_entry *entry, uint32_t type_id, uint64_t row,
                          uint64_t count, uint64_t offset) {
    const ht_gguf_type *type = ht_gguf_type_of(type_id);
    if (!type) {
        return ht_fail(r->context, HT_ERR_UNSUPPORTED,
                       "weights '%s': tensor '%s' is of type %s (%u); supported: %s",
                       r->shard->path, entry->info.name, ht_gguf_type_name(type_id), type_id,
                       ht_gguf_supported);
    }
    if (row % type->values != 0) {
        return ht_fail(r->context, HT_ERR_IO,
                       "weights '%s': tensor '%s' has rows of %llu values, but %s has blocks of %u",
                       r->shard->path, entry->info.name, (unsigned long long)row, type->name,
                       type->values);
    }
    if (!ht_mul_u64(count / type->values, type->bytes, &entry->info.bytes)) {
        return fail_tensor(r, entry->info.name, "its shape is too large");
    }
    if (offset % r->alignment != 0) {
        return fail_tensor(r, entry->info.name, "its data is not aligned");
    }
    entry->dtype = type->dtype;
    entry->info.dtype = type->name;
    entry->info.desc.format = type->format;
    entry->offset = offset; // of the data so far
    return HT_OK;
}

static ht_status fail_here(const reader *r) {
    return ht_fail(r->context, HT_ERR_IO, "weights '%s': %s, at byte %llu of its tables",
                   r->shard->path, r->error ? r->error : "is damaged", (unsigned long long)r->at);
}

static ht_status read_tensor(reader *r) {
    uint64_t name_bytes, dims[4] = {0}, count = 0;
    const uint8_t *name = take_text(r, &name_bytes);
    const uint32_t rank = (uint32_t)take(r, 4);
    if (!r->error && (name_bytes == 0 || name_bytes > HT_ST_MAX_NAME)) {
        wrong(r, "a tensor's name that is empty or too long");
    }
    for (uint64_t i = 0; !r->error && i < name_bytes; i++) {
        if (name[i] < 0x20 || name[i] == 0x7f) {
            wrong(r, "a tensor's name with control characters");
        }
    }
    if (!r->error && rank > 4) {
        wrong(r, "a tensor of more than 4 dimensions");
    }
    for (uint32_t i = 0; !r->error && i < rank; i++) {
        dims[i] = take(r, 8);
    }
    const uint32_t type = (uint32_t)take(r, 4);
    const uint64_t offset = take(r, 8);
    if (r->error) {
        return fail_here(r);
    }
    ht_weights_entry *entry = &r->shard->entries[r->shard->n_entries++];
    *entry =
        (ht_weights_entry){.info = {.name = keep(r, name, name_bytes), .file = r->shard->path}};
    const ht_status status = set_shape(r, entry, dims, rank, &count);
    return status == HT_OK ? set_data(r, entry, type, rank > 0 ? dims[0] : 1, count, offset)
                           : status;
}

static int compare_names(const void *a, const void *b) {
    const ht_weights_entry *x = a, *y = b;
    return strcmp(x->info.name, y->info.name);
}

static int compare_offsets(const void *a, const void *b) {
    const ht_weights_entry *x = a, *y = b;
    if (x->offset != y->offset) {
        return x->offset < y->offset ? -1 : 1;
    }
    return (x->info.bytes > y->info.bytes) - (x->info.bytes < y->info.bytes);
}

// From offsets in the data to bytes of the map; inside of it, and none over another.
static ht_status place(const reader *r) {
    ht_shard *shard = r->shard;
    uint64_t start = (r->at + r->alignment - 1) / r->alignment * r->alignment, end = 0;
    const uint64_t data_bytes = start < r->bytes ? r->bytes - start : 0;
    qsort(shard->entries, shard->n_entries, sizeof *shard->entries, compare_offsets);
    for (uint32_t i = 0; i < shard->n_entries; i++) {
        ht_weights_entry *entry = &shard->entries[i];
        if (entry->offset > data_bytes || entry->info.bytes > data_bytes - entry->offset) {
            return fail_tensor(r, entry->info.name, "its data goes beyond the file's end");
        }
        if (entry->offset < end) {
            return fail_tensor(r, entry->info.name, "its data lies over another tensor's");
        }
        end = entry->offset + entry->info.bytes;
        entry->offset += start;
        entry->info.data = r->data + (entry->info.bytes > 0 ? entry->offset : 0);
    }
    qsort(shard->entries, shard->n_entries, sizeof *shard->entries, compare_names);
    for (uint32_t i = 1; i < shard->n_entries; i++) {
        if (strcmp(shard->entries[i - 1].info.name, shard->entries[i].info.name) == 0) {
            return fail_tensor(r, shard->entries[i].info.name, "it appears twice");
        }
    }
    return HT_OK;
}

static ht_status read_counts(reader *r, uint64_t *tensors, uint64_t *keys) {
    r->at = 4; // behind "GGUF"
    const uint64_t version = take(r, 4);
    *tensors = take(r, 8);
    *keys = take(r, 8);
    if (!r->error && version != 2 && version != 3) {
        return ht_fail(r->context, HT_ERR_IO,
                       "weights '%s': GGUF of version %llu, expected 2 or 3, little-endian",
                       r->shard->path, (unsigned long long)version);
    }
    // The smallest key and the smallest tensor take 13 and 33 bytes.
    if (!r->error && (*tensors == 0 || *tensors > HT_ST_MAX_TENSORS || *keys > MAX_KEYS ||
                      *tensors > r->bytes / 33 || *keys > r->bytes / 13)) {
        wrong(r, "numbers of tensors or keys that cannot be");
    }
    return r->error ? fail_here(r) : HT_OK;
}

// Room for all texts: each is longer in the file, where its length takes 8 bytes. How much of the
// file are texts is not known yet; tables of more than a limit are refused.
static ht_status reserve(reader *r, uint64_t tensors, uint64_t keys) {
    ht_shard *shard = r->shard;
    const reader start = *r;
    for (uint64_t i = 0; i < keys && !r->error; i++) {
        uint64_t bytes;
        take_text(r, &bytes);
        const uint32_t type = (uint32_t)take(r, 4);
        skip(r, type, 1, 0);
    }
    for (uint64_t i = 0; i < tensors && !r->error; i++) {
        uint64_t bytes;
        take_text(r, &bytes);
        const uint64_t rank = take(r, 4);
        if (rank > 4) {
            wrong(r, "a tensor of more than 4 dimensions");
        }
        for (uint64_t d = 0; d < rank && !r->error; d++) {
            take(r, 8);
        }
        take(r, 4);
        take(r, 8);
    }
    if (!r->error && r->at > HT_ST_MAX_HEADER) {
        wrong(r, "tables of more than 100,000,000 bytes");
    }
    if (r->error) {
        return fail_here(r);
    }
    const size_t text_bytes = (size_t)r->at;
    *r = start;
    shard->strings = r->strings = ht_alloc(r->context, text_bytes);
    shard->entries = ht_alloc(r->context, tensors * sizeof *shard->entries);
    shard->metadata = ht_alloc(r->context, (keys + 1) * sizeof *shard->metadata);
    r->shapes = ht_alloc(r->context, (keys + 1) * sizeof *r->shapes);
    return shard->strings && shard->entries && shard->metadata && r->shapes ? HT_OK
                                                                            : HT_ERR_NO_MEMORY;
}

static int compare_keys(const void *a, const void *b) {
    const ht_weights_metadata_pair *x = a, *y = b;
    return strcmp(x->key, y->key);
}

static ht_status sort_keys(const reader *r) {
    ht_shard *shard = r->shard;
    qsort(r->shapes, r->n_shapes, sizeof *r->shapes, compare_shapes);
    qsort(shard->metadata, shard->n_metadata, sizeof *shard->metadata, compare_keys);
    for (uint32_t i = 1; i < shard->n_metadata; i++) {
        if (strcmp(shard->metadata[i - 1].key, shard->metadata[i].key) == 0) {
            return ht_fail(r->context, HT_ERR_IO, "weights '%s': key '%.100s' appears twice",
                           shard->path, shard->metadata[i].key);
        }
    }
    return HT_OK;
}

static ht_status read_tables(reader *r) {
    ht_status status = HT_OK;
    uint64_t tensors = 0, keys = 0;
    HT_TRY(read_counts(r, &tensors, &keys));
    HT_TRY(reserve(r, tensors, keys));
    for (uint64_t i = 0; i < keys; i++) {
        if (!read_key(r)) {
            return fail_here(r);
        }
    }
    HT_TRY(sort_keys(r));
    for (uint64_t i = 0; i < tensors; i++) {
        HT_TRY(read_tensor(r));
    }
    HT_TRY(place(r));
fail:
    return status;
}

ht_status ht_gguf_open(ht_context *context, const char *path, ht_shard *out) {
    ht_shard shard = {.path = ht_strdup(context, path)};
    if (!shard.path) {
        return HT_ERR_NO_MEMORY;
    }
    ht_status status = ht_file_map_open(context, path, &shard.map);
    reader r = {.context = context,
                .shard = &shard,
                .data = shard.map.data,
                .bytes = shard.map.bytes,
                .alignment = 32};
    if (status == HT_OK) {
        status = read_tables(&r);
    }
    ht_free(context, r.shapes);
    if (status != HT_OK) {
        ht_st_close(context, &shard);
        return status;
    }
    *out = shard;
    return HT_OK;
}
