// conv2d: implicit matrix product over channels-last pictures, with an epilogue.
#include "gemm.h"

typedef struct params {
    uint32_t stride, upsample;
    uint32_t pad_top, pad_left, pad_bottom, pad_right;
    ht_activation act;
} params;

// Far beyond any network, and far from overflow.
enum { MAX_SIDE = 1 << 24 };

static const ht_op_def CONV2D;

ht_value ht_op_conv2d(ht_graph *g, ht_value x, ht_value w, const ht_conv2d_args *args) {
    const params p = {
        .stride = args->stride,
        .upsample = args->upsample,
        .pad_top = args->pad_top,
        .pad_left = args->pad_left,
        .pad_bottom = args->pad_bottom,
        .pad_right = args->pad_right,
        .act = args->epilogue.act,
    };
    const ht_epilogue *e = &args->epilogue;
    const ht_value inputs[GEMM_INPUTS] = {x, w, e->bias, e->gate, e->residual};
    return ht_op_add_node(g, &CONV2D, inputs, GEMM_INPUTS, &p, sizeof p);
}

static ht_status check_args(const ht_op_call *call) {
    const params *p = call->params;
    const ht_tensor_desc *x = &call->in[GEMM_X];
    const ht_tensor_desc *w = &call->in[GEMM_W];
    if (p->stride == 0 || p->stride > MAX_SIDE) {
        return ht_op_fail(call, &CONV2D, "stride must be at least 1, is %u", p->stride);
    }
    if (p->upsample != 1 && p->upsample != 2) {
        return ht_op_fail(call, &CONV2D, "upsample must be 1 or 2, is %u", p->upsample);
    }
    if (p->pad_top > MAX_SIDE || p->pad_left > MAX_SIDE || p->pad_bottom > MAX_SIDE ||
        p->pad_right > MAX_SIDE || x->dims[1] > MAX_SIDE || x->dims[2] > MAX_SIDE) {
        return ht_op_fail(call, &CONV2D, "sides and padding are limited to %d", MAX_SIDE);
    }
    const uint32_t high = x->dims[1] * p->upsample + p->pad_top + p->pad_bottom;
    const uint32_t wide = x->dims[2] * p->upsample + p->pad_left + p->pad_right;
    if (w->dims[1] > high || w->dims[2] > wide) {
        return ht_op_fail(call, &CONV2D,
                          "the %u x %u kernel is larger than the padded %u x %u input", w->dims[1],
                          w->dims[2], high, wide);
    }
    return HT_OK;
}

static ht_status infer(ht_op_call *call) {
    const params *p = call->params;
    const ht_tensor_desc *x = &call->in[GEMM_X];
    const ht_tensor_desc *w = &call->in[GEMM_W];
    char text[128];
    ht_status status = HT_OK;
    HT_TRY(ht_op_check_gemm_formats(call, &CONV2D));
    if (x->rank != 4) {
        return ht_op_fail(call, &CONV2D, "x must be [B, H, W, I], not %s",
                          ht_desc_text(x, text, sizeof text));
    }
    if (w->rank != 4 || w->dims[3] != x->dims[3]) {
        return ht_op_fail(call, &CONV2D, "w must be [O, kh, kw, %u], not %s", x->dims[3],
                          ht_desc_text(w, text, sizeof text));
    }
    HT_TRY(check_args(call));
    call->out.rank = 4;
    call->out.dims[0] = x->dims[0];
    call->out.dims[1] =
        (x->dims[1] * p->upsample + p->pad_top + p->pad_bottom - w->dims[1]) / p->stride + 1;
    call->out.dims[2] =
        (x->dims[2] * p->upsample + p->pad_left + p->pad_right - w->dims[2]) / p->stride + 1;
    call->out.dims[3] = w->dims[0];
    HT_TRY(ht_op_check_epilogue(call, &CONV2D, p->act));
    HT_TRY(ht_op_check_gemm_sizes(call, &CONV2D));
fail:
    return status;
}

static ht_push_gemm geometry(const ht_op_call *call) {
    const params *p = call->params;
    const uint32_t *x = call->in[GEMM_X].dims;
    const uint32_t *w = call->in[GEMM_W].dims;
    const uint32_t *out = call->out.dims;
    return (ht_push_gemm){
        .rows = out[0] * out[1] * out[2],
        .columns = out[3],
        .depth = x[3],
        .kernel_h = w[1],
        .kernel_w = w[2],
        .in_h = x[1],
        .in_w = x[2],
        .out_h = out[1],
        .out_w = out[2],
        .stride = p->stride,
        .upsample = p->upsample,
        .pad_top = (int32_t)p->pad_top,
        .pad_left = (int32_t)p->pad_left,
    };
}

static void window(const ht_op_call *call, ht_window *out) {
    const ht_push_gemm push = geometry(call);
    *out = ht_op_gemm_window(&push);
}

static uint64_t scratch(const ht_op_call *call) {
    const ht_push_gemm push = geometry(call);
    return ht_op_use_winograd(call, &push) ? ht_op_winograd_scratch(&push) : 0;
}

static ht_status record(const ht_op_call *call, ht_vk_commands *commands) {
    const params *p = call->params;
    ht_push_gemm push = geometry(call);
    if (ht_op_use_winograd(call, &push)) {
        return ht_op_record_winograd(call, &push, p->act, commands);
    }
    return ht_op_record_gemm(call, &push, p->act, commands);
}

static ht_status reference(const ht_op_call *call, const float *const *inputs, float *out) {
    const params *p = call->params;
    const uint32_t *x = call->in[GEMM_X].dims;
    const uint32_t *w = call->in[GEMM_W].dims;
    const ht_ref_conv2d_args args = {
        .batch = x[0],
        .in_h = x[1],
        .in_w = x[2],
        .in_channels = x[3],
        .out_h = call->out.dims[1],
        .out_w = call->out.dims[2],
        .out_channels = w[0],
        .kernel_h = w[1],
        .kernel_w = w[2],
        .stride = p->stride,
        .upsample = p->upsample,
        .pad_top = p->pad_top,
        .pad_left = p->pad_left,
        .epilogue = ht_op_ref_epilogue(call, inputs, p->act),
    };
    ht_ref_conv2d(inputs[GEMM_X], inputs[GEMM_W], &args, out);
    return HT_OK;
}

static const ht_op_def CONV2D = {.name = "conv2d",
                                 .infer = infer,
                                 .scratch = scratch,
                                 .record = record,
                                 .reference = reference,
                                 .window = window};
