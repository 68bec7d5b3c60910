// The ops a network is built from. Every builder returns a new value, or passes on a failed one.
//
// Letters: B batch, T tokens, C channels, H W rows and columns, N outputs, K inputs of a linear
// layer. Activations are channels-last: tokens [B, T, C], pictures [B, H, W, C]. Results have the
// graph's activation format (F32 or F16) unless said otherwise; sums are always kept in f32.
#ifndef HALFTONE_OPS_H
#define HALFTONE_OPS_H

#include <halftone/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ht_activation {
    HT_ACT_NONE,
    HT_ACT_SILU,
    HT_ACT_GELU_TANH,
    HT_ACT_GELU_ERF,
    HT_ACT_QUICK_GELU, // x * sigmoid(1.702 x)
    HT_ACT_RELU,
} ht_activation;

// What is done to a product before it is stored, in this order:
//   y = act(sum + bias[n]);  y *= gate;  y += residual
// Absent inputs are HT_NO_VALUE; use HT_EPILOGUE_NONE as the start of an initialiser.
typedef struct ht_epilogue {
    ht_value bias; // [N] f32
    ht_activation act;
    ht_value gate;     // [N], [1, .., N], [B, N], [B, 1, N] or the result's own shape
    ht_value residual; // the result's shape
} ht_epilogue;
#define HT_EPILOGUE_NONE                                                                           \
    ((ht_epilogue){.bias = HT_NO_VALUE, .gate = HT_NO_VALUE, .residual = HT_NO_VALUE})

// y[.., n] = sum_k x[.., k] w[n, k].   x [.., K], w [N, K] -> [.., N]
HT_API ht_value ht_op_linear(ht_graph *g, ht_value x, ht_value w, const ht_epilogue *epilogue);

typedef struct ht_conv2d_args {
    uint32_t stride; // 1 or 2 (or any: patch embedding uses stride = kernel)
    uint32_t pad_top, pad_left, pad_bottom, pad_right; // zeros
    uint32_t upsample; // 1, or 2: the input is read as if enlarged by nearest neighbour first
    ht_epilogue epilogue;
} ht_conv2d_args;
// x [B, H, W, I], w [O, kh, kw, I] (HT_WEIGHT_CONV) -> [B, H', W', O]
HT_API ht_value ht_op_conv2d(ht_graph *g, ht_value x, ht_value w, const ht_conv2d_args *args);

// What multiplies in an attention. Integer codes: q and k of eight or four bits with a scale a token
// and head, after their means over the tokens (of q over 64, with four bits) were taken off; weights
// of seven bits (or E4M3) with a scale a query and 64 keys, v of eight (or E4M3) with a scale a
// channel, after its mean was taken off; sums in int32 (of E4M3 in f32), then f32 (Zhang et al. 2025,
// SageAttention). D is a multiple of 4.
typedef enum ht_attention_products {
    HT_ATTENTION_FLOATS,
    HT_ATTENTION_INT8,
    HT_ATTENTION_INT4,
} ht_attention_products;

// Attention of some blocks of 64 queries x 64 keys only, of tokens in another order than they are
// stored in, by integer codes. Values are I32; halftone/attention.h makes them.
typedef struct ht_attention_plan {
    // Which blocks are kept, or HT_NO_VALUE for all. [n]: for each head and block of queries two
    // numbers, where in this tensor its list starts and how many entries that has; the entries are
    // numbers of blocks of keys. Dropped keys have no part in the softmax; a list without entries
    // gives 0. Nothing of a dropped block is read or computed.
    ht_value blocks;
    // [orders, T] the token at each position, and [heads] which of the orders each head has; both or
    // HT_NO_VALUE. Blocks are of positions then. Results stay where their tokens are. Tq = Tk.
    ht_value orders, head_orders;
    ht_attention_products products; // no rel_bias with codes
    // NULL, or instead of `products` one for each variant of the graph (ht_graph_set_variants).
    const ht_attention_products *by_variant;
    ht_format values; // of the weights' and v's codes: HT_FORMAT_NONE or INT8, or E4M3
    // With codes: a query gives nothing to the keys of a block whose weights are all below 2^-negligible
    // of its largest so far, block after block of its list. 0: it always does.
    uint32_t negligible;
    // `blocks` has the lists of each picture of the batch, one after the other.
    bool by_picture;
} ht_attention_plan;
#define HT_ATTENTION_PLAN_NONE                                                                     \
    ((ht_attention_plan){.blocks = HT_NO_VALUE, .orders = HT_NO_VALUE, .head_orders = HT_NO_VALUE})

