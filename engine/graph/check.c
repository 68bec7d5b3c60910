// Node by node: recompute each result on the CPU from the device's own inputs.
#include "formats.h"
#include "graph_internal.h"

#include <halftone/grid.h>
#include <math.h>

// Bytes of a value as the device holds them now.
static ht_status read_bytes(ht_graph *g, uint32_t id, void *data, uint64_t bytes) {
    const ht_graph_value *root = ht_graph_root(g, id);
    const uint64_t offset = g->values[id].view_offset;
    if (root->tensor != NULL) {
        return ht_vk_read(g->context, ht_tensor_range(root->tensor), offset, data, bytes);
    }
    switch (root->kind) {
    case HT_VALUE_WEIGHT:
        return ht_weights_device_read(root->weights, root->weight_name, root->layout,
                                      root->desc.format, data, bytes);
    case HT_VALUE_CONSTANT: return ht_vk_read(g->context, &root->range, offset, data, bytes);
    default: return ht_vk_read(g->context, &g->activations, root->offset + offset, data, bytes);
    }
}

ht_status ht_graph_read_floats(ht_graph *g, uint32_t id, float **out) {
    const ht_tensor_desc *desc = &g->values[id].desc;
    const uint64_t count = ht_desc_count(desc);
    const uint64_t bytes = ht_desc_bytes(desc);
    ht_status status = HT_ERR_NO_MEMORY;
    const ht_graph_value *root = ht_graph_root(g, id);
    void *packed = ht_alloc(g->context, bytes);
    *out = ht_alloc(g->context, count * sizeof **out);
    if (*out != NULL && ht_format_is_stack(desc->format)) {
        ht_free(g->context, packed);
        return ht_weights_stack_floats(root->weights, root->weight_name, *out, count);
    }
    if (packed != NULL && *out != NULL) {
        status = read_bytes(g, id, packed, bytes);
    }
    if (status == HT_OK) {
        ht_desc_unpack(desc, packed, *out);
    }
    ht_free(g->context, packed);
    return status;
}

static void compare(const float *device, const float *reference, uint64_t count,
                    ht_node_check *check) {
    double difference = 0, norm = 0;
    check->finite = true;
    for (uint64_t i = 0; i < count; i++) {
        double d = fabs((double)device[i] - (double)reference[i]);
        check->finite = check->finite && isfinite(device[i]);
        difference += d * d;
        norm += (double)reference[i] * (double)reference[i];
        if (!(d <= check->max_abs)) {
            check->max_abs = d;
            check->worst = i;
        }
    }
    check->rel_l2 = norm > 0 ? sqrt(difference / norm) : sqrt(difference);
}

// A packed result is compared with the reference packed in the same way.
static ht_status pack_reference(ht_graph *g, const ht_graph_node *node, float *values) {
    const ht_tensor_desc *desc = &g->values[node->output].desc;
    const bool own = node->def == &ht_op_quantize_def && node->inputs[1] != UINT32_MAX;
    const uint32_t scales = own ? node->inputs[1] : node->scales;
    float *fixed = NULL, *rows = NULL;
    ht_op_call call;
    ht_status status = HT_OK;
    if (!ht_format_is_packed(desc->format)) {
        return HT_OK;
    }
    void *packed = ht_alloc(g->context, ht_desc_bytes(desc));
    HT_TRY(packed != NULL ? HT_OK : HT_ERR_NO_MEMORY);
    if (scales == 0) {
        ht_fmt_pack_rows(desc, HT_SCALE_MAX, 1, values, packed);
    } else {
        const uint64_t count = ht_op_rows(desc);
        ht_graph_call(g, node, &call);
        const uint64_t at = own ? ht_op_static_offset(&call) : node->scale_offset;
        HT_TRY(ht_graph_read_floats(g, scales, &fixed));
        rows = ht_alloc(g->context, count * sizeof *rows);
        HT_TRY(rows != NULL ? HT_OK : HT_ERR_NO_MEMORY);
        for (uint64_t i = 0; i < count; i++) {
            rows[i] = fixed[at / sizeof *fixed];
        }
        ht_desc_pack_scaled(desc, NULL, rows, values, packed);
    }
    ht_desc_unpack(desc, packed, values);
fail:
    ht_free(g->context, rows);
    ht_free(g->context, fixed);
    ht_free(g->context, packed);
    return status;
}

