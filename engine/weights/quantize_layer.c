// Layers that the caller packs by a rule of its own, and tensors that it multiplies: all values of a
// tensor at once.
#include "quantize_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// A piece of the block, which lies in one of the parts.
ht_status ht_quantize_write_part(void *user, uint64_t offset, const void *data, uint64_t bytes) {
    const ht_quantizer *q = user;
    ht_packed_layout at;
    ht_packed_part_desc d;
    ht_packed_layout_of(&q->now->device, &at);
    for (int part = HT_PACKED_PARTS - 1; part >= 0; part--) {
        if (ht_packed_part_of(ht_fmt_find(q->now->format), &at, (ht_packed_part)part, &d) &&
            offset >= d.offset) {
            return ht_st_writer_write(q->writer, q->now->parts[part], offset - d.offset, data,
                                      bytes);
        }
    }
    return HT_ERR_INVALID;
}

// Shapes: up [N, rank]; down [rank, K], or of a convolution [rank, I, kh, kw].
void ht_quantize_add_branch(const ht_quantizer *q, ht_quantize_plan *p) {
    const ht_tensor_desc *file = &p->entry->info.desc;
    char layer[HT_ST_MAX_NAME + 1], name[HT_ST_MAX_NAME + 32];
    uint64_t dims[HT_MAX_RANK] = {p->rank};
    uint64_t inputs = 1;
    ht_weight_layer(p->entry->info.name, layer, sizeof layer);
    for (uint32_t i = 1; i < file->rank; i++) {
        dims[i] = file->dims[i];
        inputs *= file->dims[i];
    }
    const uint64_t down = 2 * p->rank * inputs, up = 2 * (uint64_t)p->rank * file->dims[0];
    snprintf(name, sizeof name, "%s%s", layer, HT_LOW_RANK_DOWN);
    p->down = ht_st_writer_add(q->writer, name, "F16", file->rank, dims, down);
    snprintf(name, sizeof name, "%s%s", layer, HT_LOW_RANK_UP);
    p->up =
        ht_st_writer_add(q->writer, name, "F16", 2, (const uint64_t[]){file->dims[0], p->rank}, up);
    p->bytes += down + up;
}

// ---- values

typedef struct whole {
    const ht_quantizer *q;
    const ht_quantize_plan *p;
    uint64_t count, inputs;              // of values; of an output
    const float *of_inputs, *of_outputs; // factors, or NULL
    float *values, *scratch;
    void *packed;
    float *up, *down;
} whole;

static void multiply(const whole *w) {
    const ht_tensor_desc *file = &w->p->entry->info.desc;
    const uint64_t channels = file->rank < 2 ? 1 : file->dims[1], taps = w->inputs / channels;
    for (uint64_t i = 0; i < w->count; i++) {
        w->values[i] *= w->of_inputs ? w->of_inputs[i % w->inputs / taps] : 1;
        w->values[i] *= w->of_outputs ? w->of_outputs[i / w->inputs] : 1;
    }
}

static ht_status read_values(const whole *w) {
    const ht_weights_entry *entry = w->p->entry;
    ht_weights_unpack(entry, 0, w->values, w->count);
    multiply(w);
    for (uint64_t i = 0; i < w->count; i++) {
        if (!isfinite(w->values[i])) {
            return ht_fail(w->q->weights->context, HT_ERR_IO,
                           "weights '%s': tensor '%s' has %s at index %llu and cannot be packed",
                           entry->info.file, entry->info.name,
                           isnan(w->values[i]) ? "NaN" : "infinity", (unsigned long long)i);
        }
    }
    return HT_OK;
}

static ht_status write_plain(const whole *w) {
    const ht_weights_entry *entry = w->p->entry;
    const ht_format format = entry->info.desc.format;
    if (format == HT_FORMAT_NONE || ht_format_is_packed(format)) {
        return ht_fail(w->q->weights->context, HT_ERR_UNSUPPORTED,
                       "weights '%s': tensor '%s' of %s cannot be multiplied", entry->info.file,
                       entry->info.name, entry->info.dtype);
    }
    ht_format_pack(format, w->values, w->scratch, w->count);
    return ht_st_writer_write(w->q->writer, w->p->parts[0], 0, w->scratch, w->p->bytes);
}

ht_status ht_quantize_values(const ht_quantizer *q, const ht_quantize_plan *p, float **out) {
    whole w = {.p = p, .q = q, .count = ht_desc_count(&p->device)};
    const ht_weight_order order = ht_quantize_order(p);
    float *moved = NULL;
    ht_status status = HT_ERR_NO_MEMORY;
    w.inputs = w.count / p->entry->info.desc.dims[0];
    if (q->desc->factors) {
        q->desc->factors(q->desc->user, p->entry->info.name, &w.of_inputs, &w.of_outputs);
    }
    w.values = ht_alloc(q->weights->context, w.count * sizeof *w.values);
    moved = w.values && p->taps > 1 ? ht_alloc(q->weights->context, w.count * sizeof *moved) : NULL;
    if (w.values && (moved || p->taps == 1)) {
        status = read_values(&w);
    }
    if (status == HT_OK && moved) {
        ht_weights_permute(w.values, moved, w.count / w.inputs, &order);
    }
    if (moved) {
        ht_free(q->weights->context, w.values);
        w.values = moved;
    }
    *out = w.values;
    return status;
}

// ---- layers

static ht_status write_halves(const whole *w, uint32_t tensor, const float *values,
                              uint64_t count) {
    ht_format_pack(HT_FORMAT_F16, values, w->scratch, count);
    return ht_st_writer_write(w->q->writer, tensor, 0, w->scratch, 2 * count);
}

