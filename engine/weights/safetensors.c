// One safetensors file: mapped, and its header checked whole before anything uses it. The rules
// are listed in docs/checkpoint.md.
#include "stack.h"

#include "json.h"

#include <stdlib.h>
#include <string.h>

typedef struct dtype_row {
    const char *name;
    ht_st_dtype dtype;
    uint32_t bits;
    ht_format format; // NONE: not one we compute with
} dtype_row;

static const dtype_row dtype_rows[] = {
    {"BOOL", HT_ST_BOOL, 8, HT_FORMAT_NONE},       {"U8", HT_ST_U8, 8, HT_FORMAT_NONE},
    {"I8", HT_ST_I8, 8, HT_FORMAT_NONE},           {"F8_E4M3", HT_ST_F8_E4M3, 8, HT_FORMAT_NONE},
    {"F8_E5M2", HT_ST_F8_E5M2, 8, HT_FORMAT_NONE}, {"F8_E8M0", HT_ST_F8_E8M0, 8, HT_FORMAT_NONE},
    {"I16", HT_ST_I16, 16, HT_FORMAT_NONE},        {"U16", HT_ST_U16, 16, HT_FORMAT_NONE},
    {"F16", HT_ST_F16, 16, HT_FORMAT_F16},         {"BF16", HT_ST_BF16, 16, HT_FORMAT_BF16},
    {"I32", HT_ST_I32, 32, HT_FORMAT_I32},         {"U32", HT_ST_U32, 32, HT_FORMAT_NONE},
    {"F32", HT_ST_F32, 32, HT_FORMAT_F32},         {"I64", HT_ST_I64, 64, HT_FORMAT_NONE},
    {"U64", HT_ST_U64, 64, HT_FORMAT_NONE},        {"F64", HT_ST_F64, 64, HT_FORMAT_NONE},
    {"C64", HT_ST_C64, 64, HT_FORMAT_NONE},        {"F4", HT_ST_F4, 4, HT_FORMAT_NONE},
    {"F6_E2M3", HT_ST_F6_E2M3, 6, HT_FORMAT_NONE}, {"F6_E3M2", HT_ST_F6_E3M2, 6, HT_FORMAT_NONE},
};
enum { N_DTYPES = sizeof dtype_rows / sizeof dtype_rows[0] };

// What is needed while one header is read.
typedef struct parser {
    ht_context *context;
    ht_shard *shard;
    ht_json json;
    const uint8_t *data; // after the header
    uint64_t data_bytes;
    char *strings; // where the next string goes
    size_t strings_left;
    uint32_t entry_capacity, metadata_capacity;
} parser;

uint32_t ht_st_dtype_bits(ht_st_dtype dtype) {
    for (size_t i = 0; i < N_DTYPES; i++) {
        if (dtype_rows[i].dtype == dtype) {
            return dtype_rows[i].bits;
        }
    }
    return 0;
}

static ht_status fail_file(const parser *p, const char *what) {
    return ht_fail(p->context, HT_ERR_IO, "weights '%s': %s", p->shard->path, what);
}

// The JSON itself is wrong. Offsets are counted from the start of the file.
static ht_status fail_json(const parser *p, const char *name) {
    const unsigned long long at = 8 + (unsigned long long)p->json.at;
    if (name) {
        return ht_fail(p->context, HT_ERR_IO, "weights '%s': header entry '%s': %s at byte %llu",
                       p->shard->path, name, p->json.error, at);
    }
    return ht_fail(p->context, HT_ERR_IO, "weights '%s': header: %s at byte %llu", p->shard->path,
                   p->json.error, at);
}

// Make room for one more element of an array that doubles.
static bool grow(ht_context *context, void **array, uint32_t count, uint32_t *capacity,
                 size_t element) {
    if (count < *capacity) {
        return true;
    }
    const uint32_t wanted = *capacity ? 2 * *capacity : 64;
    void *larger = ht_realloc(context, *array, wanted * element);
    if (!larger) {
        return false;
    }
    *array = larger;
    *capacity = wanted;
    return true;
}

