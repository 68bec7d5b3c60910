// From a checkpoint to a packed one. What goes where is planned first, so that the header can be
// written; then the tensors follow one at a time.
#include <halftone/quantize.h>

#include "gguf.h"
#include "pack.h"
#include "packed_file.h"
#include "quantize_internal.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- plan

static ht_status write_nowhere(void *user, uint64_t offset, const void *data, uint64_t bytes) {
    (void)user, (void)offset, (void)data, (void)bytes;
    return HT_OK;
}

// Of the formats that lie in memory alike, the one that loses least.
static ht_status search_format(const ht_quantizer *q, ht_quantize_plan *p) {
    const ht_fmt_row *asked = ht_fmt_find(p->format);
    const ht_pack_sink nowhere = {write_nowhere, NULL};
    const ht_weight_order order = ht_quantize_order(p);
    double least = INFINITY;
    ht_status status = HT_OK;
    for (size_t i = 0; i < ht_fmt_row_count && status == HT_OK; i++) {
        const ht_fmt_row *row = &ht_fmt_rows[i];
        ht_tensor_desc desc = p->device;
        ht_pack_error error = {0};
        if (row->bits != asked->bits || row->group != asked->group || row->scale != asked->scale ||
            (row->kind != HT_FMT_MINIFLOAT && row->kind != HT_FMT_SYMMETRIC)) {
            continue;
        }
        desc.format = row->format;
        status = ht_weights_pack(q->weights, p->entry, &desc, &order, &nowhere, &error);
        if (status == HT_OK && error.noise < least) {
            least = error.noise;
            p->format = row->format;
        }
    }
    p->device.format = p->format;
    return status;
}

static ht_status plan_tensor(const ht_quantizer *q, const ht_weights_entry *entry,
                             ht_quantize_plan *p) {
    char layer[HT_ST_MAX_NAME + 1];
    ht_context *context = q->weights->context;
    *p = (ht_quantize_plan){.entry = entry, .taps = 1, .bytes = entry->info.bytes};
    if (entry->parts[HT_PART_CODES] || entry->stack) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "weights '%s': tensor '%s' is packed as %s already; start from the float "
                       "checkpoint",
                       entry->info.file, entry->info.name, entry->info.dtype);
    }
    if (!entry->fits) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "weights '%s': tensor '%s' has more than %d dimensions, or too large ones",
                       entry->info.file, entry->info.name, HT_MAX_RANK);
    }
    const ht_format format =
        ht_weight_layer(entry->info.name, layer, sizeof layer) && entry->info.desc.rank >= 2
            ? q->desc->format(q->desc->user, layer)
            : HT_FORMAT_NONE;
    if (format == HT_FORMAT_NONE) {
        if (ht_gguf_block_of(entry->dtype)) { // has no name in safetensors: becomes half floats
            p->bytes = ht_desc_count(&entry->info.desc) * 2;
        }
        return HT_OK;
    }
    if ((!ht_format_is_packed(format) && !ht_format_is_stack(format)) ||
        !ht_weights_is_float(entry) ||
        !ht_packed_shape(&entry->info.desc, format, &p->device, &p->taps)) {
        char shape[128];
        ht_desc_text(&entry->info.desc, shape, sizeof shape);
        const char *bracket = strchr(shape, '[');
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "weights '%s': tensor '%s' of %s %s cannot be packed as %s, which takes "
                       "matrices [N, K] and convolutions [O, I, kh, kw] of floats",
                       entry->info.file, entry->info.name, entry->info.dtype, bracket,
                       ht_format_name(format));
    }
    p->format = format;
    if (ht_format_is_stack(format)) {
        return HT_OK;
    }
    const ht_status status = ht_quantize_plan_salient(q, layer, p);
    if (status != HT_OK || p->pieces) {
        return status;
    }
    if (q->desc->rank) {
        p->rank = q->desc->rank(q->desc->user, layer, &p->device);
    }
    return q->desc->search ? search_format(q, p) : HT_OK;
}

// ---- header

static json_t *shape_json(const ht_tensor_desc *file) {
    json_t *shape = json_array();
    for (uint32_t i = 0; i < file->rank; i++) {
        json_array_append_new(shape, json_integer(file->dims[i]));
    }
    return shape;
}

