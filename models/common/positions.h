// Rotary positions of tokens on a grid of three axes (frame, row, column), as ht_op_rope takes them.
#ifndef HT_MODELS_POSITIONS_H
#define HT_MODELS_POSITIONS_H

#include <stdint.h>

// One axis: places first, first + step, .., `count` of them, which turn `width` values of a head (even).
typedef struct ht_rotary_axis {
    double first, step;
    uint32_t count, width;
} ht_rotary_axis;

// Cosine and sine of each pair of a head's values, axis by axis, for every token; the last axis is the
// fastest. Pair j of an axis turns by place * 10000^(-2 j / width). Returns what is behind the table,
// [product of the counts, sum of the widths].
float *ht_rotary_grid(const ht_rotary_axis axes[3], float *table);

#endif
