// Building a graph: values, nodes, and the first failure.
#include "graph_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const ht_value FAILED = {0};

ht_status ht_graph_create(ht_context *context, const ht_graph_desc *desc, ht_graph **out) {
    *out = NULL;
    if (context->device == NULL) {
        return ht_fail(context, HT_ERR_INVALID, "a graph needs a context with a device");
    }
    if (desc->activations != HT_FORMAT_F32 && desc->activations != HT_FORMAT_F16) {
        return ht_fail(context, HT_ERR_INVALID, "graph '%s': activations must be f32 or f16",
                       desc->label != NULL ? desc->label : "");
    }
    ht_graph *g = ht_alloc(context, sizeof *g);
    if (g == NULL) {
        return HT_ERR_NO_MEMORY;
    }
    g->context = context;
    g->desc = *desc;
    g->label = ht_strdup(context, desc->label != NULL ? desc->label : "graph");
    g->n_variants = 1;
    g->value_capacity = 256;
    g->values = ht_alloc(context, g->value_capacity * sizeof *g->values);
    g->n_values = 1; // id 0: the failed value
    if (g->label == NULL || g->values == NULL) {
        ht_graph_destroy(&g);
        return HT_ERR_NO_MEMORY;
    }
    ht_vk_arena_init(&g->constants, context, g->label);
    *out = g;
    return HT_OK;
}

void ht_graph_destroy(ht_graph **graph) {
    if (graph == NULL || *graph == NULL) {
        return;
    }
    ht_graph *g = *graph;
    ht_context *context = g->context;
    for (uint32_t i = 0; i < g->n_variants; i++) {
        ht_vk_commands_destroy(&g->commands[i]);
    }
    for (uint32_t i = 0; i < g->n_pieces; i++) {
        ht_vk_commands_destroy(&g->pieces[i]);
    }
    ht_free(context, g->pieces);
    ht_graph_stream_destroy(g);
    ht_vk_free(context, &g->activations);
    ht_vk_arena_finish(&g->constants);
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        ht_free(context, g->nodes[i].label);
    }
    for (uint32_t i = 1; i < g->n_values; i++) {
        ht_free(context, g->values[i].weight_name);
    }
    ht_free(context, g->nodes);
    ht_free(context, g->values);
    ht_free(context, g->outputs);
    ht_free(context, g->times_ns);
    ht_free(context, g->label);
    ht_free(context, g);
    *graph = NULL;
}

void ht_graph_fail(ht_graph *g, ht_status status) {
    if (g->status == HT_OK) {
        g->status = status;
    }
}

ht_status ht_graph_status(const ht_graph *g) {
    return g->status;
}

ht_context *ht_graph_context(const ht_graph *g) {
    return g->context;
}

void ht_graph_scope(ht_graph *g, const char *scope) {
    snprintf(g->scope, sizeof g->scope, "%s", scope != NULL ? scope : "");
}

void ht_graph_set_variants(ht_graph *g, uint32_t count) {
    if (g->n_nodes != 0 || g->finished || count < 1 || count > HT_GRAPH_MAX_VARIANTS) {
        ht_graph_fail(g, ht_fail(g->context, HT_ERR_INVALID,
                                 "graph '%s': %u variants, expected 1 to %d before the first node",
                                 g->label, count, HT_GRAPH_MAX_VARIANTS));
        return;
    }
    g->n_variants = count;
}

uint32_t ht_graph_variants(const ht_graph *g) {
    return g->n_variants;
}

ht_status ht_graph_select(ht_graph *g, uint32_t variant) {
    if (!g->finished || variant >= g->n_variants) {
        return ht_fail(g->context, HT_ERR_INVALID,
                       "graph '%s': variant %u of %u was selected, or before it was finished",
                       g->label, variant, g->n_variants);
    }
    g->variant = variant;
    return HT_OK;
}

// May building go on? Fails the graph when it is already finished.
static bool building(ht_graph *g) {
    if (g->status == HT_OK && g->finished) {
        g->status = ht_fail(g->context, HT_ERR_INVALID, "graph '%s' is already finished", g->label);
    }
    return g->status == HT_OK;
}

// A new value, its root being itself; NULL (and a failed graph) without memory.
static ht_graph_value *add_value(ht_graph *g, ht_value_kind kind, uint32_t *id) {
    if (g->n_values == g->value_capacity) {
        ht_graph_value *grown =
            ht_realloc(g->context, g->values, 2 * g->value_capacity * sizeof *g->values);
        if (grown == NULL) {
            ht_graph_fail(g, HT_ERR_NO_MEMORY);
            return NULL;
        }
        g->values = grown;
        g->value_capacity *= 2;
    }
    *id = g->n_values++;
    ht_graph_value *value = &g->values[*id];
    memset(value, 0, sizeof *value);
    value->kind = kind;
    value->root = *id;
    return value;
}

