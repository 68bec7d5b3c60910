// linear: x times the transpose of w, with an epilogue.
#include "gemm.h"

typedef struct params {
    ht_activation act;
} params;

static const ht_op_def LINEAR;

ht_value ht_op_linear(ht_graph *g, ht_value x, ht_value w, const ht_epilogue *epilogue) {
    const params p = {epilogue->act};
    const ht_value inputs[GEMM_INPUTS] = {x, w, epilogue->bias, epilogue->gate, epilogue->residual};
    return ht_op_add_node(g, &LINEAR, inputs, GEMM_INPUTS, &p, sizeof p);
}

static ht_status infer(ht_op_call *call) {
    const params *p = call->params;
    const ht_tensor_desc *x = &call->in[GEMM_X];
    const ht_tensor_desc *w = &call->in[GEMM_W];
    char text[128];
    ht_status status = HT_OK;
    HT_TRY(ht_op_check_gemm_formats(call, &LINEAR));
    if (x->rank == 0) {
        return ht_op_fail(call, &LINEAR, "x must have at least one dimension");
    }
    if (w->rank != 2 || w->dims[1] != ht_op_width(x)) {
        return ht_op_fail(call, &LINEAR, "w must be [N, %u], not %s", ht_op_width(x),
                          ht_desc_text(w, text, sizeof text));
    }
    call->out.rank = x->rank;
    memcpy(call->out.dims, x->dims, sizeof call->out.dims);
    call->out.dims[x->rank - 1] = w->dims[0];
    HT_TRY(ht_op_check_epilogue(call, &LINEAR, p->act));
    HT_TRY(ht_op_check_gemm_sizes(call, &LINEAR));
fail:
    return status;
}

static ht_push_gemm geometry(const ht_op_call *call) {
    return ht_op_linear_push((uint32_t)ht_op_rows(&call->out), ht_op_width(&call->out),
                             ht_op_width(&call->in[GEMM_X]));
}

static void window(const ht_op_call *call, ht_window *out) {
    const ht_push_gemm push = geometry(call);
    *out = ht_op_gemm_window(&push);
}

static ht_status record(const ht_op_call *call, ht_vk_commands *commands) {
    const params *p = call->params;
    ht_push_gemm push = geometry(call);
    return ht_op_record_gemm(call, &push, p->act, commands);
}

static ht_status reference(const ht_op_call *call, const float *const *inputs, float *out) {
    const params *p = call->params;
    const ht_ref_epilogue epilogue = ht_op_ref_epilogue(call, inputs, p->act);
    ht_ref_linear(inputs[GEMM_X], ht_op_rows(&call->out), ht_op_width(&call->in[GEMM_X]),
                  inputs[GEMM_W], ht_op_width(&call->out), &epilogue, out);
    return HT_OK;
}

static const ht_op_def LINEAR = {.name = "linear",
                                 .infer = infer,
                                 .record = record,
                                 .reference = reference,
                                 .packs = ht_op_gemm_packs,
                                 .packs_copy = ht_op_gemm_packs_copy,
                                 .window = window};
