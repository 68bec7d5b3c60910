// Recording of copy.comp, for the ops that only move values.
#include "op_util.h"

#include "copy.shared.h"

_Static_assert(HT_COPY_MAX_RANK == HT_MAX_RANK, "copy.shared.h and tensor.h disagree");

void ht_op_dense_strides(uint32_t rank, const uint32_t *dims, uint64_t strides[HT_MAX_RANK]) {
    uint64_t stride = 1;
    for (uint32_t d = rank; d-- > 0;) {
        strides[d] = stride;
        stride *= dims[d];
    }
}

// Drop dimensions of 1 and join neighbours that are one run in both views, so that the kernel
// divides as seldom as possible. At least one dimension stays.
static void simplify(const ht_op_copy *copy, ht_op_copy *out) {
    *out = *copy;
    out->rank = 0;
    for (uint32_t d = 0; d < copy->rank; d++) {
        const uint32_t dim = copy->dims[d];
        const uint64_t from = copy->from.strides[d];
        const uint64_t to = copy->to.strides[d];
        const uint32_t last = out->rank - 1;
        if (dim == 1) {
            continue;
        }
        if (out->rank != 0 && out->from.strides[last] == from * dim &&
            out->to.strides[last] == to * dim) {
            out->dims[last] *= dim;
            out->from.strides[last] = from;
            out->to.strides[last] = to;
            continue;
        }
        out->dims[out->rank] = dim;
        out->from.strides[out->rank] = from;
        out->to.strides[out->rank] = to;
        out->rank++;
    }
    if (out->rank == 0) {
        out->rank = 1;
        out->dims[0] = 1;
        out->from.strides[0] = 1;
        out->to.strides[0] = 1;
    }
}

// Do quads of the innermost dimension lie together, and start at multiples of 4, in a view?
static bool view_is_wide(const ht_ref_view *view, uint32_t rank) {
    bool wide = view->offset % 4 == 0 && view->strides[rank - 1] == 1;
    for (uint32_t d = 0; d + 1 < rank; d++) {
        wide = wide && view->strides[d] % 4 == 0;
    }
    return wide;
}

ht_status ht_op_record_copy(const ht_op_call *call, const ht_op_copy *copy,
                            ht_vk_commands *commands) {
    ht_op_copy c;
    simplify(copy, &c);
    const uint32_t last = c.rank - 1;
    const bool wide = ht_op_wide(call, c.dims[last]) && view_is_wide(&c.from, c.rank) &&
                      view_is_wide(&c.to, c.rank);
    const uint32_t step = wide ? 4 : 1;
    ht_push_copy push = {
        .x = call->in_address[c.input],
        .result = call->out_address,
        .count = 1,
        .rank = c.rank,
        .x_offset = (uint32_t)(c.from.offset / step),
        .result_offset = (uint32_t)(c.to.offset / step),
    };
    for (uint32_t d = 0; d < c.rank; d++) {
        push.dims[d] = d == last ? c.dims[d] / step : c.dims[d];
        push.x_strides[d] = (uint32_t)(d == last ? c.from.strides[d] : c.from.strides[d] / step);
        push.result_strides[d] = (uint32_t)(d == last ? c.to.strides[d] : c.to.strides[d] / step);
        push.count *= push.dims[d];
    }
    ht_vk_dispatch_desc dispatch = {
        .kernel = HT_KERNEL_copy,
        .constants = {[1] = call->in[c.input].format, call->out.format, wide},
        .n_constants = 4,
        .push = &push,
        .push_bytes = sizeof push,
    };
    return ht_op_dispatch_flat(call, commands, &dispatch, push.count);
}
