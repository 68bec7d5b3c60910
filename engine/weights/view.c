// Tensors under other names, in parts, or transposed: how one file layout serves another's names.
#include "gguf.h"

#include <stdlib.h>
#include <string.h>

static ht_status fail_part(const ht_weights *weights, const ht_weight_view *view,
                           const ht_weights_entry *entry) {
    char shape[128];
    ht_desc_text(&entry->info.desc, shape, sizeof shape);
    return ht_fail(weights->context, HT_ERR_IO,
                   "weights '%s': tensor '%s' is %s, expected %u equal parts for '%s' and others",
                   entry->info.file, view->source, shape, view->parts, view->name);
}

// A part of the first dimension; its values lie one after another.
static ht_status take_part(const ht_weights *weights, const ht_weight_view *view,
                           ht_weights_entry *entry) {
    ht_tensor_desc *desc = &entry->info.desc;
    const ht_gguf_type *blocks = ht_gguf_block_of(entry->dtype);
    const uint64_t bits = blocks ? 0 : ht_st_dtype_bits(entry->dtype);
    if (!entry->fits || entry->parts[HT_PART_CODES] || entry->stack || bits % 8 != 0 || desc->rank == 0 ||
        desc->dims[0] % view->parts != 0 || view->part >= view->parts) {
        return fail_part(weights, view, entry);
    }
    desc->dims[0] /= view->parts;
    uint64_t skipped = view->part * (entry->info.bytes / view->parts);
    entry->info.bytes /= view->parts;
    if (blocks) { // a part may begin and end within a block
        const uint64_t count = ht_desc_count(desc), first = view->part * count;
        const uint64_t end = (first + count + blocks->values - 1) / blocks->values;
        skipped = first / blocks->values * blocks->bytes;
        entry->skip = first % blocks->values;
        entry->info.bytes = end * blocks->bytes - skipped;
    }
    entry->info.data = (const uint8_t *)entry->info.data + skipped;
    entry->offset += skipped;
    return HT_OK;
}

// The transposed values as F32, which holds those of every float format.
static ht_status transpose(ht_weights *weights, const ht_weight_view *view,
                           ht_weights_entry *entry) {
    ht_tensor_desc *desc = &entry->info.desc;
    if (!entry->fits || desc->rank != 2 || !ht_weights_is_float(entry)) {
        return ht_fail(weights->context, HT_ERR_IO,
                       "weights '%s': tensor '%s' of %s and rank %u, expected a matrix of floats",
                       entry->info.file, view->source, entry->info.dtype, desc->rank);
    }
    const size_t rows = desc->dims[0], columns = desc->dims[1], count = rows * columns;
    float *values = ht_alloc(weights->context, (count + 1) * sizeof *values);
    float *turned = ht_alloc(weights->context, (count + 1) * sizeof *turned);
    if (!values || !turned) {
        ht_free(weights->context, values);
        ht_free(weights->context, turned);
        return HT_ERR_NO_MEMORY;
    }
    ht_weights_unpack(entry, 0, values, count);
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c++) {
            turned[c * rows + r] = values[r * columns + c];
        }
    }
    ht_free(weights->context, values);
    weights->view_data[weights->n_view_data++] = turned;
    *desc = (ht_tensor_desc){
        .format = HT_FORMAT_F32, .rank = 2, .dims = {(uint32_t)columns, (uint32_t)rows}};
    entry->dtype = HT_ST_F32;
    entry->skip = 0;
    entry->info.dtype = "F32";
    entry->info.data = turned;
    entry->info.bytes = count * sizeof *turned;
    entry->copied = true;
    return HT_OK;
}

static ht_status make_entry(ht_weights *weights, const ht_weight_view *view, char **names,
                            ht_weights_entry *out) {
    const ht_weights_entry *source =
        ht_weights_lookup(weights->entries, weights->n_entries, view->source);
    if (!source) {
        return ht_fail(weights->context, HT_ERR_IO, "'%s' lacks tensor '%s'", weights->path,
                       view->source);
    }
    const size_t bytes = strlen(view->name) + 1;
    *out = *source;
    out->info.name = memcpy(*names, view->name, bytes);
    out->info.source = source->info.name;
    *names += bytes;
    if (view->parts > 0) {
        return take_part(weights, view, out);
    }
    return view->transposed ? transpose(weights, view, out) : HT_OK;
}

static int compare_names(const void *a, const void *b) {
    const ht_weights_entry *x = a, *y = b;
    return strcmp(x->info.name, y->info.name);
}

ht_status ht_weights_view(ht_weights *weights, const ht_weight_view *views, size_t count) {
    ht_context *context = weights->context;
    size_t name_bytes = 1, n_transposed = 1;
    if (weights->view_names || weights->n_uploads > 0 || count > HT_ST_MAX_TENSORS) {
        return ht_fail(context, HT_ERR_INVALID, "weights '%s': views come first, and once",
                       weights->path);
    }
    for (size_t i = 0; i < count; i++) {
        name_bytes += strlen(views[i].name) + 1;
        n_transposed += views[i].transposed;
    }
    ht_weights_entry *entries = ht_alloc(context, (count + 1) * sizeof *entries);
    char *names = weights->view_names = ht_alloc(context, name_bytes);
    weights->view_data = ht_alloc(context, n_transposed * sizeof *weights->view_data);
    ht_status status = entries && names && weights->view_data ? HT_OK : HT_ERR_NO_MEMORY;
    for (size_t i = 0; i < count && status == HT_OK; i++) {
        status = make_entry(weights, &views[i], &names, &entries[i]);
    }
    if (status != HT_OK) {
        ht_free(context, entries);
        return status;
    }
    if (count > 0) {
        qsort(entries, count, sizeof *entries, compare_names);
    }
    for (size_t i = 1; i < count; i++) {
        if (strcmp(entries[i - 1].info.name, entries[i].info.name) == 0) {
            status = ht_fail(context, HT_ERR_INVALID, "weights '%s': two views are called '%s'",
                             weights->path, entries[i].info.name);
            ht_free(context, entries);
            return status;
        }
    }
    if (weights->owns_entries) {
        ht_free(context, weights->entries);
    }
    weights->entries = entries;
    weights->n_entries = (uint32_t)count;
    weights->owns_entries = true;
    return HT_OK;
}
