// What the files of quantizing share.
#ifndef HT_WEIGHTS_QUANTIZE_INTERNAL_H
#define HT_WEIGHTS_QUANTIZE_INTERNAL_H

#include "pack.h"
#include "packed_file.h"
#include "safetensors_writer.h"

#include <halftone/quantize.h>
#include <jansson.h>

// What becomes of one tensor of the checkpoint.
typedef struct ht_quantize_plan {
    const ht_weights_entry *entry;
    ht_format format; // NONE: copied
    ht_tensor_desc device;
    uint64_t taps, bytes;
    uint32_t parts[HT_PACKED_PARTS]; // numbers in the file
    uint32_t rank, down, up;         // of its low-rank branch, and that one's numbers
    uint32_t stack_rank, stack_first, n_blocks; // of a residual stack: the first of its q->blocks
    uint64_t block_bytes;
    ht_quantize_salient salient;
    struct ht_quantize_plan *pieces; // [2] where columns are kept apart: the rest, the salient ones
    uint32_t columns;                // their numbers in the file
} ht_quantize_plan;

// How its values lie in the file.
static inline ht_weight_order ht_quantize_order(const ht_quantize_plan *p) {
    return (ht_weight_order){
        .channels = p->device.rank > 0 ? p->device.dims[p->device.rank - 1] : 1,
        .times = 1,
        .taps = p->taps,
    };
}

typedef struct ht_quantizer {
    ht_weights *weights;
    const ht_quantize_desc *desc;
    ht_st_writer *writer;
    ht_quantize_plan *plans;
    const ht_quantize_plan *now; // being written
    uint32_t extra;              // number of the first of desc->extra
    struct ht_quantize_block *blocks; // of all residual stacks; n_blocks
    uint32_t n_blocks;
} ht_quantizer;

// quantize_stack.c: how much each block brings, which decides on their order in the file; list them there;
// write those of a plan.
ht_status ht_quantize_plan_stacks(ht_quantizer *q);
ht_status ht_quantize_add_stacks(const ht_quantizer *q);
ht_status ht_quantize_write_stack(ht_quantizer *q, const ht_quantize_plan *p, ht_pack_error *error);
// quantize_salient.c: plan columns that are kept apart; list them in the file; choose and write them.
ht_status ht_quantize_plan_salient(const ht_quantizer *q, const char *layer, ht_quantize_plan *p);
void ht_quantize_add_salient(const ht_quantizer *q, ht_quantize_plan *p, json_t *tensors);
ht_status ht_quantize_write_salient(const ht_quantizer *q, const ht_quantize_plan *p,
                                    ht_pack_error *error);
// List the parts of a packed tensor in the file; `file` is its shape there.
void ht_quantize_add_parts(const ht_quantizer *q, ht_quantize_plan *p, const char *name,
                           const ht_tensor_desc *file, json_t *tensors);
// All parts of a packed tensor's block.
ht_status ht_quantize_write_parts(const ht_quantizer *q, const ht_quantize_plan *p,
                                  const void *block);
// All values of a plan's tensor, multiplied by its factors, in the device's order; ht_alloc'ed.
ht_status ht_quantize_values(const ht_quantizer *q, const ht_quantize_plan *p, float **out);
// A sink: a piece of the block of q->now, which lies in one of its parts.
ht_status ht_quantize_write_part(void *user, uint64_t offset, const void *data, uint64_t bytes);
// List the tensors of the low-rank branch in the file.
void ht_quantize_add_branch(const ht_quantizer *q, ht_quantize_plan *p);
// Tensors that the caller packs or multiplies, with all values in memory; *done: this was one.
ht_status ht_quantize_whole(ht_quantizer *q, const ht_quantize_plan *p, bool *done,
                            ht_pack_error *error);

#endif
