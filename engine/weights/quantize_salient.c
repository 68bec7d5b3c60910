// Layers some of whose inputs are kept apart (after PTQ1.61): a share of the columns, those in which
// the layer's format loses most of the outputs, is packed in a better one. The mask is one for all
// outputs, so that a layer is two products of matrices, each of columns that lie together.
#include "quantize_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REST, SALIENT, PIECES };

static const char *const suffixes[PIECES] = {HT_SALIENT_REST, HT_SALIENT_WEIGHT};

ht_status ht_quantize_plan_salient(const ht_quantizer *q, const char *layer, ht_quantize_plan *p) {
    const uint32_t last = p->device.rank - 1, inputs = p->device.dims[last];
    if (q->desc->salient) {
        q->desc->salient(q->desc->user, layer, &p->device, &p->salient);
    }
    if (!ht_format_is_packed(p->salient.format) || p->salient.count == 0 ||
        p->salient.count >= inputs) {
        return HT_OK;
    }
    p->pieces = ht_alloc(q->weights->context, PIECES * sizeof *p->pieces);
    if (!p->pieces) {
        return HT_ERR_NO_MEMORY;
    }
    for (int i = 0; i < PIECES; i++) {
        ht_quantize_plan *piece = &p->pieces[i];
        piece->entry = p->entry;
        piece->format = i == SALIENT ? p->salient.format : p->format;
        piece->device = p->device;
        piece->device.format = piece->format;
        piece->device.dims[last] = i == SALIENT ? p->salient.count : inputs - p->salient.count;
        piece->taps = p->taps;
    }
    return HT_OK;
}

void ht_quantize_add_salient(const ht_quantizer *q, ht_quantize_plan *p, json_t *tensors) {
    char layer[HT_ST_MAX_NAME + 1], name[HT_ST_MAX_NAME + 32];
    const uint64_t mask = (p->device.dims[p->device.rank - 1] + 7) / 8;
    ht_weight_layer(p->entry->info.name, layer, sizeof layer);
    p->bytes = mask;
    for (int i = 0; i < PIECES; i++) {
        ht_tensor_desc file = p->entry->info.desc;
        file.dims[1] = p->pieces[i].device.dims[p->device.rank - 1];
        snprintf(name, sizeof name, "%s%s", layer, suffixes[i]);
        ht_quantize_add_parts(q, &p->pieces[i], name, &file, tensors);
        p->bytes += p->pieces[i].bytes;
    }
    snprintf(name, sizeof name, "%s%s", layer, HT_SALIENT_COLUMNS);
    p->columns = ht_st_writer_add(q->writer, name, "U8", 1, &mask, mask);
}

// ---- which

typedef struct column {
    double loss;
    uint32_t number;
} column;

static int by_loss(const void *a, const void *b) {
    const column *x = a, *y = b;
    if (x->loss != y->loss) {
        return x->loss < y->loss ? 1 : -1;
    }
    return x->number < y->number ? -1 : 1;
}