// Scaled dot-product attention with online softmax; never an S x S tensor.
typedef struct ht_attention_args {
    uint32_t heads; // C = heads * D; the head is the slow part of C
    float scale;    // multiplies q.k; 1/sqrt(D) when 0
    ht_value
        rel_bias;  // [Tq + Tk - 1, heads] f32: added to the score of (q, k) is row k - q + Tq - 1
    ht_value mask; // [B, Tk] f32, added to the scores of every query
    const ht_attention_plan *plan; // NULL: all blocks, in the order of the tokens, floats
} ht_attention_args;
// q [B, Tq, C], k [B, Tk, C], v [B, Tk, C] -> [B, Tq, C]
HT_API ht_value ht_op_attention(ht_graph *g, ht_value q, ht_value k, ht_value v,
                                const ht_attention_args *args);

// Which blocks of an attention matter, predicted while running (Zhang et al. 2025, SpargeAttn): the
// softmax over the means of blocks of keys of the mean of a block of queries; the most probable blocks
// that are `share` of it together, the last one included, are kept. A mean stands for its block where
// the rows are alike: blocks whose similarity, the mean of the cosines of all pairs of rows (of k - its
// mean over the tokens), is not above `similarity` are kept with all that they are paired with. So are
// blocks with a token of the text.
typedef struct ht_attention_predict_args {
    uint32_t heads;
    float scale;                  // as in ht_attention_args
    float share;                  // above 0, up to 1: everything
    float similarity;             // -1 to 1; 0.1 is usual
    uint32_t text;                // tokens of text in front
    ht_value orders, head_orders; // as in ht_attention_plan
} ht_attention_predict_args;
// q [B, Tq, C], k [B, Tk, C], D a multiple of 4 -> I32, ht_attention_plan.blocks with by_picture; what
// is not used of it is 0.
HT_API ht_value ht_op_attention_predict(ht_graph *g, ht_value q, ht_value k,
                                        const ht_attention_predict_args *args);

// Rotary positions (Su et al. 2021): each pair of neighbours (a, b) of a head becomes
// (a cos - b sin, a sin + b cos).  x [B, T, heads * D], table [T, D] f32 with the cosine and the sine
// of each pair; D a multiple of 4
HT_API ht_value ht_op_rope(ht_graph *g, ht_value x, ht_value table);

typedef struct ht_layer_norm_args {
    float eps;
    ht_value weight, bias; // [C] f32 each, or HT_NO_VALUE
    ht_value scale, shift; // y = y * (1 + scale) + shift; [C], [B, C] or [B, 1, C], or HT_NO_VALUE
} ht_layer_norm_args;
// x [B, .., C]; over the last dimension
HT_API ht_value ht_op_layer_norm(ht_graph *g, ht_value x, const ht_layer_norm_args *args);

// y = x / sqrt(mean(x^2) + eps) * weight.  x [.., C], weight [C] f32 or HT_NO_VALUE
HT_API ht_value ht_op_rms_norm(ht_graph *g, ht_value x, ht_value weight, float eps);

typedef struct ht_group_norm_args {
    uint32_t groups; // divides C
    float eps;
    ht_value weight, bias; // [C] f32
    ht_activation act;     // applied to the result
    // [B, groups, 2] f32: mean and variance to normalise by, of a whole that x is a part of;
    // HT_NO_VALUE: x's own
    ht_value statistics;
} ht_group_norm_args;
// x [B, .., C]; statistics over all positions and the channels of a group, per batch item
HT_API ht_value ht_op_group_norm(ht_graph *g, ht_value x, const ht_group_norm_args *args);
// Mean and (biased) variance over all positions and the channels of a group.
// x [B, .., C] -> [B, groups, 2] f32
HT_API ht_value ht_op_group_statistics(ht_graph *g, ht_value x, uint32_t groups);