// Keep the string just read into p->strings.
static const char *keep_string(parser *p, size_t length) {
    const char *kept = p->strings;
    p->strings += length + 1;
    p->strings_left -= length + 1;
    return kept;
}

static bool has_control(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == 0x7f) {
            return true;
        }
    }
    return false;
}

static bool read_dtype(parser *p, ht_weights_entry *entry) {
    size_t length = 0;
    if (!ht_json_string(&p->json, p->strings, p->strings_left, &length)) {
        return false;
    }
    if (length == 0 || length > 32 || has_control(p->strings, length)) {
        return ht_json_fail(&p->json, "dtype that is not a short name");
    }
    for (size_t i = 0; i < N_DTYPES; i++) {
        if (strcmp(p->strings, dtype_rows[i].name) == 0) {
            entry->dtype = dtype_rows[i].dtype;
            entry->info.dtype = dtype_rows[i].name;
            entry->info.desc.format = dtype_rows[i].format;
            return true;
        }
    }
    entry->info.dtype = keep_string(p, length);
    return true;
}

// The shape; *count becomes its product.
static bool read_shape(parser *p, ht_weights_entry *entry, uint64_t *count) {
    uint32_t rank = 0;
    bool overflow = false, zero = false;
    *count = 1;
    entry->fits = true;
    if (!ht_json_begin_array(&p->json)) {
        return false;
    }
    while (ht_json_next_item(&p->json)) {
        uint64_t dim = 0;
        if (!ht_json_u64(&p->json, &dim)) {
            return false;
        }
        if (rank == HT_ST_MAX_RANK) {
            return ht_json_fail(&p->json, "more than 8 dimensions");
        }
        if (rank < HT_MAX_RANK && dim <= UINT32_MAX) {
            entry->info.desc.dims[rank] = (uint32_t)dim;
        } else {
            entry->fits = false;
        }
        zero = zero || dim == 0;
        overflow = overflow || !ht_mul_u64(*count, dim, count);
        rank++;
    }
    if (zero) {
        *count = 0;
    } else if (overflow) {
        return ht_json_fail(&p->json, "shape whose product overflows");
    }
    entry->info.desc.rank = entry->fits ? rank : 0;
    return !p->json.error;
}

static bool read_offsets(parser *p, uint64_t offsets[2]) {
    uint32_t count = 0;
    if (!ht_json_begin_array(&p->json)) {
        return false;
    }
    while (ht_json_next_item(&p->json)) {
        uint64_t offset = 0;
        if (!ht_json_u64(&p->json, &offset)) {
            return false;
        }
        if (count < 2) {
            offsets[count] = offset;
        }
        count++;
    }
    return !p->json.error && (count == 2 || ht_json_fail(&p->json, "data_offsets without two "
                                                                   "numbers"));
}

// {"dtype": .., "shape": .., "data_offsets": ..}, each once. Other keys are ignored.
static bool read_fields(parser *p, ht_weights_entry *entry, uint64_t *count, uint64_t offsets[2]) {
    enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4, ALL = 7 };
    unsigned seen = 0;
    if (!ht_json_begin_object(&p->json)) {
        return false;
    }
    size_t length = 0;
    while (ht_json_next_key(&p->json, p->strings, p->strings_left, &length)) {
        const bool plain = strlen(p->strings) == length;
        unsigned field = 0;
        if (plain && strcmp(p->strings, "dtype") == 0) {
            field = DTYPE;
        } else if (plain && strcmp(p->strings, "shape") == 0) {
            field = SHAPE;
        } else if (plain && strcmp(p->strings, "data_offsets") == 0) {
            field = OFFSETS;
        }
        if (seen & field) {
            return ht_json_fail(&p->json, "field given twice");
        }
        seen |= field;
        const bool good = field == DTYPE     ? read_dtype(p, entry)
                          : field == SHAPE   ? read_shape(p, entry, count)
                          : field == OFFSETS ? read_offsets(p, offsets)
                                             : ht_json_skip(&p->json);
        if (!good) {
            return false;
        }
    }
    return !p->json.error &&
           (seen == ALL || ht_json_fail(&p->json, "dtype, shape or data_offsets missing"));
}

