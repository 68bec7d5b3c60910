// References of linear, conv2d and attention.
#ifndef HT_REF_GEMM_H
#define HT_REF_GEMM_H

#include "ref.h"

// y = act(sum + bias[n]);  y *= gate;  y += residual.  Absent arrays are NULL.
typedef struct ht_ref_epilogue {
    const float *bias;
    ht_activation act;
    const float *gate; // one row for each `rows_per_gate` rows of the result
    uint64_t rows_per_gate;
    const float *residual;
} ht_ref_epilogue;
float ht_ref_finish(const ht_ref_epilogue *epilogue, uint64_t row, uint32_t column,
                    uint32_t columns, double sum);

// x [rows, depth], w [columns, depth] -> out [rows, columns]
void ht_ref_linear(const float *x, uint64_t rows, uint32_t depth, const float *w, uint32_t columns,
                   const ht_ref_epilogue *epilogue, float *out);

typedef struct ht_ref_conv2d_args {
    uint32_t batch, in_h, in_w, in_channels;
    uint32_t out_h, out_w, out_channels;
    uint32_t kernel_h, kernel_w;
    uint32_t stride, upsample;
    uint32_t pad_top, pad_left;
    ht_ref_epilogue epilogue;
} ht_ref_conv2d_args;
// x [batch, in_h, in_w, in_channels], w [out_channels, kernel_h, kernel_w, in_channels]
void ht_ref_conv2d(const float *x, const float *w, const ht_ref_conv2d_args *args, float *out);

// The same on packed operands (ht_packed_layout), in the order that the device keeps to: the exact
// sum of a group's code products, rounded to f32; times (scale of x * scale of w); added to the
// total of the groups before, all in f32. A group is the shorter one of x and w, or a whole row of
// channels (also where scales of groups are whole numbers: they belong to the codes); of sums of bit
// planes, a row once for each plane. Bias and RELU keep the bits too, the rest
// of the epilogue is in double. NVFP4's scale of the tensor counts in w only.
typedef struct ht_ref_packed {
    const ht_tensor_desc *desc;
    const void *block;
    uint32_t piece; // of x: at most so many codes are summed before the scales; 0: a whole group
} ht_ref_packed;
void ht_ref_packed_conv2d(const ht_ref_packed *x, const ht_ref_packed *w,
                          const ht_ref_conv2d_args *args, float *out);
void ht_ref_packed_linear(const ht_ref_packed *x, const ht_ref_packed *w,
                          const ht_ref_epilogue *epilogue, float *out);

typedef struct ht_ref_attention_args {
    uint32_t batch, queries, keys, heads, head_dim;
    float scale;
    const float *rel_bias; // [queries + keys - 1, heads] or NULL
    const float *mask;     // [batch, keys] or NULL; -inf counts as a large finite number
    // As in ht_attention_plan, or NULL. No rel_bias with orders.
    const float *blocks, *orders, *head_orders;
    bool by_picture;
    uint32_t negligible; // as in ht_attention_plan; looked at by codes only
} ht_ref_attention_args;
// scratch: `keys` values.
void ht_ref_attention(const float *q, const float *k, const float *v,
                      const ht_ref_attention_args *args, double *scratch, float *out);
// What is kept, in what order (for references of attention).
uint32_t ht_ref_attention_token(const ht_ref_attention_args *args, uint32_t head,
                                uint32_t position);
bool ht_ref_attention_keeps(const ht_ref_attention_args *args, uint32_t image, uint32_t head,
                            uint32_t query, uint32_t key);
// By integer codes of `bits` 8 or 4 (ht_attention_products), those of weights and v E4M3 where
// e4m3, made with the roundings of f32 that the device has. No rel_bias. scratch:
// ht_ref_attention_codes_scratch values.
uint64_t ht_ref_attention_codes_scratch(const ht_ref_attention_args *args);
void ht_ref_attention_codes(const float *q, const float *k, const float *v,
                            const ht_ref_attention_args *args, uint32_t bits, bool e4m3,
                            double *scratch, float *out);

// Lists of the blocks that the means of blocks predict to matter (ht_attention_predict_args): of `args`
// the shapes, the scale and the orders count.
typedef struct ht_ref_predict_args {
    ht_ref_attention_args shape;
    double share, similarity;
    uint32_t text;
} ht_ref_predict_args;
// scratch: ht_ref_attention_predict_scratch values.
uint64_t ht_ref_attention_predict_scratch(const ht_ref_predict_args *args);
void ht_ref_attention_predict(const float *q, const float *k, const ht_ref_predict_args *args,
                              double *scratch, float *out);

#endif
