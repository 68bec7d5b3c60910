// Residual stacks of a file that is being made. The blocks of all layers are put into one order, the
// most useful first: whatever of them is loaded is a prefix of that. Useful is what takes most off a
// layer's relative squared error for its bytes, behind the first block of every layer. Layers are gone
// over twice, once to learn the errors and once to write, so that one is in memory at a time.
#include "quantize_internal.h"
#include "stack.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BLOCKS = 8 }; // of a layer: the last changes it by a percent or two

typedef struct ht_quantize_block {
    uint32_t plan, number;
    double gain;   // of relative squared error, per byte
    uint32_t part; // in the file
    bool listed;
} ht_quantize_block;

// Called with each block in turn; `left` is the relative squared error behind it.
typedef struct block_sink {
    ht_status (*take)(void *user, uint32_t number, const ht_stack_layout *at, const void *block,
                      double left);
    void *user;
} block_sink;

static ht_status decompose(const ht_quantizer *q, const ht_quantize_plan *p, const block_sink *sink,
                           ht_pack_error *error) {
    ht_context *context = q->weights->context;
    ht_stack_layout at;
    ht_status status = HT_OK;
    float *rest = NULL;
    double signal = 0, left = 0;
    ht_stack_layout_of(&p->device, p->stack_rank, &at);
    void *block = ht_alloc(context, at.bytes);
    HT_TRY(block ? HT_OK : HT_ERR_NO_MEMORY);
    HT_TRY(ht_quantize_values(q, p, &rest));
    for (uint64_t i = 0; i < at.rows * at.width; i++) {
        signal += (double)rest[i] * rest[i];
    }
    for (uint32_t b = 0; b < p->n_blocks; b++) {
        left = ht_stack_take(context, &at, rest, block);
        HT_TRY(left < HUGE_VAL ? HT_OK : HT_ERR_NO_MEMORY);
        HT_TRY(sink->take(sink->user, b, &at, block, signal > 0 ? left / signal : 0));
    }
    error->signal += signal;
    error->noise += left;
fail:
    ht_free(context, rest);
    ht_free(context, block);
    return status;
}

// ---- the order

typedef struct note {
    ht_quantize_block *blocks; // of the layer
    double before;
} note;

static ht_status note_gain(void *user, uint32_t number, const ht_stack_layout *at,
                           const void *block, double left) {
    note *n = user;
    (void)block;
    n->blocks[number].gain = (n->before - left) / (double)at->bytes;
    n->before = left;
    return HT_OK;
}

ht_status ht_quantize_plan_stacks(ht_quantizer *q) {
    ht_status status = HT_OK;
    uint32_t count = 0;
    for (uint32_t i = 0; i < q->weights->n_entries; i++) {
        count += ht_format_is_stack(q->plans[i].format);
    }
    if (count == 0) {
        return HT_OK;
    }
    q->blocks = ht_alloc(q->weights->context, (size_t)count * BLOCKS * sizeof *q->blocks);
    HT_TRY(q->blocks ? HT_OK : HT_ERR_NO_MEMORY);
    for (uint32_t i = 0; i < q->weights->n_entries; i++) {
        ht_quantize_plan *p = &q->plans[i];
        if (!ht_format_is_stack(p->format)) {
            continue;
        }
        ht_pack_error error = {0};
        ht_stack_layout at;
        p->stack_rank = ht_stack_rank(&p->device);
        p->stack_first = q->n_blocks;
        p->n_blocks = BLOCKS;
        ht_stack_layout_of(&p->device, p->stack_rank, &at);
        p->block_bytes = at.bytes;
        for (uint32_t b = 0; b < BLOCKS; b++) {
            q->blocks[q->n_blocks++] = (ht_quantize_block){.plan = i, .number = b};
        }
        note n = {.blocks = &q->blocks[p->stack_first], .before = 1};
        const block_sink sink = {note_gain, &n};
        HT_TRY(decompose(q, p, &sink, &error));
    }
fail:
    return status;
}

// The best of each layer's next blocks; UINT32_MAX: none is left.
static uint32_t next_block(const ht_quantizer *q, bool first) {
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < q->n_blocks; i++) {
        const ht_quantize_block *b = &q->blocks[i];
        const bool ready = b->number == 0 || q->blocks[i - 1].listed;
        if (!b->listed && ready && (b->number == 0) == first &&
            (best == UINT32_MAX || b->gain > q->blocks[best].gain)) {
            best = i;
        }
    }
    return best;
}

ht_status ht_quantize_add_stacks(const ht_quantizer *q) {
    char name[HT_ST_MAX_NAME + 32];
    for (uint32_t n = 0; n < q->n_blocks; n++) {
        const uint32_t first = next_block(q, true);
        ht_quantize_block *b = &q->blocks[first != UINT32_MAX ? first : next_block(q, false)];
        const ht_quantize_plan *p = &q->plans[b->plan];
        const uint64_t bytes = p->block_bytes;
        const int length = snprintf(name, sizeof name, "%s", p->entry->info.name);
        if (b->number > 0) {
            snprintf(name + length, sizeof name - (size_t)length, HT_STACK_BLOCK_SUFFIX, b->number);
        }
        b->part = ht_st_writer_add(q->writer, name, "U8", 1, &bytes, bytes);
        b->listed = true;
    }
    return HT_OK;
}

// ---- data

typedef struct writing {
    const ht_quantizer *q;
    const ht_quantize_plan *p;
} writing;

static ht_status write_block(void *user, uint32_t number, const ht_stack_layout *at,
                             const void *block, double left) {
    const writing *w = user;
    (void)left;
    return ht_st_writer_write(w->q->writer, w->q->blocks[w->p->stack_first + number].part, 0, block,
                              at->bytes);
}

ht_status ht_quantize_write_stack(ht_quantizer *q, const ht_quantize_plan *p,
                                  ht_pack_error *error) {
    writing w = {q, p};
    const block_sink sink = {write_block, &w};
    return decompose(q, p, &sink, error);
}
