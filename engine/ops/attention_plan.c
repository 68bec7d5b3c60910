// Orders of tokens and lists of kept blocks: what an ht_attention_plan is made of.
#include <halftone/attention.h>

#include "attention.shared.h"

_Static_assert(HT_ATTENTION_BLOCK_TOKENS == HT_ATTENTION_BLOCK,
               "the public header and the kernels know the same blocks");

enum { AXES = 3 };
static const char *const names[HT_ATTENTION_ORDERS] = {"FHW", "FWH", "HWF", "HFW", "WHF", "WFH"};

uint32_t ht_attention_grid_tokens(const ht_attention_grid *grid) {
    return grid->text + grid->frames * grid->height * grid->width;
}

const char *ht_attention_order_name(uint32_t order) {
    return order < HT_ATTENTION_ORDERS ? names[order] : "?";
}

void ht_attention_order(const ht_attention_grid *grid, uint32_t order, int32_t *tokens) {
    uint32_t count[AXES]; // of positions along each axis of the order, and how far apart they lie
    uint32_t stride[AXES];
    for (int axis = 0; axis < AXES; axis++) {
        const char name = names[order][axis];
        count[axis] = name == 'F' ? grid->frames : name == 'H' ? grid->height : grid->width;
        stride[axis] = name == 'F' ? grid->height * grid->width : name == 'H' ? grid->width : 1;
    }
    for (uint32_t i = 0; i < grid->text; i++) {
        *tokens++ = (int32_t)i;
    }
    for (uint32_t a = 0; a < count[0]; a++) {
        for (uint32_t b = 0; b < count[1]; b++) {
            for (uint32_t c = 0; c < count[2]; c++) {
                *tokens++ = (int32_t)(grid->text + a * stride[0] + b * stride[1] + c * stride[2]);
            }
        }
    }
}

uint32_t ht_attention_block_count(uint32_t tokens) {
    return tokens / HT_ATTENTION_BLOCK + (tokens % HT_ATTENTION_BLOCK != 0);
}

uint64_t ht_attention_lists_count(const uint8_t *keep, uint32_t heads, uint32_t rows,
                                  uint32_t columns) {
    const uint64_t lists = (uint64_t)heads * rows;
    uint64_t kept = 0;
    for (uint64_t i = 0; i < lists * columns; i++) {
        kept += keep[i] != 0;
    }
    return 2 * lists + kept;
}

void ht_attention_lists(const uint8_t *keep, uint32_t heads, uint32_t rows, uint32_t columns,
                        int32_t *blocks) {
    const uint64_t lists = (uint64_t)heads * rows;
    uint64_t next = 2 * lists;
    for (uint64_t list = 0; list < lists; list++) {
        blocks[2 * list] = (int32_t)next;
        for (uint32_t column = 0; column < columns; column++) {
            if (keep[list * columns + column] != 0) {
                blocks[next++] = (int32_t)column;
            }
        }
        blocks[2 * list + 1] = (int32_t)next - blocks[2 * list];
    }
}