HT_API ht_value ht_op_activation(ht_graph *g, ht_value x, ht_activation act);
// x [.., 2N] -> [.., N]: first half * act(second half), as in GEGLU (Shazeer 2020).
HT_API ht_value ht_op_gated_activation(ht_graph *g, ht_value x, ht_activation act);
// b is broadcast over a's leading dimensions (its count divides a's and its dims are a's last
// dims), or has a's shape, or is [B, 1, .., C] for a [B, .., C].
HT_API ht_value ht_op_add(ht_graph *g, ht_value a, ht_value b);
HT_API ht_value ht_op_mul(ht_graph *g, ht_value a, ht_value b);
// y = x * scale + shift with scalars
HT_API ht_value ht_op_affine(ht_graph *g, ht_value x, float scale, float shift);

// Rows of a table, of floats or numbers (I32).  table [R, C..], ids [n..] I32 in 0..R-1 (clamped) -> [n.., C..]
HT_API ht_value ht_op_embedding(ht_graph *g, ht_value table, ht_value ids);
// Columns of the last dimension.  x [.., K], columns [n] I32 in 0..K-1 (clamped) -> [.., n]
HT_API ht_value ht_op_take(ht_graph *g, ht_value x, ht_value columns);

// The floats of a weight that is a residual stack of this rank (ht_weight_info.stack_rank), by the
// blocks that are on the device when the graph runs.  w -> the same shape
HT_API ht_value ht_op_unstack(ht_graph *g, ht_value w, uint32_t rank);

typedef struct ht_timestep_embedding_args {
    uint32_t dim;               // even
    bool flip_sin_to_cos;       // true: cos first
    float downscale_freq_shift; // 0 or 1
    float max_period;           // 10000 when 0
} ht_timestep_embedding_args;
// Sinusoidal embedding.  t [n] f32 -> [n, dim]
HT_API ht_value ht_op_timestep_embedding(ht_graph *g, ht_value t,
                                         const ht_timestep_embedding_args *args);

// Nearest neighbour, each side times `factor`.  x [B, H, W, C]. Prefer conv2d's own `upsample`.
HT_API ht_value ht_op_upsample(ht_graph *g, ht_value x, uint32_t factor);
HT_API ht_value ht_op_concat(ht_graph *g, ht_value a, ht_value b, uint32_t axis);
HT_API ht_value ht_op_slice(ht_graph *g, ht_value x, uint32_t axis, uint32_t begin, uint32_t count);
// result.dims[i] = x.dims[order[i]]
HT_API ht_value ht_op_permute(ht_graph *g, ht_value x, const uint32_t *order);
// Same values in the same order; no copy.
HT_API ht_value ht_op_reshape(ht_graph *g, ht_value x, uint32_t rank, const uint32_t *dims);
// Copy to another float format.
HT_API ht_value ht_op_cast(ht_graph *g, ht_value x, ht_format format);
// Into a packed format without zero points (not INT4Z), scales by HT_SCALE_MAX, NVFP4's scale of
// the tensor being 1. The same x and format give the same value. Packed values can be reshaped
// where the last dimension stays, and be an output of their own format; apart from that only
// products (linear, conv2d) read them. Where x has no other use and its op can, the op writes the
// packed format itself and x never exists in memory.
HT_API ht_value ht_op_quantize(ht_graph *g, ht_value x, ht_format format);
// The same with a scale for the whole tensor that is there before: scales[index], of a caller's
// tensor f32 [n] that may be written between runs. Larger values become the largest code. Only for
// formats with one scale a row.
HT_API ht_value ht_op_quantize_static(ht_graph *g, ht_value x, ht_format format, ht_value scales,
                                      uint32_t index);

#ifdef __cplusplus
}
#endif
#endif