// [rank, taps, I] -> [rank, I, taps], as files have convolutions.
static ht_status write_branch(const whole *w) {
    const uint64_t taps = w->p->taps, rank = w->p->rank;
    ht_status status = HT_OK;
    float *file = ht_alloc(w->q->weights->context, rank * w->inputs * sizeof *file);
    if (!file) {
        return HT_ERR_NO_MEMORY;
    }
    // The same exchange with the two sides' names swapped.
    const ht_weight_order order = {.channels = taps, .times = 1, .taps = w->inputs / taps};
    ht_weights_permute(w->down, file, rank, &order);
    HT_TRY(write_halves(w, w->p->down, file, rank * w->inputs));
    HT_TRY(write_halves(w, w->p->up, w->up, rank * (w->count / w->inputs)));
fail:
    ht_free(w->q->weights->context, file);
    return status;
}

static void note_error(const whole *w, ht_pack_error *error) {
    ht_desc_unpack(&w->p->device, w->packed, w->scratch);
    for (uint64_t i = 0; i < w->count; i++) {
        double off = (double)w->scratch[i] - w->values[i];
        const uint64_t row = i / w->inputs, column = i % w->inputs;
        for (uint32_t r = 0; r < w->p->rank; r++) {
            off += (double)w->up[row * w->p->rank + r] * w->down[r * w->inputs + column];
        }
        error->signal += (double)w->values[i] * w->values[i];
        error->noise += off * off;
    }
}

// All parts of the block, one after the other.
ht_status ht_quantize_write_parts(const ht_quantizer *q, const ht_quantize_plan *p,
                                  const void *block) {
    const uint8_t *bytes = block;
    ht_packed_layout at;
    ht_status status = HT_OK;
    ht_packed_layout_of(&p->device, &at);
    for (int part = 0; part < HT_PACKED_PARTS && status == HT_OK; part++) {
        ht_packed_part_desc d;
        if (ht_packed_part_of(ht_fmt_find(p->format), &at, (ht_packed_part)part, &d)) {
            status = ht_st_writer_write(q->writer, p->parts[part], 0, bytes + d.offset, d.bytes);
        }
    }
    return status;
}

static ht_status pack_layer(const whole *w, ht_pack_error *error) {
    const ht_quantize_desc *desc = w->q->desc;
    char name[HT_ST_MAX_NAME + 1];
    bool done = false;
    ht_status status = HT_OK;
    ht_weight_layer(w->p->entry->info.name, name, sizeof name);
    if (w->p->taps > 1) {
        memcpy(w->scratch, w->values, w->count * sizeof *w->values);
        const ht_weight_order order = ht_quantize_order(w->p);
        ht_weights_permute(w->scratch, w->values, w->count / w->inputs, &order);
    }
    const ht_quantize_layer layer = {.name = name,
                                     .desc = w->p->device,
                                     .values = w->values,
                                     .n_inputs = w->p->device.dims[w->p->device.rank - 1],
                                     .packed = w->packed,
                                     .rank = w->p->rank,
                                     .up = w->up,
                                     .down = w->down};
    if (desc->pack) {
        HT_TRY(desc->pack(desc->user, &layer, &done));
    }
    if (!done) {
        ht_desc_pack(&w->p->device, HT_SCALE_SEARCH, w->values, w->packed);
    }
    note_error(w, error);
    HT_TRY(ht_quantize_write_parts(w->q, w->p, w->packed));
    if (w->p->rank > 0) {
        HT_TRY(write_branch(w));
    }
fail:
    return status;
}

static ht_status take_memory(whole *w) {
    ht_context *context = w->q->weights->context;
    const bool packed = w->p->format != HT_FORMAT_NONE;
    const uint64_t branch = w->p->rank * (w->inputs + w->count / w->inputs);
    const uint64_t scratch = w->count > branch ? w->count : branch;
    w->values = ht_alloc(context, w->count * sizeof *w->values);
    w->scratch = w->values ? ht_alloc(context, scratch * sizeof *w->scratch) : NULL;
    w->packed = w->scratch && packed ? ht_alloc(context, ht_desc_bytes(&w->p->device)) : NULL;
    w->up = w->packed && w->p->rank ? ht_alloc(context, branch * sizeof *w->up) : NULL;
    w->down = w->up ? w->up + w->p->rank * (w->count / w->inputs) : NULL;
    return w->scratch && (w->packed || !packed) && (w->up || !w->p->rank) ? HT_OK
                                                                          : HT_ERR_NO_MEMORY;
}

ht_status ht_quantize_whole(ht_quantizer *q, const ht_quantize_plan *p, bool *done,
                            ht_pack_error *error) {
    whole w = {.q = q, .p = p, .count = ht_desc_count(&p->entry->info.desc)};
    const bool packed = p->format != HT_FORMAT_NONE;
    if (q->desc->factors) {
        q->desc->factors(q->desc->user, p->entry->info.name, &w.of_inputs, &w.of_outputs);
    }
    *done = w.count > 0 && (w.of_inputs || w.of_outputs || (packed && q->desc->pack));
    if (!*done) {
        return HT_OK;
    }
    w.inputs = p->entry->info.desc.rank < 2 ? 1 : w.count / p->entry->info.desc.dims[0];
    ht_status status = HT_OK;
    HT_TRY(take_memory(&w));
    HT_TRY(read_values(&w));
    HT_TRY(packed ? pack_layer(&w, error) : write_plain(&w));
fail:
    ht_free(q->weights->context, w.up);
    ht_free(q->weights->context, w.packed);
    ht_free(q->weights->context, w.scratch);
    ht_free(q->weights->context, w.values);
    return status;
}
