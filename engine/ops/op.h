// How an op plugs into the graph: what its file exports, and what the graph gives it.
#ifndef HT_OP_H
#define HT_OP_H

#include "gpu.h"
#include "ht_copy_layout.h"

#include <halftone/ops.h>

enum { HT_MAX_INPUTS = 14, HT_MAX_PARAM_BYTES = 80 };

// One node as its op sees it: shapes while building, addresses too while recording.
typedef struct ht_op_call {
    ht_context *context;
    const char *label;  // for messages
    const void *params; // the op's own struct, copied into the node
    uint32_t n_inputs;
    ht_tensor_desc in[HT_MAX_INPUTS]; // format NONE: absent optional input
    ht_tensor_desc out;
    uint64_t in_address[HT_MAX_INPUTS]; // 0 while building and for absent inputs
    uint64_t out_address;
    uint64_t scratch_address;
    uint32_t variant;       // of the graph, while recording
    ht_format copy;         // packed format of a second result, ht_op_copy_offset(&out) behind it
    uint64_t scale_address; // of the f32 by which a packed result is divided; 0: found by row
} ht_op_call;

typedef struct ht_op_def ht_op_def;

// A norm of the rows of input 0: (x - mean) / sqrt(mean of the squares of that + eps), with the mean of
// the row, or 0; times input 1 and plus input 2, f32 each, where there are any.
typedef struct ht_op_norm {
    float eps;
    bool centre;
} ht_op_norm;

// What a node is asked to do by itself of what another did to its input.
typedef struct ht_op_absorption {
    uint32_t input;                // of the asked node
    const ht_op_def *op;           // of the other
    const ht_op_call *before;      // the other
    void *params;                  // of the asked node: set where it needs to know more
    uint32_t slots[HT_MAX_INPUTS]; // set: which input the other's input i becomes, absent till now
} ht_op_absorption;

struct ht_op_def {
    const char *name;
    // Check every rule of the public header, in its order, then set call->out (its format is preset
    // to the graph's activation format). Failures go through ht_op_fail.
    ht_status (*infer)(ht_op_call *call);
    // Bytes of scratch memory, alive during this node only. NULL: none.
    uint64_t (*scratch)(const ht_op_call *call);
    // Choose the kernel from the context's tier and the shapes, fill the push struct, dispatch.
    ht_status (*record)(const ht_op_call *call, ht_vk_commands *commands);
    // The same node by ht_ref_<op> on plain floats (inputs unpacked by the caller; weights in their
    // device layout). NULL in `inputs` for absent ones. When the result is packed the caller packs
    // what is given here.
    ht_status (*reference)(const ht_op_call *call, const float *const *inputs, float *out);
    // Can `record` write this packed format instead of the floats `infer` said? Asked while the
    // graph is finished; call->out is still the float. NULL: never.
    bool (*packs)(const ht_op_call *call, ht_format format);
    // Can `record` write this packed format of its result besides the floats, at ht_op_copy_offset?
    // The codes are those of the floats as they are stored. NULL: never.
    bool (*packs_copy)(const ht_op_call *call, ht_format format);
    // Can `record` do by itself what another node did to an input? Then it is given what that node's
    // input 0 was, of the same count, under the shape that the input had. Asked while the graph is
    // finished, and again of what was before that. NULL: never.
    bool (*absorbs)(const ht_op_call *call, ht_op_absorption *wanted);
    // May the result lie where input 0 did? True only where each place is read last by the
    // invocation that writes it.
    bool in_place;
    // Is it a norm of rows and nothing else? Sets *out. NULL: no.
    bool (*norm)(const ht_op_call *call, ht_op_norm *out);
    // Of products with a weight, input 1: how rows are taken from input 0. NULL: no such product.
    void (*window)(const ht_op_call *call, ht_window *out);
};

// Add a node; used by the public builders. `params` may be NULL when params_bytes is 0.
// A failed input (id 0) or an absent required one makes the result fail.
ht_value ht_op_add_node(ht_graph *g, const ht_op_def *def, const ht_value *inputs,
                        uint32_t n_inputs, const void *params, size_t params_bytes);
// The result of a node that was added with exactly these; HT_NO_VALUE when there is none.
ht_value ht_op_find_node(const ht_graph *g, const ht_op_def *def, const ht_value *inputs,
                         uint32_t n_inputs, const void *params, size_t params_bytes);
// A value that is the same memory as `x` with another shape of the same count.
ht_value ht_op_add_alias(ht_graph *g, ht_value x, uint32_t rank, const uint32_t *dims);
// A value that is a part of x's memory, `offset` bytes from its start. HT_NO_VALUE, and nothing
// added, where kernels could not read it there (weights; offsets that are no multiple of 16).
ht_value ht_op_add_view(ht_graph *g, ht_value x, uint64_t offset, uint32_t rank,
                        const uint32_t *dims);
// Of quantize.c: the graph lets the producers of its inputs pack by themselves.
extern const ht_op_def ht_op_quantize_def;
// Of rope.c: whatever packs x can turn it on the way.
extern const ht_op_def ht_op_rope_def;
// Of a quantize node: bytes from the start of its scales, input 1, to the one it takes.
uint64_t ht_op_static_offset(const ht_op_call *call);
// ht_fail(HT_ERR_INVALID) with "<op> '<label>': " in front.
ht_status ht_op_fail(const ht_op_call *call, const ht_op_def *def, const char *format, ...)
    HT_PRINTF(3, 4);

static inline bool ht_op_has(const ht_op_call *call, uint32_t input) {
    return input < call->n_inputs && call->in[input].format != HT_FORMAT_NONE;
}

static inline bool ht_op_is_float(const ht_tensor_desc *desc) {
    return desc->format == HT_FORMAT_F32 || desc->format == HT_FORMAT_F16 ||
           desc->format == HT_FORMAT_BF16;
}

// Number of rows of a tensor seen as [rows, last dimension].
static inline uint64_t ht_op_rows(const ht_tensor_desc *desc) {
    return desc->rank == 0 ? 1 : ht_desc_count(desc) / desc->dims[desc->rank - 1];
}

// Where the packed copy of a result begins, in bytes from the start of the floats.
static inline uint64_t ht_op_copy_offset(const ht_tensor_desc *out) {
    return (ht_desc_bytes(out) + HT_COPY_ALIGNMENT - 1) / HT_COPY_ALIGNMENT * HT_COPY_ALIGNMENT;
}

static inline uint64_t ht_op_copy_bytes(const ht_tensor_desc *out, ht_format format) {
    ht_tensor_desc copy = *out;
    copy.format = format;
    return ht_desc_bytes(&copy);
}

static inline uint32_t ht_op_width(const ht_tensor_desc *desc) {
    return desc->rank == 0 ? 1 : desc->dims[desc->rank - 1];
}

#endif
