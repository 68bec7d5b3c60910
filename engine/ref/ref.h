// Reference ops: the shortest honest loops over plain arrays of float, sums in double.
// What the device computes is compared with these.
#ifndef HT_REF_H
#define HT_REF_H

#include <halftone/ops.h>

float ht_ref_activate(float x, ht_activation act);
void ht_ref_activation(const float *x, uint64_t count, ht_activation act, float *out);
// x [rows, 2 width] -> [rows, width]: first half * act(second half)
void ht_ref_gated_activation(const float *x, uint64_t rows, uint32_t width, ht_activation act,
                             float *out);
void ht_ref_affine(const float *x, uint64_t count, float scale, float shift, float *out);

// b repeats every b_count values.
void ht_ref_add(const float *a, uint64_t count, const float *b, uint64_t b_count, float *out);
void ht_ref_mul(const float *a, uint64_t count, const float *b, uint64_t b_count, float *out);

// x [rows, width]; weight, bias [width] or NULL. scale and shift, or NULL, hold one row for each
// `rows_per_scale` rows of x.
typedef struct ht_ref_layer_norm_args {
    float eps;
    const float *weight, *bias, *scale, *shift;
    uint64_t rows_per_scale, rows_per_shift;
} ht_ref_layer_norm_args;
void ht_ref_layer_norm(const float *x, uint64_t rows, uint32_t width,
                       const ht_ref_layer_norm_args *args, float *out);
void ht_ref_rms_norm(const float *x, uint64_t rows, uint32_t width, const float *weight, float eps,
                     float *out);

// x [rows, width], of which `tokens` share the table [tokens, head] with cosine and sine of each pair
void ht_ref_rope(const float *x, uint64_t rows, uint32_t width, const float *table, uint32_t tokens,
                 uint32_t head, float *out);

// x [batch, positions, channels]; weight, bias [channels]
typedef struct ht_ref_group_norm_args {
    uint32_t groups;
    float eps;
    const float *weight, *bias;
    ht_activation act;
    const float *statistics; // [batch, groups, 2]: mean and variance; NULL: those of x
} ht_ref_group_norm_args;
void ht_ref_group_norm(const float *x, uint32_t batch, uint64_t positions, uint32_t channels,
                       const ht_ref_group_norm_args *args, float *out);
// out [batch, groups, 2]: mean and variance
void ht_ref_group_statistics(const float *x, uint32_t batch, uint64_t positions, uint32_t channels,
                             uint32_t groups, float *out);

// ids are whole numbers; those outside 0..rows-1 are clamped.
void ht_ref_embedding(const float *table, uint64_t rows, uint64_t width, const float *ids,
                      uint64_t n, float *out);
// x [rows, width] -> out [rows, n]: columns by number, whole ones, clamped to 0..width-1.
void ht_ref_take(const float *x, uint64_t rows, uint64_t width, const float *columns, uint64_t n,
                 float *out);
// freqs [dim / 2]
void ht_ref_timestep_embedding(const float *t, uint64_t n, const float *freqs, uint32_t dim,
                               bool flip_sin_to_cos, float *out);

// A copy between two strided views with the same dims: out[out_offset + i . out_strides] =
// x[in_offset + i . in_strides] for every index i.
typedef struct ht_ref_view {
    uint64_t offset;
    uint64_t strides[HT_MAX_RANK];
} ht_ref_view;
void ht_ref_copy(const float *x, const ht_ref_view *from, uint32_t rank, const uint32_t *dims,
                 const ht_ref_view *to, float *out);

#endif
