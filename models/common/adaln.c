// Modulation by timestep: its table, and the norms that use it.
#include "adaln.h"

ht_adaln ht_adaln_pick(const ht_nn *nn, ht_value table, ht_value step) {
    ht_value rows = ht_op_embedding(nn->graph, table, step); // [n, M, C]
    ht_tensor_desc desc = ht_graph_value_desc(nn->graph, rows);
    ht_adaln m = {.rows = rows, .shared = desc.rank == 3 && desc.dims[0] == 1};
    if (m.shared) {
        m.rows = ht_nn_view(nn, rows, (uint32_t[6]){desc.dims[1], desc.dims[2]});
    }
    return m;
}

ht_value ht_adaln_row(const ht_nn *nn, const ht_adaln *m, uint32_t index) {
    ht_value row = ht_op_slice(nn->graph, m->rows, m->shared ? 0 : 1, index, 1);
    return m->shared ? ht_nn_view(nn, row, (uint32_t[6]){ht_nn_width(nn, row)}) : row;
}

// Scale and shift of rows `index` + 1 and `index`, behind weight and bias if there are any.
static ht_value norm(const ht_nn *nn, const ht_adaln *m, uint32_t index, ht_value x, float eps,
                     ht_value weight, ht_value bias) {
    ht_value shift = ht_adaln_row(nn, m, index);
    return ht_op_layer_norm(nn->graph, x,
                            &(ht_layer_norm_args){.eps = eps,
                                                  .weight = weight,
                                                  .bias = bias,
                                                  .scale = ht_adaln_row(nn, m, index + 1),
                                                  .shift = shift});
}

ht_value ht_adaln_norm(const ht_nn *nn, const ht_adaln *m, uint32_t index, ht_value x, float eps) {
    return norm(nn, m, index, x, eps, HT_NO_VALUE, HT_NO_VALUE);
}

ht_value ht_adaln_own_norm(const ht_nn *nn, const ht_adaln *m, uint32_t index, const char *prefix,
                           ht_value x, float eps) {
    const uint32_t width = ht_nn_width(nn, x);
    if (width == 0) {
        return (ht_value){0};
    }
    return norm(nn, m, index, x, eps, ht_nn_vector(nn, prefix, "weight", width),
                ht_nn_vector(nn, prefix, "bias", width));
}

ht_value ht_adaln_tables(const ht_nn *nn, const char *blocks, uint32_t layers, uint32_t width) {
    ht_context *context = ht_graph_context(nn->graph);
    float *table = ht_alloc(context, (size_t)layers * width * sizeof(*table));
    ht_status status = table ? HT_OK : HT_ERR_NO_MEMORY;
    for (uint32_t i = 0; i < layers && status == HT_OK; ++i) {
        char name[HT_NAME_BYTES];
        ht_nn_name(name, "%s.%u.scale_shift_table", blocks, i);
        status = ht_weights_read_f32(nn->weights, name, table + (size_t)i * width, width);
    }
    ht_value value = {0};
    if (status == HT_OK) {
        ht_tensor_desc desc = {.format = HT_FORMAT_F32,
                               .rank = 2,
                               .dims = {layers, width},
                               .label = "scale_shift_table of all blocks"};
        value = ht_graph_constant(nn->graph, &desc, table);
    } else {
        ht_graph_fail(nn->graph, status);
    }
    ht_free(context, table);
    return value;
}

// A gather with repeated ids.
ht_value ht_adaln_repeat(const ht_nn *nn, ht_value x, uint32_t rows, uint32_t count) {
    ht_context *context = ht_graph_context(nn->graph);
    int32_t *ids = ht_alloc(context, (size_t)rows * count * sizeof(*ids));
    if (!ids) {
        ht_graph_fail(nn->graph, HT_ERR_NO_MEMORY);
        return (ht_value){0};
    }
    for (uint32_t i = 0; i < rows * count; ++i) {
        ids[i] = (int32_t)(i / count);
    }
    ht_tensor_desc desc = {
        .format = HT_FORMAT_I32, .rank = 2, .dims = {rows, count}, .label = "repeat"};
    ht_value repeated = ht_op_embedding(nn->graph, x, ht_graph_constant(nn->graph, &desc, ids));
    ht_free(context, ids);
    return repeated;
}

ht_value ht_adaln_table(const ht_nn *nn, const char *blocks, uint32_t layers, uint32_t rank,
                        ht_value six, ht_value embedded) {
    ht_tensor_desc desc = ht_graph_value_desc(nn->graph, embedded);
    uint32_t rows = desc.dims[0], width = desc.dims[1];
    if (desc.rank != 2) {
        return (ht_value){0};
    }
    ht_value all = ht_op_add(nn->graph, ht_adaln_repeat(nn, six, rows, layers),
                             ht_adaln_tables(nn, blocks, layers, 6 * width)); // [R, layers, 6C]
    all = ht_nn_view(nn, all, (uint32_t[6]){rows, 6 * layers, width});
    // The last norm adds the embedded timestep itself, not what the blocks get.
    uint32_t dims[3] = {1, 2, width}, flat[2] = {2, width};
    ht_value table = ht_graph_weight(nn->graph, nn->weights, "scale_shift_table", HT_WEIGHT_VECTOR,
                                     rank, dims + (3 - rank));
    table = ht_op_reshape(nn->graph, table, 2, flat);
    ht_value last = ht_op_add(nn->graph, ht_adaln_repeat(nn, embedded, rows, 2), table);
    return ht_op_concat(nn->graph, all, last, 1); // [R, 6 layers + 2, C]
}
