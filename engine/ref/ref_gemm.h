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

typedef struct ht_ref_attention_args {
    uint32_t batch, queries, keys, heads, head_dim;
    float scale;
    const float *rel_bias; // [queries + keys - 1, heads] or NULL
    const float *mask;     // [batch, keys] or NULL; -inf counts as a large finite number
} ht_ref_attention_args;
// scratch: `keys` values.
void ht_ref_attention(const float *q, const float *k, const float *v,
                      const ht_ref_attention_args *args, double *scratch, float *out);

#endif
