// Recording of row_norm.comp, for layer_norm and rms_norm.
#ifndef HT_ROW_NORM_H
#define HT_ROW_NORM_H

#include "op_util.h"

// Inputs of both ops, in this order (rms_norm has only the first two).
enum { ROW_NORM_X, ROW_NORM_WEIGHT, ROW_NORM_BIAS, ROW_NORM_SCALE, ROW_NORM_SHIFT };

ht_status ht_op_record_row_norm(const ht_op_call *call, bool centre, float eps,
                                ht_vk_commands *commands);

// How many rows of x share one row of a modulation input; any number when it is absent.
uint64_t ht_op_rows_per(const ht_op_call *call, uint32_t input);

#endif
