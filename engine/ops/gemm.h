// What linear and conv2d share: inputs, the epilogue's rules, and the dispatch.
#ifndef HT_OP_GEMM_H
#define HT_OP_GEMM_H

#include "op_util.h"
#include "ref_gemm.h"

#include "gemm.shared.h"

enum { GEMM_X, GEMM_W, GEMM_BIAS, GEMM_GATE, GEMM_RESIDUAL, GEMM_INPUTS };

// Both floats, or w packed and x a float or packed.
ht_status ht_op_check_gemm_formats(const ht_op_call *call, const ht_op_def *def);
// Rules of the epilogue's inputs, once call->out has its shape.
ht_status ht_op_check_epilogue(const ht_op_call *call, const ht_op_def *def, ht_activation act);
// Tensors are indexed with 32 bits, and so are the bytes of packed ones.
ht_status ht_op_check_gemm_sizes(const ht_op_call *call, const ht_op_def *def);

// Record; `push` has the geometry (rows to pad_left), the rest is filled in here.
ht_status ht_op_record_gemm(const ht_op_call *call, ht_push_gemm *push, ht_activation act,
                            ht_vk_commands *commands);

// For `packs` and `packs_copy`: gemm_packed_cpu can write groups that are as wide as its tile.
bool ht_op_gemm_packs(const ht_op_call *call, ht_format format);
bool ht_op_gemm_packs_copy(const ht_op_call *call, ht_format format);

// A picture one row high under a 1x1 kernel.
ht_push_gemm ht_op_linear_push(uint32_t rows, uint32_t columns, uint32_t depth);
// The same geometry as readers of x see it.
ht_window ht_op_gemm_window(const ht_push_gemm *push);
// Addresses of the inputs and the result, and how rows share the gate's.
void ht_op_gemm_addresses(const ht_op_call *call, ht_push_gemm *push);
// An absent input counts as the result's format, so that it makes no other pipeline.
uint32_t ht_op_gemm_format(const ht_op_call *call, uint32_t input);

// winograd.c: 3 x 3 convolutions of floats with many pixels and channels, on the CPU tier.
bool ht_op_use_winograd(const ht_op_call *call, const ht_push_gemm *push);
uint64_t ht_op_winograd_scratch(const ht_push_gemm *push);
ht_status ht_op_record_winograd(const ht_op_call *call, const ht_push_gemm *push,
                                ht_activation act, ht_vk_commands *commands);

ht_ref_epilogue ht_op_ref_epilogue(const ht_op_call *call, const float *const *inputs,
                                   ht_activation act);

// The CPU kernels are written for these widths of a subgroup.
static inline bool ht_op_use_cpu_kernel(const ht_op_call *call) {
    const uint32_t lanes = ht_vk_get_limits(call->context)->subgroup_size;
    return ht_context_tier(call->context) == HT_TIER_CPU &&
           (lanes == 4 || lanes == 8 || lanes == 16);
}

// Are integer products to go by the device's dot product of four signed bytes?
static inline bool ht_op_has_dot(const ht_op_call *call) {
    const ht_tier tier = ht_context_tier(call->context);
    return tier == HT_TIER_DOT || (tier == HT_TIER_MATRIX && ht_vk_get_limits(call->context)->dot4);
}

#endif
