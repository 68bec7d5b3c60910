// Residual stacks of a file and on the device. docs/checkpoint.md describes the file.
#ifndef HT_WEIGHTS_STACK_H
#define HT_WEIGHTS_STACK_H

#include "stack_format.h"
#include "weights_table.h"

// A stacked weight. On the device it is a table: how many blocks there are, then their addresses.
typedef struct ht_stack {
    struct ht_stack *next;
    ht_stack_layout at;
    uint32_t blocks;
    struct {
        const uint8_t *data; // in the mapped file
        uint64_t offset;     // there
        uint64_t address;    // 0: not on the device
    } block[HT_STACK_MAX_BLOCKS];
    uint32_t loaded;
    bool listed; // among the blocks of all stacks: views may show it under two names
    ht_vk_range table; // no block: not on the device
} ht_stack;

// Behind the weight's name in that of a block's tensor; the first has the weight's own.
#define HT_STACK_BLOCK_SUFFIX ".block%u"

// The device's side of ht_weights_device.
ht_status ht_stack_device(ht_weights *weights, ht_weights_entry *entry, const ht_tensor_desc *desc,
                          uint64_t *address);
void ht_stacks_release(ht_weights *weights);

#endif