static int by_number(const void *a, const void *b) {
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

typedef struct split {
    const ht_quantizer *q;
    const ht_quantize_plan *p;
    uint32_t inputs;
    uint64_t rows;            // outputs times taps
    float *whole, *lost;      // [rows][inputs]
    float *values, *unpacked; // of a piece
    void *packed;
    uint32_t *columns; // [inputs], the salient ones first
    column *losses;
} split;

// Those of the greatest loss, all columns packed alike; each part in rising order.
static void choose(const split *s, const float *energy) {
    const uint32_t count = s->p->salient.count;
    ht_desc_pack(&s->p->device, HT_SCALE_SEARCH, s->whole, s->packed);
    ht_desc_unpack(&s->p->device, s->packed, s->unpacked);
    for (uint32_t c = 0; c < s->inputs; c++) {
        double loss = 0;
        for (uint64_t r = 0; r < s->rows; r++) {
            const double off = (double)s->unpacked[r * s->inputs + c] - s->whole[r * s->inputs + c];
            loss += off * off;
        }
        s->losses[c] = (column){loss * (energy ? energy[c] : 1), c};
    }
    qsort(s->losses, s->inputs, sizeof *s->losses, by_loss);
    for (uint32_t c = 0; c < s->inputs; c++) {
        s->columns[c] = s->losses[c].number;
    }
    qsort(s->columns, count, sizeof *s->columns, by_number);
    qsort(s->columns + count, s->inputs - count, sizeof *s->columns, by_number);
}

// ---- packing

static ht_status pack_piece(const split *s, int which) {
    const ht_quantize_plan *piece = &s->p->pieces[which];
    const uint32_t width = piece->device.dims[piece->device.rank - 1];
    const uint32_t *columns = s->columns + (which == SALIENT ? 0 : s->p->salient.count);
    char layer[HT_ST_MAX_NAME + 1];
    bool done = false;
    ht_status status = HT_OK;
    ht_weight_layer(s->p->entry->info.name, layer, sizeof layer);
    for (uint64_t i = 0; i < s->rows * width; i++) {
        s->values[i] = s->whole[i / width * s->inputs + columns[i % width]];
    }
    const ht_quantize_layer task = {.name = layer,
                                    .desc = piece->device,
                                    .values = s->values,
                                    .columns = columns,
                                    .salient = which == SALIENT,
                                    .n_inputs = s->inputs,
                                    .whole = s->whole,
                                    .lost = s->lost,
                                    .packed = s->packed};
    if (s->q->desc->pack) {
        HT_TRY(s->q->desc->pack(s->q->desc->user, &task, &done));
    }
    if (!done) {
        ht_desc_pack(&piece->device, HT_SCALE_SEARCH, s->values, s->packed);
    }
    ht_desc_unpack(&piece->device, s->packed, s->unpacked);
    for (uint64_t i = 0; i < s->rows * width; i++) {
        s->lost[i / width * s->inputs + columns[i % width]] = s->unpacked[i] - s->values[i];
    }
    status = ht_quantize_write_parts(s->q, piece, s->packed);
fail:
    return status;
}

static ht_status write_mask(const split *s) {
    uint8_t *mask = s->packed; // larger: it has a bit for each column of at least one row
    memset(mask, 0, (s->inputs + 7) / 8);
    for (uint32_t i = 0; i < s->p->salient.count; i++) {
        mask[s->columns[i] / 8] |= (uint8_t)(1u << s->columns[i] % 8);
    }
    return ht_st_writer_write(s->q->writer, s->p->columns, 0, mask, (s->inputs + 7) / 8);
}

static ht_status take_memory(split *s) {
    ht_context *context = s->q->weights->context;
    const uint64_t count = s->rows * s->inputs;
    uint64_t bytes = ht_desc_bytes(&s->p->device);
    for (int i = 0; i < PIECES; i++) {
        const uint64_t own = ht_desc_bytes(&s->p->pieces[i].device);
        bytes = own > bytes ? own : bytes;
    }
    s->lost = ht_alloc(context, 3 * count * sizeof *s->lost);
    s->packed = s->lost ? ht_alloc(context, bytes) : NULL;
    s->columns = s->packed ? ht_alloc(context, s->inputs * sizeof *s->columns) : NULL;
    s->losses = s->columns ? ht_alloc(context, s->inputs * sizeof *s->losses) : NULL;
    s->values = s->lost + count;
    s->unpacked = s->values + count;
    return s->losses ? HT_OK : HT_ERR_NO_MEMORY;
}

ht_status ht_quantize_write_salient(const ht_quantizer *q, const ht_quantize_plan *p,
                                    ht_pack_error *error) {
    split s = {.q = q, .p = p, .inputs = p->device.dims[p->device.rank - 1]};
    ht_quantize_salient salient = {0};
    char layer[HT_ST_MAX_NAME + 1];
    ht_status status = HT_OK;
    s.rows = ht_desc_count(&p->device) / s.inputs;
    HT_TRY(take_memory(&s));
    HT_TRY(ht_quantize_values(q, p, &s.whole));
    ht_weight_layer(p->entry->info.name, layer, sizeof layer);
    q->desc->salient(q->desc->user, layer, &p->device, &salient);
    choose(&s, salient.energy);
    HT_TRY(pack_piece(&s, REST));
    HT_TRY(pack_piece(&s, SALIENT));
    for (uint64_t i = 0; i < s.rows * s.inputs; i++) {
        error->signal += (double)s.whole[i] * s.whole[i];
        error->noise += (double)s.lost[i] * s.lost[i];
    }
    status = write_mask(&s);
fail:
    ht_free(q->weights->context, s.losses);
    ht_free(q->weights->context, s.columns);
    ht_free(q->weights->context, s.packed);
    ht_free(q->weights->context, s.lost);
    ht_free(q->weights->context, s.whole);
    return status;
}