// Hold an entry's numbers against each other and the file.
static ht_status place_entry(parser *p, ht_weights_entry *entry, uint64_t count,
                             const uint64_t offsets[2]) {
    const char *path = p->shard->path;
    const char *name = entry->info.name;
    const unsigned long long begin = offsets[0], end = offsets[1];
    if (offsets[0] > offsets[1] || offsets[1] > p->data_bytes) {
        return ht_fail(p->context, HT_ERR_IO,
                       "weights '%s': tensor '%s': data_offsets [%llu, %llu] outside the %llu "
                       "bytes of data",
                       path, name, begin, end, (unsigned long long)p->data_bytes);
    }
    entry->info.bytes = offsets[1] - offsets[0];
    const uint32_t bits = ht_st_dtype_bits(entry->dtype);
    uint64_t total_bits = 0;
    if (entry->dtype != HT_ST_UNKNOWN) {
        const bool fits = ht_mul_u64(count, bits, &total_bits);
        if (!fits || total_bits % 8 != 0 || total_bits / 8 != entry->info.bytes) {
            return ht_fail(p->context, HT_ERR_IO,
                           "weights '%s': tensor '%s': %llu values of %s do not take the %llu "
                           "bytes at data_offsets [%llu, %llu]",
                           path, name, (unsigned long long)count, entry->info.dtype,
                           (unsigned long long)entry->info.bytes, begin, end);
        }
    }
    entry->offset = (uint64_t)(p->data - p->shard->map.data) + offsets[0];
    entry->info.data = p->data + offsets[0];
    entry->info.file = path;
    return HT_OK;
}

static ht_status read_tensor(parser *p, size_t name_length) {
    ht_shard *shard = p->shard;
    if (name_length == 0 || name_length > HT_ST_MAX_NAME || has_control(p->strings, name_length)) {
        p->json.error = name_length == 0               ? "empty tensor name"
                        : name_length > HT_ST_MAX_NAME ? "tensor name of more than 512 bytes"
                                                       : "control character in a tensor name";
        return fail_json(p, NULL);
    }
    if (shard->n_entries == HT_ST_MAX_TENSORS) {
        return fail_file(p, "more than 1000000 tensors");
    }
    const char *name = keep_string(p, name_length);
    if (!grow(p->context, (void **)&shard->entries, shard->n_entries, &p->entry_capacity,
              sizeof *shard->entries)) {
        return HT_ERR_NO_MEMORY;
    }
    ht_weights_entry *entry = &shard->entries[shard->n_entries];
    *entry = (ht_weights_entry){.info.name = name, .info.desc.label = name};
    uint64_t count = 0;
    uint64_t offsets[2] = {0, 0};
    if (!read_fields(p, entry, &count, offsets)) {
        return fail_json(p, name);
    }
    const ht_status status = place_entry(p, entry, count, offsets);
    if (status == HT_OK) {
        shard->n_entries++;
    }
    return status;
}

// A string of __metadata__, kept.
static const char *keep_metadata(parser *p, size_t length) {
    if (strlen(p->strings) != length) {
        ht_json_fail(&p->json, "NUL in a string");
        return NULL;
    }
    return keep_string(p, length);
}

