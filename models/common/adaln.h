// Norms whose shift, scale and gate come from the timestep, one row each of a table that is made for
// the whole schedule at once (adaLN-single, Chen et al. 2023, "PixArt-alpha").
#ifndef HT_MODELS_ADALN_H
#define HT_MODELS_ADALN_H

#include "layers.h"

// The modulation rows of a step, and how to cut them.
typedef struct ht_adaln {
    ht_value rows; // [M, C] when one row of steps serves the batch, else [B, M, C]
    bool shared;
} ht_adaln;

// table [R, M, C], step I32 [1] or [B]: which row
ht_adaln ht_adaln_pick(const ht_nn *nn, ht_value table, ht_value step);
// Row `index`: [1, C] or [B, 1, C]
ht_value ht_adaln_row(const ht_nn *nn, const ht_adaln *m, uint32_t index);
// Norm without own weights, then x * (1 + scale) + shift, which are the rows `index` + 1 and `index`.
ht_value ht_adaln_norm(const ht_nn *nn, const ht_adaln *m, uint32_t index, ht_value x, float eps);
// The same behind prefix.weight and prefix.bias.
ht_value ht_adaln_own_norm(const ht_nn *nn, const ht_adaln *m, uint32_t index, const char *prefix,
                           ht_value x, float eps);

// For the table: x [R, n] -> [R, count, n], every row `count` times.
ht_value ht_adaln_repeat(const ht_nn *nn, ht_value x, uint32_t rows, uint32_t count);
// The tensors "<blocks>.<i>.scale_shift_table", of `width` values each, as one constant.
// -> [layers, width] f32
ht_value ht_adaln_tables(const ht_nn *nn, const char *blocks, uint32_t layers, uint32_t width);
// What all blocks are given, six [R, 6C], plus their tables, then what the last norm is given,
// embedded [R, C], plus its table [2, C], which the checkpoint has as rank `rank`.
// -> [R, 6 layers + 2, C]
ht_value ht_adaln_table(const ht_nn *nn, const char *blocks, uint32_t layers, uint32_t rank,
                        ht_value six, ht_value embedded);

#endif
