// What autoencoders of clips remember between pieces.
#include "clip_memory.h"

ht_status ht_clip_memory_restart(ht_clip_memory *memory) {
    ht_status status = HT_OK;
    for (uint32_t i = 0; i < memory->count && status == HT_OK; ++i) {
        uint64_t bytes = ht_desc_bytes(ht_tensor_get_desc(memory->slots[i]));
        void *zeros = ht_alloc(memory->context, bytes);
        status = zeros ? ht_tensor_write(memory->slots[i], zeros, bytes) : HT_ERR_NO_MEMORY;
        ht_free(memory->context, zeros);
    }
    return status;
}

void ht_clip_memory_release(ht_clip_memory *memory) {
    for (uint32_t i = 0; i < memory->count; ++i) {
        ht_tensor_destroy(&memory->slots[i]);
    }
    *memory = (ht_clip_memory){0};
}

ht_tensor *ht_clip_memory_slot(ht_clip_memory *memory, ht_graph *graph, ht_value x, uint32_t index,
                               uint32_t frames) {
    ht_tensor_desc desc = ht_graph_value_desc(graph, x);
    ht_context *context = ht_graph_context(graph);
    if (desc.rank != 4) {
        return NULL;
    }
    if (index < memory->count) {
        return memory->slots[index];
    }
    ht_status status = HT_OK;
    if (index >= HT_CLIP_MAX_SLOTS) {
        status = ht_fail(context, HT_ERR_UNSUPPORTED, "the video VAE has more than %d convolutions",
                         HT_CLIP_MAX_SLOTS);
    }
    desc.dims[0] = frames;
    desc.label = "frames before";
    memory->context = context;
    if (status == HT_OK) {
        status = ht_tensor_create(context, &desc, &memory->slots[index]);
    }
    ht_graph_fail(graph, status);
    memory->count += status == HT_OK;
    return status == HT_OK ? memory->slots[index] : NULL;
}

void ht_clip_keep(const ht_nn *nn, ht_value both, ht_tensor *slot) {
    const uint32_t frames = ht_graph_value_desc(nn->graph, both).dims[0];
    const uint32_t kept = ht_tensor_get_desc(slot)->dims[0];
    ht_graph_update(nn->graph, ht_op_slice(nn->graph, both, 0, frames - kept, kept), slot);
}

ht_value ht_clip_remember(const ht_nn *nn, ht_tensor *slot, ht_value x) {
    if (!slot) {
        return (ht_value){0};
    }
    ht_value both = ht_op_concat(nn->graph, ht_graph_tensor(nn->graph, slot), x, 0);
    ht_clip_keep(nn, both, slot);
    return both;
}

ht_value ht_clip_moments(const ht_nn *nn, const char *prefix, ht_value both, uint32_t frames,
                         uint32_t first, uint32_t out, uint32_t kernel, ht_value residual) {
    ht_conv2d_args args = ht_nn_same_size;
    args.pad_top = args.pad_left = args.pad_bottom = args.pad_right = kernel / 2;
    args.epilogue.residual = residual;
    for (uint32_t t = first; t < 3; ++t) {
        ht_value part = ht_op_slice(nn->graph, both, 0, t, frames);
        args.epilogue.bias = t == 2 ? ht_nn_bias(nn, prefix, out) : HT_NO_VALUE;
        args.epilogue.residual = ht_nn_conv_moment(nn, prefix, part, out, 3, t, kernel, args);
    }
    return args.epilogue.residual;
}
