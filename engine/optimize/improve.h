// The best of several roundings of one layer, judged by rows of its inputs that were not calibrated
// on, activations being rounded as the layer will read them.
#ifndef HT_OPTIMIZE_IMPROVE_H
#define HT_OPTIMIZE_IMPROVE_H

#include "low_rank.h"

typedef struct ht_improve_desc {
    ht_rounding rounding;  // the best that may be used; those before it are tried too
    ht_format activations; // packed, or NONE: the layer reads floats
    const float *rows;     // [n_rows][K] inputs to judge by
    uint32_t n_rows;       // 0: the Gram matrix judges
    uint32_t rank;         // of a low-rank branch, 0: none
} ht_improve_desc;

typedef struct ht_improved {
    ht_rounding rounding;      // used
    double nearest_db, got_db; // signal to noise of the outputs, before and now
} ht_improved;

// `layer` has the weights and a Gram matrix. u [N][rank] and v [rank][K] may be NULL without a rank.
ht_status ht_improve(ht_context *context, const ht_layer *layer, const ht_improve_desc *desc,
                     float *u, float *v, ht_rounded *rounded, ht_improved *out);

// Rows as a layer reads them when they are packed: [n][K], scales as dynamic quantization has them,
// those of a convolution by pixel (`segment`).
ht_status ht_read_rows(ht_context *context, ht_format activations, uint32_t segment,
                       const float *rows, uint32_t n_rows, uint32_t width, float *out);

#endif
