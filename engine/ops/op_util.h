// What several ops share: choices by alignment and tier, and one-dimensional dispatches.
#ifndef HT_OP_UTIL_H
#define HT_OP_UTIL_H

#include "op.h"
#include "ref.h"

#include <string.h>

// Can tensors be moved four values at a time? Every address a multiple of 8 (0: absent), every
// row of `width` values a multiple of 4.
static inline bool ht_op_wide(const ht_op_call *call, uint64_t width) {
    bool wide = width % 4 == 0 && call->out_address % 8 == 0;
    for (uint32_t i = 0; i < call->n_inputs; i++) {
        wide = wide && call->in_address[i] % 8 == 0;
    }
    return wide;
}

static inline uint32_t ht_op_min(uint64_t a, uint64_t b) {
    return (uint32_t)(a < b ? a : b);
}

// Workgroup size of kernels that reduce rows: one subgroup where that saves shared memory.
uint32_t ht_op_row_local(const ht_op_call *call);
// Pairs of quads of a row of `width` values that each of its invocations is to keep in registers, which
// pays where loads are the cost and few invocations share a row; 0: none, the row is read again.
uint32_t ht_op_row_kept(const ht_op_call *call, uint32_t width);

// Record a dispatch of `count` invocations, one thing each. constants[0] is set here.
ht_status ht_op_dispatch_flat(const ht_op_call *call, ht_vk_commands *commands,
                              ht_vk_dispatch_desc *dispatch, uint64_t count);

// Rules that many ops have. `what` names the input in the sentence.
ht_status ht_op_check_float(const ht_op_call *call, const ht_op_def *def, uint32_t input,
                            const char *what);
// Absent, or f32 [width].
ht_status ht_op_check_vector(const ht_op_call *call, const ht_op_def *def, uint32_t input,
                             uint32_t width, const char *what);

// The result has the shape of input 0.
void ht_op_same_shape(ht_op_call *call);

// --- copies (copy.c) ---------------------------------------------------------------------------

// Values of `rank` dims moved between two strided views; see ht_ref_copy.
typedef struct ht_op_copy {
    uint32_t rank;
    uint32_t dims[HT_MAX_RANK];
    ht_ref_view from, to;
    uint32_t input; // of the call
} ht_op_copy;
ht_status ht_op_record_copy(const ht_op_call *call, const ht_op_copy *copy,
                            ht_vk_commands *commands);
// Strides of a dense tensor.
void ht_op_dense_strides(uint32_t rank, const uint32_t *dims, uint64_t strides[HT_MAX_RANK]);

#endif