void ht_quantize_add_parts(const ht_quantizer *q, ht_quantize_plan *p, const char *name,
                           const ht_tensor_desc *file, json_t *tensors) {
    ht_packed_layout at;
    ht_packed_layout_of(&p->device, &at);
    json_object_set_new(tensors, name,
                        json_pack("{s:s, s:o}", "format", ht_format_name(p->format), "shape",
                                  shape_json(file)));
    p->bytes = 0;
    for (int part = 0; part < HT_PACKED_PARTS; part++) {
        ht_packed_part_desc d;
        char part_name[HT_ST_MAX_NAME + 64];
        if (ht_packed_part_of(ht_fmt_find(p->format), &at, (ht_packed_part)part, &d)) {
            snprintf(part_name, sizeof part_name, "%s%s", name, d.suffix);
            p->parts[part] =
                ht_st_writer_add(q->writer, part_name, d.dtype, d.rank, d.dims, d.bytes);
            p->bytes += d.bytes;
        }
    }
}

static void add_packed(const ht_quantizer *q, ht_quantize_plan *p, json_t *tensors) {
    const ht_weight_info *info = &p->entry->info;
    if (p->n_blocks > 0) { // which are listed behind all else
        json_object_set_new(tensors, info->name,
                            json_pack("{s:s, s:o, s:i, s:i}", "format", ht_format_name(p->format),
                                      "shape", shape_json(&info->desc), "rank",
                                      (int)p->stack_rank, "blocks", (int)p->n_blocks));
        p->bytes = p->n_blocks * p->block_bytes;
        return;
    }
    if (p->pieces) {
        ht_quantize_add_salient(q, p, tensors);
        return;
    }
    ht_quantize_add_parts(q, p, info->name, &info->desc, tensors);
    if (p->rank > 0) {
        ht_quantize_add_branch(q, p);
    }
}

static void add_plain(const ht_quantizer *q, ht_quantize_plan *p) {
    uint64_t dims[HT_MAX_RANK] = {0};
    const ht_tensor_desc *desc = &p->entry->info.desc;
    for (uint32_t i = 0; i < desc->rank; i++) {
        dims[i] = desc->dims[i];
    }
    const char *dtype = ht_gguf_block_of(p->entry->dtype) ? "F16" : p->entry->info.dtype;
    p->parts[0] =
        ht_st_writer_add(q->writer, p->entry->info.name, dtype, desc->rank, dims, p->bytes);
}

static void add_extra(ht_quantizer *q) {
    for (uint32_t i = 0; i < q->desc->n_extra; i++) {
        const ht_quantize_extra *e = &q->desc->extra[i];
        const uint32_t number =
            ht_st_writer_add(q->writer, e->name, "F32", 1, (const uint64_t[]){e->count},
                             e->count * sizeof *e->values);
        q->extra = i == 0 ? number : q->extra;
    }
}

static ht_status write_header(ht_quantizer *q) {
    json_t *tensors = json_object();
    char version[16];
    uint32_t branches = 0, salient = 0;
    for (uint32_t i = 0; i < q->weights->n_entries; i++) {
        if (q->plans[i].format != HT_FORMAT_NONE) {
            add_packed(q, &q->plans[i], tensors);
            branches += q->plans[i].rank > 0;
            salient += q->plans[i].pieces != NULL;
        } else {
            add_plain(q, &q->plans[i]);
        }
    }
    add_extra(q);
    char *text = json_dumps(tensors, JSON_COMPACT);
    json_decref(tensors);
    if (!text || ht_quantize_add_stacks(q) != HT_OK) {
        free(text);
        return ht_fail(q->weights->context, HT_ERR_NO_MEMORY,
                       "out of memory for the header of '%s'", q->desc->path);
    }
    snprintf(version, sizeof version, "%d", salient ? HT_PACKED_VERSION
             : q->n_blocks > 0 ? HT_PACKED_VERSION_STACKS
             : branches        ? HT_PACKED_VERSION_BRANCHES
                               : HT_PACKED_VERSION_PLAIN);
    ht_st_writer_metadata(q->writer, HT_PACKED_KEY_VERSION, version);
    ht_st_writer_metadata(q->writer, HT_PACKED_KEY_TENSORS, text);
    if (q->desc->recipe) {
        ht_st_writer_metadata(q->writer, HT_WEIGHTS_RECIPE_KEY, q->desc->recipe);
    }
    if (q->desc->attention) {
        ht_st_writer_metadata(q->writer, "halftone.attention", q->desc->attention);
    }
    if (q->desc->activations) {
        ht_st_writer_metadata(q->writer, "halftone.activations", q->desc->activations);
    }
    free(text);
    return ht_st_writer_begin(q->writer);
}

// ---- data

