// Recording of row_norm.comp, for layer_norm and rms_norm, and for what takes over their work.
#ifndef HT_ROW_NORM_H
#define HT_ROW_NORM_H

#include "op_util.h"

// Inputs of both ops, in this order (rms_norm has only the first two).
enum { ROW_NORM_X, ROW_NORM_WEIGHT, ROW_NORM_BIAS, ROW_NORM_SCALE, ROW_NORM_SHIFT };

ht_status ht_op_record_row_norm(const ht_op_call *call, const ht_op_norm *norm,
                                ht_vk_commands *commands);

// What a norm takes off the rows of x [rows, width] and multiplies them with: f32 [rows, 2] at
// `result`. The same numbers that ht_op_record_row_norm finds.
typedef struct ht_op_moments {
    uint64_t x, result; // addresses
    ht_format format;   // of x
    uint32_t rows, width;
} ht_op_moments;
ht_status ht_op_record_moments(const ht_op_call *call, const ht_op_norm *norm,
                               const ht_op_moments *moments, ht_vk_commands *commands);

// How many rows of x share one row of a modulation input; any number when it is absent.
uint64_t ht_op_rows_per(const ht_op_call *call, uint32_t input);

#endif
