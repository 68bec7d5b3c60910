// Recording of elementwise.comp, for the ops that are rows of it.
#ifndef HT_ELEMENTWISE_H
#define HT_ELEMENTWISE_H

#include "op_util.h"

#include "elementwise.shared.h"

typedef struct ht_op_elementwise {
    uint32_t kind; // HT_ELEMENTWISE_...
    ht_activation act;
    float scale, shift;
    bool per_item; // the second tensor has one row for each item of the first
} ht_op_elementwise;

ht_status ht_op_record_elementwise(const ht_op_call *call, const ht_op_elementwise *what,
                                   ht_vk_commands *commands);

#endif