static ht_status read_metadata(parser *p) {
    static const char name[] = "__metadata__";
    ht_shard *shard = p->shard;
    size_t length = 0;
    ht_json_begin_object(&p->json);
    while (ht_json_next_key(&p->json, p->strings, p->strings_left, &length)) {
        if (shard->n_metadata == HT_ST_MAX_METADATA) {
            return fail_file(p, "more than 100000 __metadata__ entries");
        }
        if (!grow(p->context, (void **)&shard->metadata, shard->n_metadata, &p->metadata_capacity,
                  sizeof *shard->metadata)) {
            return HT_ERR_NO_MEMORY;
        }
        ht_weights_metadata_pair pair = {.key = keep_metadata(p, length)};
        if (ht_json_string(&p->json, p->strings, p->strings_left, &length)) {
            pair.value = keep_metadata(p, length);
        }
        if (p->json.error) {
            break;
        }
        shard->metadata[shard->n_metadata++] = pair;
    }
    return p->json.error ? fail_json(p, name) : HT_OK;
}

static int compare_names(const void *a, const void *b) {
    const ht_weights_entry *x = a, *y = b;
    return strcmp(x->info.name, y->info.name);
}

static void sort_by_name(ht_shard *shard) {
    if (shard->n_entries > 0) {
        qsort(shard->entries, shard->n_entries, sizeof *shard->entries, compare_names);
    }
}

static int compare_keys(const void *a, const void *b) {
    const ht_weights_metadata_pair *x = a, *y = b;
    return strcmp(x->key, y->key);
}

static int compare_offsets(const void *a, const void *b) {
    const ht_weights_entry *x = a, *y = b;
    if (x->offset != y->offset) {
        return x->offset < y->offset ? -1 : 1;
    }
    return (x->info.bytes > y->info.bytes) - (x->info.bytes < y->info.bytes);
}

// The tensors must cover the data without overlap or hole, as the format's own reader demands.
static ht_status check_coverage(const parser *p) {
    ht_shard *shard = p->shard;
    const uint64_t start = (uint64_t)(p->data - shard->map.data);
    uint64_t end = 0;
    if (shard->n_entries > 0) {
        qsort(shard->entries, shard->n_entries, sizeof *shard->entries, compare_offsets);
    }
    for (uint32_t i = 0; i < shard->n_entries; i++) {
        const ht_weights_entry *entry = &shard->entries[i];
        const uint64_t begin = entry->offset - start;
        if (begin != end) {
            return ht_fail(p->context, HT_ERR_IO,
                           "weights '%s': tensor '%s': data begins at %llu, %s %llu where the one "
                           "before it ends",
                           shard->path, entry->info.name, (unsigned long long)begin,
                           begin < end ? "overlapping" : "leaving a hole after",
                           (unsigned long long)end);
        }
        end = begin + entry->info.bytes;
    }
    if (end != p->data_bytes) {
        return ht_fail(p->context, HT_ERR_IO,
                       "weights '%s': tensors end at byte %llu of the data, but the file has %llu",
                       shard->path, (unsigned long long)end, (unsigned long long)p->data_bytes);
    }
    return HT_OK;
}

static ht_status check_unique(const parser *p) {
    ht_shard *shard = p->shard;
    sort_by_name(shard);
    for (uint32_t i = 1; i < shard->n_entries; i++) {
        if (strcmp(shard->entries[i - 1].info.name, shard->entries[i].info.name) == 0) {
            return ht_fail(p->context, HT_ERR_IO, "weights '%s': tensor '%s' appears twice",
                           shard->path, shard->entries[i].info.name);
        }
    }
    if (shard->n_metadata > 0) {
        qsort(shard->metadata, shard->n_metadata, sizeof *shard->metadata, compare_keys);
    }
    for (uint32_t i = 1; i < shard->n_metadata; i++) {
        if (strcmp(shard->metadata[i - 1].key, shard->metadata[i].key) == 0) {
            return ht_fail(p->context, HT_ERR_IO,
                           "weights '%s': __metadata__ key '%s' appears "
                           "twice",
                           shard->path, shard->metadata[i].key);
        }
    }
    return HT_OK;
}