ht_value ht_graph_tensor(ht_graph *g, ht_tensor *tensor) {
    uint32_t id;
    ht_graph_value *value = building(g) ? add_value(g, HT_VALUE_TENSOR, &id) : NULL;
    if (value == NULL) {
        return FAILED;
    }
    value->desc = *ht_tensor_get_desc(tensor);
    value->desc.label = NULL;
    value->tensor = tensor;
    value->address = ht_tensor_range(tensor)->address;
    return (ht_value){id};
}

ht_value ht_graph_weight(ht_graph *g, ht_weights *weights, const char *name,
                         ht_weight_layout layout, uint32_t rank, const uint32_t *dims) {
    return ht_graph_weight_as(g, weights, name, layout, HT_FORMAT_NONE, rank, dims);
}

ht_value ht_graph_weight_as(ht_graph *g, ht_weights *weights, const char *name,
                            ht_weight_layout layout, ht_format format, uint32_t rank,
                            const uint32_t *dims) {
    ht_tensor_desc desc;
    uint64_t address;
    uint32_t id;
    if (!building(g)) {
        return FAILED;
    }
    ht_status status =
        ht_weights_device(weights, name, layout, format, rank, dims, &desc, &address);
    if (status != HT_OK) {
        ht_graph_fail(g, status);
        return FAILED;
    }
    ht_graph_value *value = add_value(g, HT_VALUE_WEIGHT, &id);
    if (value == NULL) {
        return FAILED;
    }
    value->desc = desc;
    value->desc.label = NULL;
    value->address = address;
    value->streamed = address == 0 && ht_desc_bytes(&desc) > 0;
    value->weights = weights;
    value->layout = layout;
    value->weight_name = ht_strdup(g->context, name);
    if (value->weight_name == NULL) {
        ht_graph_fail(g, HT_ERR_NO_MEMORY);
    }
    return (ht_value){id};
}

ht_value ht_graph_constant(ht_graph *g, const ht_tensor_desc *desc, const void *data) {
    uint32_t id;
    ht_vk_range range;
    if (!building(g)) {
        return FAILED;
    }
    ht_status status = ht_vk_arena_take(&g->constants, ht_desc_bytes(desc), &range);
    if (status == HT_OK) {
        status = ht_vk_write(g->context, &range, 0, data, ht_desc_bytes(desc));
    }
    ht_graph_value *value = status == HT_OK ? add_value(g, HT_VALUE_CONSTANT, &id) : NULL;
    if (value == NULL) {
        ht_graph_fail(g, status);
        return FAILED;
    }
    value->desc = *desc;
    value->desc.label = NULL;
    value->range = range;
    value->address = range.address;
    return (ht_value){id};
}

ht_tensor_desc ht_graph_value_desc(const ht_graph *g, ht_value value) {
    if (value.id == 0 || value.id >= g->n_values) {
        return (ht_tensor_desc){0};
    }
    return g->values[value.id].desc;
}

// Has the value the tensor's shape?
static bool fits_tensor(ht_graph *g, ht_value value, const ht_tensor *tensor) {
    if (value.id == 0 || value.id >= g->n_values) {
        ht_graph_fail(
            g, ht_fail(g->context, HT_ERR_INVALID, "graph '%s': output of no value", g->label));
        return false;
    }
    const ht_tensor_desc *have = &g->values[value.id].desc;
    const ht_tensor_desc *want = ht_tensor_get_desc(tensor);
    bool same = have->rank == want->rank &&
                memcmp(have->dims, want->dims, have->rank * sizeof have->dims[0]) == 0;
    if (!same) {
        char a[128], b[128];
        ht_graph_fail(g, ht_fail(g->context, HT_ERR_INVALID,
                                 "graph '%s': output '%s' is %s, the value is %s", g->label,
                                 want->label, ht_desc_text(want, a, sizeof a),
                                 ht_desc_text(have, b, sizeof b)));
    }
    return same;
}

void ht_graph_update(ht_graph *g, ht_value value, ht_tensor *tensor) {
    if (!building(g) || !fits_tensor(g, value, tensor)) {
        return;
    }
    ht_value copy = ht_op_cast(g, value, ht_tensor_get_desc(tensor)->format);
    if (copy.id != 0) {
        g->values[copy.id].tensor = tensor;
        g->values[copy.id].address = ht_tensor_range(tensor)->address;
        g->values[copy.id].updates = true;
    }
}