// Values of blocks as half floats.
static ht_status write_halves(const ht_quantizer *q, const ht_quantize_plan *p) {
    enum { PIECE = 1 << 12 };
    float values[PIECE];
    uint16_t halves[PIECE];
    const uint64_t count = ht_desc_count(&p->entry->info.desc);
    ht_status status = HT_OK;
    for (uint64_t done = 0; done < count && status == HT_OK; done += PIECE) {
        const size_t now = count - done < PIECE ? (size_t)(count - done) : PIECE;
        ht_weights_unpack(p->entry, done, values, now);
        ht_format_pack(HT_FORMAT_F16, values, halves, now);
        status = ht_st_writer_write(q->writer, p->parts[0], done * sizeof *halves, halves,
                                    now * sizeof *halves);
    }
    return status;
}

static ht_status write_tensor(ht_quantizer *q, const ht_quantize_plan *p, ht_pack_error *error) {
    const ht_pack_sink sink = {ht_quantize_write_part, q};
    ht_status status = HT_OK;
    bool whole = false;
    const ht_weight_order order = ht_quantize_order(p);
    q->now = p;
    if (p->n_blocks > 0) {
        return ht_quantize_write_stack(q, p, error);
    }
    if (p->pieces) {
        return ht_quantize_write_salient(q, p, error);
    }
    if (q->desc->pack || q->desc->factors) {
        HT_TRY(ht_quantize_whole(q, p, &whole, error));
    }
    if (whole) {
        status = HT_OK;
    } else if (p->format != HT_FORMAT_NONE) {
        status = ht_weights_pack(q->weights, p->entry, &p->device, &order, &sink, error);
    } else if (ht_gguf_block_of(p->entry->dtype)) {
        status = write_halves(q, p);
    } else {
        status = ht_st_writer_write(q->writer, p->parts[0], 0, p->entry->info.data, p->bytes);
    }
    if (!p->entry->copied) {
        ht_file_map_forget(&q->weights->shards[p->entry->shard].map, p->entry->offset,
                           p->entry->info.bytes);
    }
fail:
    return status;
}

static ht_status write_all(ht_quantizer *q) {
    ht_status status = HT_OK;
    const uint32_t count = q->weights->n_entries;
    for (uint32_t i = 0; i < count; i++) {
        const ht_quantize_plan *p = &q->plans[i];
        ht_pack_error error = {0};
        HT_TRY(write_tensor(q, p, &error));
        const ht_quantized done = {
            .name = p->entry->info.name,
            .format = p->format,
            .from = p->entry->info.bytes,
            .bytes = p->bytes,
            .sqnr_db = error.noise > 0 ? 10 * log10(error.signal / error.noise) : INFINITY,
            .salient = p->pieces ? p->salient.format : HT_FORMAT_NONE,
            .n_salient = p->pieces ? p->salient.count : 0,
            .salient_bytes = p->pieces ? p->pieces[1].bytes : 0,
            .index = i,
            .count = count};
        if (q->desc->done && !q->desc->done(q->desc->user, &done)) {
            return ht_fail(q->weights->context, HT_ERR_CANCELLED, "'%s' was not finished",
                           q->desc->path);
        }
    }
    for (uint32_t i = 0; i < q->desc->n_extra; i++) {
        const ht_quantize_extra *e = &q->desc->extra[i];
        HT_TRY(ht_st_writer_write(q->writer, q->extra + i, 0, e->values,
                                  e->count * sizeof *e->values));
    }
    status = ht_st_writer_finish(q->writer);
fail:
    return status;
}

ht_status ht_weights_quantize(ht_weights *weights, const ht_quantize_desc *desc) {
    ht_context *context = weights->context;
    ht_quantizer q = {.weights = weights, .desc = desc};
    ht_status status = HT_OK;
    q.plans = ht_alloc(context, (weights->n_entries + 1) * sizeof *q.plans);
    if (!q.plans) {
        return HT_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < weights->n_entries; i++) {
        HT_TRY(plan_tensor(&q, &weights->entries[i], &q.plans[i]));
    }
    HT_TRY(ht_quantize_plan_stacks(&q));
    HT_TRY(ht_st_writer_open(context, desc->path, desc->replace, &q.writer));
    HT_TRY(write_header(&q));
    HT_TRY(write_all(&q));
fail:
    ht_st_writer_close(&q.writer);
    ht_free(context, q.blocks);
    for (uint32_t i = 0; i < weights->n_entries; i++) {
        ht_free(context, q.plans[i].pieces);
    }
    ht_free(context, q.plans);
    return status;
}
