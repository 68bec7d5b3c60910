// A linear layer as a packed pair: how it is built, and what it is compared with.
#ifndef HT_TEST_PACKED_LINEAR_PAIR_H
#define HT_TEST_PACKED_LINEAR_PAIR_H

#include "packed_pair.h"

static inline ht_value linear_build(ht_graph *g, ht_value x, ht_value w, ht_value bias,
                                    const void *args) {
    (void)args;
    ht_epilogue epilogue = HT_EPILOGUE_NONE;
    epilogue.bias = bias;
    return ht_op_linear(g, x, w, &epilogue);
}

static inline void linear_on_codes(const packed_pair *pair, const void *x, const void *w,
                                   const float *bias, float *out) {
    const ht_ref_epilogue epilogue = {.bias = bias};
    const ht_ref_packed of_x = {&pair->x, x, pair->piece}, of_w = {&pair->w, w, 0};
    ht_ref_packed_linear(&of_x, &of_w, &epilogue, out);
}

static inline void linear_on_floats(const packed_pair *pair, const float *x, const float *w,
                                    const float *bias, float *out) {
    const ht_ref_epilogue epilogue = {.bias = bias};
    ht_ref_linear(x, pair->x.dims[0], pair->x.dims[1], w, pair->columns, &epilogue, out);
}

// x [rows, depth] and w [columns, depth].
static inline packed_pair linear_pair(uint32_t rows, uint32_t columns, uint32_t depth, ht_format w,
                                      ht_format x) {
    return (packed_pair){.x = {.format = x, .rank = 2, .dims = {rows, depth}},
                         .w = {.format = w, .rank = 2, .dims = {columns, depth}},
                         .columns = columns,
                         .taps = 1,
                         .build = linear_build,
                         .on_codes = linear_on_codes,
                         .on_floats = linear_on_floats};
}

#endif