static ht_status read_header(parser *p) {
    bool seen_metadata = false;
    size_t length = 0;
    if (p->json.text[0] != '{') {
        p->json.error = "expected '{'";
        return fail_json(p, NULL);
    }
    ht_json_begin_object(&p->json);
    while (ht_json_next_key(&p->json, p->strings, p->strings_left, &length)) {
        const bool metadata = length == 12 && memcmp(p->strings, "__metadata__", 12) == 0;
        if (metadata && seen_metadata) {
            return fail_file(p, "__metadata__ appears twice");
        }
        const ht_status status = metadata ? read_metadata(p) : read_tensor(p, length);
        if (status != HT_OK) {
            return status;
        }
        seen_metadata = seen_metadata || metadata;
    }
    return ht_json_end(&p->json) ? HT_OK : fail_json(p, NULL);
}

// The length field; *header becomes a length that lies within the file.
static ht_status check_length(const parser *p, uint64_t *header) {
    const ht_file_map *map = &p->shard->map;
    if (map->bytes < 8) {
        return ht_fail(p->context, HT_ERR_IO,
                       "weights '%s': %llu bytes are too few for a safetensors file",
                       p->shard->path, (unsigned long long)map->bytes);
    }
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) {
        length = length << 8 | map->data[i];
    }
    if (length == 0 || length > HT_ST_MAX_HEADER) {
        return ht_fail(p->context, HT_ERR_IO,
                       "weights '%s': header of %llu bytes, expected 1 to %d; not a safetensors "
                       "file?",
                       p->shard->path, (unsigned long long)length, HT_ST_MAX_HEADER);
    }
    if (length > map->bytes - 8) {
        return ht_fail(p->context, HT_ERR_IO,
                       "weights '%s': header of %llu bytes, but the file ends after %llu",
                       p->shard->path, (unsigned long long)length,
                       (unsigned long long)map->bytes - 8);
    }
    *header = length;
    return HT_OK;
}

static ht_status parse(parser *p) {
    ht_status status = HT_OK;
    uint64_t header = 0;
    HT_TRY(check_length(p, &header));
    // Decoded strings and their NULs take no more bytes than they do in the header with their
    // quotes, except the one being read.
    p->strings_left = (size_t)header + 1;
    p->shard->strings = ht_alloc(p->context, p->strings_left);
    if (!p->shard->strings) {
        return HT_ERR_NO_MEMORY;
    }
    p->strings = p->shard->strings;
    p->data = p->shard->map.data + 8 + header;
    p->data_bytes = p->shard->map.bytes - 8 - header;
    ht_json_init(&p->json, p->shard->map.data + 8, header, HT_ST_MAX_DEPTH);
    HT_TRY(read_header(p));
    HT_TRY(check_unique(p));
    HT_TRY(check_coverage(p));
    sort_by_name(p->shard);
    HT_TRY(ht_packed_file_resolve(p->context, p->shard));
fail:
    return status;
}

ht_status ht_st_open(ht_context *context, const char *path, ht_shard *out) {
    ht_shard shard = {.path = ht_strdup(context, path)};
    if (!shard.path) {
        return HT_ERR_NO_MEMORY;
    }
    ht_status status = ht_file_map_open(context, path, &shard.map);
    if (status == HT_OK) {
        status = parse(&(parser){.context = context, .shard = &shard});
    }
    if (status != HT_OK) {
        ht_st_close(context, &shard);
        return status;
    }
    *out = shard;
    return HT_OK;
}

void ht_st_close(ht_context *context, ht_shard *shard) {
    while (shard->stacks) {
        ht_stack *next = shard->stacks->next;
        ht_free(context, shard->stacks);
        shard->stacks = next;
    }
    ht_free(context, shard->entries);
    ht_free(context, shard->metadata);
    ht_free(context, shard->strings);
    ht_free(context, shard->path);
    ht_file_map_close(&shard->map);
    *shard = (ht_shard){0};
}
