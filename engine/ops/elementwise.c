// One dispatch of elementwise.comp: result = f(a) or f(a, b) with b repeated.
#include "elementwise.h"

ht_status ht_op_record_elementwise(const ht_op_call *call, const ht_op_elementwise *what,
                                   ht_vk_commands *commands) {
    const bool two = ht_op_has(call, 1);
    const uint64_t count = ht_desc_count(&call->out);
    const bool gated = what->kind == HT_ELEMENTWISE_GATED;
    const uint64_t items = two && what->per_item ? call->in[1].dims[0] : 1;
    const uint64_t b_count = two     ? ht_desc_count(&call->in[1]) / items
                             : gated ? ht_op_width(&call->out)
                                     : count;
    const uint32_t walk = items > 1         ? HT_ELEMENTWISE_ITEMS
                          : b_count < count ? HT_ELEMENTWISE_REPEAT
                                            : HT_ELEMENTWISE_SAME;
    // b_count divides count, so that one test serves both.
    const bool wide = ht_op_wide(call, b_count);
    const uint32_t step = wide ? 4 : 1;
    const ht_push_elementwise push = {
        .a = call->in_address[0],
        .b = two ? call->in_address[1] : 0,
        .result = call->out_address,
        .count = (uint32_t)(count / step),
        .b_count = (uint32_t)(b_count / step),
        .item = (uint32_t)(count / items / step),
        .scale = what->scale,
        .shift = what->shift,
    };
    ht_vk_dispatch_desc dispatch = {
        .kernel = HT_KERNEL_elementwise,
        .constants = {[1] = what->kind,
                      what->act,
                      call->in[0].format,
                      two ? call->in[1].format : HT_FORMAT_F32,
                      call->out.format,
                      wide,
                      walk},
        .n_constants = 8,
        .push = &push,
        .push_bytes = sizeof push,
    };
    return ht_op_dispatch_flat(call, commands, &dispatch, push.count);
}