void ht_graph_output(ht_graph *g, ht_value value, ht_tensor *tensor) {
    if (!building(g) || !fits_tensor(g, value, tensor)) {
        return;
    }
    ht_graph_output_request *grown =
        ht_realloc(g->context, g->outputs, (g->n_outputs + 1) * sizeof *g->outputs);
    if (grown == NULL) {
        ht_graph_fail(g, HT_ERR_NO_MEMORY);
        return;
    }
    g->outputs = grown;
    g->outputs[g->n_outputs++] = (ht_graph_output_request){value.id, tensor};
}

void ht_graph_call(const ht_graph *g, const ht_graph_node *node, ht_op_call *call) {
    *call = (ht_op_call){.context = g->context,
                         .label = node->label,
                         .variant = g->variant,
                         .params = node->params,
                         .n_inputs = node->n_inputs};
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        if (node->inputs[i] != UINT32_MAX) {
            call->in[i] = g->values[node->inputs[i]].desc;
            call->in_address[i] = g->values[node->inputs[i]].address;
        }
    }
    if (node->output != 0) {
        call->out = g->values[node->output].desc;
        call->out_address = g->values[node->output].address;
        call->copy = g->values[node->output].copy;
    }
    if (node->scales != 0) {
        call->scale_address = g->values[node->scales].address + node->scale_offset;
    }
    if (node->scratch_bytes != 0) {
        call->scratch_address = g->activations.address + node->scratch_offset;
    }
}

// The name of the first weight a node reads says where it belongs; else scope and op.
static char *node_label(ht_graph *g, const ht_graph_node *node) {
    char label[192];
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const uint32_t id = node->inputs[i];
        const char *name = id != UINT32_MAX ? ht_graph_root(g, id)->weight_name : NULL;
        if (name != NULL) {
            const char *tail = strrchr(name, '.');
            const bool plain = tail != NULL && strcmp(tail, ".weight") == 0;
            const int length = (int)(plain ? (size_t)(tail - name) : strlen(name));
            snprintf(label, sizeof label, "%.*s", length, name);
            return ht_strdup(g->context, label);
        }
    }
    snprintf(label, sizeof label, "%s%s%s", g->scope, g->scope[0] != '\0' ? "/" : "",
             node->def->name);
    return ht_strdup(g->context, label);
}

static ht_graph_node *reserve_node(ht_graph *g) {
    if (g->n_nodes == g->node_capacity) {
        uint32_t capacity = g->node_capacity == 0 ? 128 : 2 * g->node_capacity;
        ht_graph_node *grown = ht_realloc(g->context, g->nodes, capacity * sizeof *g->nodes);
        if (grown == NULL) {
            return NULL;
        }
        g->nodes = grown;
        g->node_capacity = capacity;
    }
    ht_graph_node *node = &g->nodes[g->n_nodes];
    memset(node, 0, sizeof *node);
    return node;
}

// Let the op check its inputs and say its result's shape.
static ht_status infer(ht_graph *g, ht_graph_node *node, ht_tensor_desc *out) {
    ht_op_call call;
    ht_graph_call(g, node, &call);
    call.out.format = g->desc.activations;
    ht_status status = node->def->infer(&call);
    uint64_t count = 1;
    for (uint32_t i = 0; status == HT_OK && i < call.out.rank; i++) {
        if (call.out.dims[i] == 0 || !ht_mul_u64(count, call.out.dims[i], &count) ||
            count > UINT32_MAX / 2) {
            status = ht_op_fail(&call, node->def, "the result would have more than 2^31 values");
        }
    }
    if (status == HT_OK && node->def->scratch != NULL) {
        node->scratch_bytes = node->def->scratch(&call);
    }
    *out = call.out;
    out->label = NULL;
    return status;
}

ht_value ht_op_add_node(ht_graph *g, const ht_op_def *def, const ht_value *inputs,
                        uint32_t n_inputs, const void *params, size_t params_bytes) {
    ht_tensor_desc desc;
    uint32_t id;
    if (!building(g)) {
        return FAILED;
    }
    ht_graph_node *node = reserve_node(g);
    if (node == NULL || n_inputs > HT_MAX_INPUTS || params_bytes > HT_MAX_PARAM_BYTES) {
        ht_graph_fail(g, node == NULL ? HT_ERR_NO_MEMORY : HT_ERR_INVALID);
        return FAILED;
    }
    node->def = def;
    node->n_inputs = n_inputs;
    for (uint32_t i = 0; i < n_inputs; i++) {
        node->inputs[i] = inputs[i].id;
        if (inputs[i].id == 0 || (inputs[i].id != UINT32_MAX && inputs[i].id >= g->n_values)) {
            ht_graph_fail(g, ht_fail(g->context, HT_ERR_INVALID,
                                     "graph '%s': input %u of %s in '%s' is no value", g->label, i,
                                     def->name, g->scope));
            return FAILED;
        }
    }
    if (params_bytes != 0) {
        memcpy(node->params, params, params_bytes);
    }
    node->label = node_label(g, node);
    ht_status status = node->label != NULL ? infer(g, node, &desc) : HT_ERR_NO_MEMORY;
    ht_graph_value *value = status == HT_OK ? add_value(g, HT_VALUE_NODE, &id) : NULL;
    if (value == NULL) {
        ht_free(g->context, node->label);
        ht_graph_fail(g, status);
        return FAILED;
    }
    value->desc = desc;
    value->first = g->n_nodes;
    node->output = id;
    g->n_nodes++;
    return (ht_value){id};
}