static ht_status check_node(ht_graph *g, const ht_graph_node *node, ht_node_check *check) {
    float *inputs[HT_MAX_INPUTS] = {0};
    const uint64_t count = ht_desc_count(&g->values[node->output].desc);
    float *device = NULL;
    float *reference = ht_alloc(g->context, count * sizeof *reference);
    ht_op_call call;
    ht_status status = reference != NULL ? HT_OK : HT_ERR_NO_MEMORY;
    HT_TRY(status);
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        if (node->inputs[i] != UINT32_MAX) {
            HT_TRY(ht_graph_read_floats(g, node->inputs[i], &inputs[i]));
        }
    }
    HT_TRY(ht_graph_read_floats(g, node->output, &device));
    ht_graph_call(g, node, &call);
    HT_TRY(node->def->reference(&call, (const float *const *)inputs, reference));
    HT_TRY(pack_reference(g, node, reference));
    *check = (ht_node_check){.label = node->label, .op = node->def->name};
    compare(device, reference, count, check);
fail:
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        ht_free(g->context, inputs[i]);
    }
    ht_free(g->context, device);
    ht_free(g->context, reference);
    return status;
}

// The packed copy of a result against the result as the device holds it, packed here.
static ht_status check_copy(ht_graph *g, const ht_graph_node *node, ht_node_check *check) {
    const ht_graph_value *result = &g->values[node->output];
    const uint64_t count = ht_desc_count(&result->desc);
    ht_tensor_desc desc = result->desc;
    float *expected = NULL;
    ht_status status = HT_OK;
    desc.format = result->copy;
    uint8_t *packed = ht_alloc(g->context, ht_desc_bytes(&desc));
    float *device = ht_alloc(g->context, count * sizeof *device);
    HT_TRY(packed != NULL && device != NULL ? HT_OK : HT_ERR_NO_MEMORY);
    HT_TRY(ht_vk_read(g->context, &g->activations,
                      result->offset + ht_op_copy_offset(&result->desc), packed,
                      ht_desc_bytes(&desc)));
    ht_desc_unpack(&desc, packed, device);
    HT_TRY(ht_graph_read_floats(g, node->output, &expected));
    ht_fmt_pack_rows(&desc, HT_SCALE_MAX, 1, expected, packed);
    ht_desc_unpack(&desc, packed, expected);
    *check = (ht_node_check){.label = node->label, .op = "packed copy"};
    compare(device, expected, count, check);
fail:
    ht_free(g->context, expected);
    ht_free(g->context, device);
    ht_free(g->context, packed);
    return status;
}

// Does the node read a tensor that the graph has written over by now?
static bool input_is_gone(ht_graph *g, const ht_graph_node *node) {
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const ht_graph_value *root =
            node->inputs[i] != UINT32_MAX ? ht_graph_root(g, node->inputs[i]) : NULL;
        for (uint32_t v = 1; root != NULL && root->kind == HT_VALUE_TENSOR && v < g->n_values;
             v++) {
            if (g->values[v].updates && g->values[v].tensor == root->tensor) {
                return true;
            }
        }
    }
    return false;
}

ht_status ht_graph_check(ht_graph *g, ht_node_check_fn report, void *user) {
    ht_status status = HT_OK;
    if (g->n_streams > 0) {
        return ht_fail(g->context, HT_ERR_INVALID,
                       "graph '%s' streams its weights and cannot be checked", g->label);
    }
    if (!g->desc.keep_values) {
        return ht_fail(g->context, HT_ERR_INVALID,
                       "graph '%s' reuses memory; make it with keep_values to check it", g->label);
    }
    HT_TRY(ht_graph_run(g));
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        ht_node_check check;
        if (input_is_gone(g, &g->nodes[n])) {
            continue;
        }
        HT_TRY(check_node(g, &g->nodes[n], &check));
        report(user, &check);
        if (g->values[g->nodes[n].output].copy != HT_FORMAT_NONE) {
            HT_TRY(check_copy(g, &g->nodes[n], &check));
            report(user, &check);
        }
    }
fail:
    return status;
}
