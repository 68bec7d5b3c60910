// A low-rank branch beside packed weights: y = Q x + U (V x), where U V takes what rounding would
// lose most of (SVDQuant, Li et al. 2024).
#ifndef HT_OPTIMIZE_LOW_RANK_H
#define HT_OPTIMIZE_LOW_RANK_H

#include "reconstruct.h"

// U [N][rank] and V [rank][K] that make tr((D - U V) H (D - U V)^T) least, for a difference D
// [N][K] and the Gram matrix H [K][K] (NULL: the identity, the truncated SVD of D). The columns of U
// are orthonormal. rank <= rows.
ht_status ht_low_rank(ht_context *context, const float *difference, const float *gram,
                      uint32_t rows, uint32_t width, uint32_t rank, float *u, float *v);

// Alternates between the branch of what the codes lose and codes of what the branch leaves, until
// the error grows or `rounds` are done; u and v come as half floats have them, and `rounded` holds
// the codes of W - U V that go with them, by `rounding`.
ht_status ht_round_low_rank(ht_context *context, const ht_layer *layer, ht_rounding rounding,
                            uint32_t rank, uint32_t rounds, float *u, float *v,
                            ht_rounded *rounded);

#endif