ht_value ht_op_find_node(const ht_graph *g, const ht_op_def *def, const ht_value *inputs,
                         uint32_t n_inputs, const void *params, size_t params_bytes) {
    for (uint32_t n = g->n_nodes; n-- > 0;) {
        const ht_graph_node *node = &g->nodes[n];
        bool same = node->def == def && node->n_inputs == n_inputs &&
                    memcmp(node->params, params, params_bytes) == 0;
        for (uint32_t i = 0; same && i < n_inputs; i++) {
            same = node->inputs[i] == inputs[i].id;
        }
        if (same) {
            return (ht_value){node->output};
        }
    }
    return HT_NO_VALUE;
}

ht_value ht_op_add_view(ht_graph *g, ht_value x, uint64_t offset, uint32_t rank,
                        const uint32_t *dims) {
    uint32_t id;
    if (!building(g) || x.id == 0) {
        return FAILED;
    }
    if (offset % 16 != 0 || (offset != 0 && ht_graph_root(g, x.id)->kind == HT_VALUE_WEIGHT)) {
        return HT_NO_VALUE;
    }
    ht_graph_value *value = add_value(g, HT_VALUE_ALIAS, &id);
    if (value == NULL) {
        return FAILED;
    }
    value->desc.format = g->values[x.id].desc.format;
    value->desc.rank = rank;
    memcpy(value->desc.dims, dims, rank * sizeof *dims);
    value->root = g->values[x.id].root;
    value->view_offset = g->values[x.id].view_offset + offset;
    value->address = g->values[x.id].address + offset;
    return (ht_value){id};
}

ht_value ht_op_add_alias(ht_graph *g, ht_value x, uint32_t rank, const uint32_t *dims) {
    return ht_op_add_view(g, x, 0, rank, dims);
}

ht_status ht_op_fail(const ht_op_call *call, const ht_op_def *def, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return ht_fail(call->context, HT_ERR_INVALID, "%s '%s': %s", def->name,
                   call->label != NULL ? call->label : "", text);
}

ht_status ht_graph_finish(ht_graph *g) {
    if (!building(g)) {
        return g->status;
    }
    ht_graph_fuse(g);
    ht_status status = ht_graph_stream_plan(g);
    if (status == HT_OK) {
        status = ht_graph_plan(g);
    }
    if (status == HT_OK) {
        status = g->n_streams > 0 ? ht_graph_stream_record(g) : ht_graph_record(g);
    }
    g->finished = true;
    g->status = status;
    return status;
}

ht_status ht_graph_run(ht_graph *g) {
    ht_status status = g->status;
    if (status != HT_OK || !g->finished) {
        return status != HT_OK
                   ? status
                   : ht_fail(g->context, HT_ERR_INVALID, "graph '%s' was not finished", g->label);
    }
    if (g->n_streams > 0) {
        return ht_graph_stream_run(g);
    }
    HT_TRY(ht_vk_commands_run(g->commands[g->variant]));
    if (g->desc.profile) {
        HT_TRY(ht_vk_commands_times(g->commands[g->variant], g->times_ns, g->n_nodes + 1));
        g->has_times = true;
    }
fail:
    return status;
}

void ht_graph_get_stats(const ht_graph *g, ht_graph_stats *stats) {
    *stats = g->stats;
}

uint32_t ht_graph_timings(const ht_graph *g, ht_node_timing *timings, uint32_t capacity) {
    if (!g->has_times) {
        return 0;
    }
    for (uint32_t i = 0; i < g->n_nodes && i < capacity; i++) {
        timings[i] = (ht_node_timing){.label = g->nodes[i].label,
                                      .op = g->nodes[i].def->name,
                                      .time_ns = g->times_ns[i + 1] - g->times_ns[i]};
    }
    return g->n_nodes;
}
