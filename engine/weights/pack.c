// Weights into packed formats, so many rows at a time that host memory stays small.
#include "pack.h"

#include "formats.h"

#include <math.h>
#include <string.h>

enum { CHUNK_VALUES = 1 << 18 };

typedef struct packing {
    ht_weights *weights;
    const ht_weights_entry *entry;
    ht_packed_layout whole;
    ht_weight_order order;    // of the file
    uint64_t rows;            // of a chunk
    float *values, *permuted; // of a chunk; the same memory when nothing moves
    float *decoded;           // of a chunk, when the error is asked for
    void *packed;
    const ht_pack_sink *sink;
    ht_pack_error *error; // or NULL
} packing;

// Values of rows as the device has them. NaN and infinity have no code and are refused.
static ht_status read_rows(const packing *p, uint64_t row, uint64_t rows) {
    const uint64_t width = p->whole.width * p->order.times, count = rows * width;
    ht_weights_unpack(p->entry, row * width, p->values, count);
    for (uint64_t i = 0; i < count; i++) {
        if (!isfinite(p->values[i])) {
            return ht_fail(p->weights->context, HT_ERR_IO,
                           "weights '%s': tensor '%s' has %s at index %llu and cannot be packed",
                           p->entry->info.file, p->entry->info.name,
                           isnan(p->values[i]) ? "NaN" : "infinity",
                           (unsigned long long)(row * width + i));
        }
    }
    if (ht_weight_order_moves(&p->order)) {
        ht_weights_permute(p->values, p->permuted, rows / p->order.taps, &p->order);
    }
    return HT_OK;
}

// The scale of the whole tensor, where the format has one, needs all values first. Those of rows do not.
static ht_status find_tensor_scale(const packing *p, const ht_fmt_row *format, float *scale) {
    ht_status status = HT_OK;
    float largest = 0;
    *scale = 1;
    if (format->scale != HT_FMT_SCALE_E4M3) {
        return HT_OK;
    }
    for (uint64_t row = 0; row < p->whole.rows; row += p->rows) {
        const uint64_t rows = p->whole.rows - row < p->rows ? p->whole.rows - row : p->rows;
        HT_TRY(read_rows(p, row, rows));
        for (uint64_t i = 0; i < rows * p->whole.width; i++) {
            largest = fmaxf(largest, fabsf(p->permuted[i]));
        }
    }
    *scale = ht_fmt_outer_scale(format, largest);
fail:
    return status;
}

// The parts of a packed chunk to where they lie in the whole.
static ht_status write_rows(const packing *p, const ht_packed_layout *part, uint64_t row) {
    const ht_pack_sink *sink = p->sink;
    const uint8_t *from = p->packed;
    const uint64_t scales = part->scale_row_bytes;
    ht_status status = HT_OK;
    HT_TRY(sink->write(sink->user, row * part->row_bytes, from, part->rows * part->row_bytes));
    HT_TRY(sink->write(sink->user, p->whole.scales_offset + row * scales,
                       from + part->scales_offset, part->rows * scales));
    if (part->zeros_offset != part->outer_offset) {
        HT_TRY(sink->write(sink->user, p->whole.zeros_offset + row * part->groups,
                           from + part->zeros_offset, part->rows * part->groups));
    }
    if (p->whole.outers > 1) {
        HT_TRY(sink->write(sink->user, p->whole.outer_offset + row * sizeof(float),
                           from + part->outer_offset, part->rows * sizeof(float)));
    }
fail:
    return status;
}

// What coding the chunk lost.
static void note_error(const packing *p, const ht_tensor_desc *part) {
    const uint64_t count = ht_desc_count(part);
    ht_desc_unpack(part, p->packed, p->decoded);
    for (uint64_t i = 0; i < count; i++) {
        const double value = p->permuted[i], off = p->decoded[i] - value;
        p->error->signal += value * value;
        p->error->noise += off * off;
    }
}

static ht_status pack_rows(const packing *p, const ht_tensor_desc *desc) {
    const ht_fmt_row *format = ht_fmt_find(desc->format);
    float tensor_scale;
    ht_status status = find_tensor_scale(p, format, &tensor_scale);
    for (uint64_t row = 0; status == HT_OK && row < p->whole.rows; row += p->rows) {
        const uint64_t rows = p->whole.rows - row < p->rows ? p->whole.rows - row : p->rows;
        const ht_tensor_desc part = {
            .format = desc->format, .rank = 2, .dims = {(uint32_t)rows, p->whole.width}};
        ht_packed_layout layout;
        ht_packed_layout_of(&part, &layout);
        HT_TRY(read_rows(p, row, rows));
        ht_fmt_pack_rows(&part, HT_SCALE_SEARCH, tensor_scale, p->permuted, p->packed);
        HT_TRY(write_rows(p, &layout, row));
        if (p->error) {
            note_error(p, &part);
        }
    }
    if (format->scale == HT_FMT_SCALE_E4M3) {
        HT_TRY(p->sink->write(p->sink->user, p->whole.outer_offset, &tensor_scale,
                              sizeof tensor_scale));
    }
fail:
    return status;
}

static ht_status take_memory(packing *p, const ht_tensor_desc *part) {
    ht_context *context = p->weights->context;
    const size_t bytes = p->rows * p->whole.width * sizeof *p->values;
    const bool moves = ht_weight_order_moves(&p->order);
    p->values = ht_alloc(context, bytes * p->order.times);
    p->permuted = p->values && moves ? ht_alloc(context, bytes) : p->values;
    p->packed = p->permuted ? ht_alloc(context, ht_desc_bytes(part)) : NULL;
    p->decoded = p->packed && p->error ? ht_alloc(context, bytes) : NULL;
    return p->packed && (p->decoded || !p->error) ? HT_OK : HT_ERR_NO_MEMORY;
}

ht_status ht_weights_pack(ht_weights *weights, const ht_weights_entry *entry,
                          const ht_tensor_desc *desc, const ht_weight_order *order,
                          const ht_pack_sink *sink, ht_pack_error *error) {
    ht_context *context = weights->context;
    packing p = {.weights = weights,
                 .entry = entry,
                 .order = *order,
                 .sink = sink,
                 .error = error};
    ht_packed_layout_of(desc, &p.whole);
    if (p.whole.rows == 0 || p.whole.width == 0) {
        return HT_OK;
    }
    // Whole output channels: their taps are beside each other in the file.
    const uint64_t unit = order->taps * order->times * p.whole.width;
    p.rows = order->taps * (unit < CHUNK_VALUES ? CHUNK_VALUES / unit : 1);
    p.rows = p.rows < p.whole.rows ? p.rows : p.whole.rows;
    const ht_tensor_desc part = {
        .format = desc->format, .rank = 2, .dims = {(uint32_t)p.rows, p.whole.width}};
    ht_status status = take_memory(&p, &part);
    if (status == HT_OK) {
        status = pack_rows(&p, desc);
    }
    ht_free(context, p.decoded);
    ht_free(context, p.packed);
    if (p.permuted != p.values) {
        ht_free(context, p.permuted);
    }
    ht_free(context, p.values);
    return status;
}
