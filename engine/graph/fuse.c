// Fusion: where a node's result is only ever quantized, the node writes the packed format itself,
// and neither the float nor the quantize node remains; where others read it too, some nodes write
// both; what a node can do to an input by itself while
// it packs it (norms, rotary positions) leaves no float either.
#include "graph_internal.h"

#include <string.h>

static bool is_output(const ht_graph *g, uint32_t root) {
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        if (g->values[g->outputs[i].value].root == root) {
            return true;
        }
    }
    return false;
}

// Do other nodes, or outputs, read the memory of `root` besides node `reader`, once?
static bool has_other_use(ht_graph *g, uint32_t root, uint32_t reader) {
    if (is_output(g, root)) {
        return true;
    }
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        const ht_graph_node *node = &g->nodes[n];
        for (uint32_t i = 0; n != reader && node->def != NULL && i < node->n_inputs; i++) {
            if (node->inputs[i] != UINT32_MAX && g->values[node->inputs[i]].root == root) {
                return true;
            }
        }
    }
    return false;
}

// Is the value all of its root?
static bool is_whole(const ht_graph_value *value, const ht_graph_value *root) {
    return value->view_offset == 0 && ht_desc_count(&value->desc) == ht_desc_count(&root->desc);
}

// Does the value cover its root, row by row, so that packing one packs the other?
static bool same_rows(const ht_graph_value *value, const ht_graph_value *root) {
    return is_whole(value, root) && ht_op_width(&value->desc) == ht_op_width(&root->desc);
}

// The node that can take over what quantize node `n` does, or NULL.
static ht_graph_node *willing_producer(ht_graph *g, uint32_t n) {
    const ht_graph_node *quantize = &g->nodes[n];
    const ht_graph_value *x = &g->values[quantize->inputs[0]];
    const ht_graph_value *root = &g->values[x->root];
    const uint32_t scales = quantize->inputs[1];
    ht_op_call call;
    if (scales != UINT32_MAX && ht_graph_root(g, scales)->kind != HT_VALUE_TENSOR) {
        return NULL;
    }
    if (root->kind != HT_VALUE_NODE || !same_rows(x, root) || has_other_use(g, x->root, n)) {
        return NULL;
    }
    ht_graph_node *producer = &g->nodes[root->first];
    if (producer->def->packs == NULL) {
        return NULL;
    }
    ht_graph_call(g, producer, &call);
    return producer->def->packs(&call, g->values[quantize->output].desc.format) ? producer : NULL;
}

// The node goes. Its result and that one's views become names for memory of value `root`, `offset` bytes
// from its start, which holds as many values, in `format`.
static void remove_node(ht_graph *g, ht_graph_node *node, uint32_t root, uint64_t offset,
                        ht_format format) {
    const uint32_t gone = node->output;
    g->values[gone].kind = HT_VALUE_ALIAS;
    for (uint32_t i = 1; i < g->n_values; i++) {
        if (g->values[i].root == gone) {
            g->values[i].root = root;
            g->values[i].view_offset += offset;
            g->values[i].desc.format = format;
        }
    }
    ht_free(g->context, node->label);
    memset(node, 0, sizeof *node);
}

// After a change of the node.
static void size_scratch(ht_graph *g, ht_graph_node *node) {
    ht_op_call call;
    if (node->def->scratch != NULL) {
        ht_graph_call(g, node, &call);
        node->scratch_bytes = node->def->scratch(&call);
    }
}

// The producer's result becomes packed, and the quantize node's another name for it.
static void take_over(ht_graph *g, ht_graph_node *producer, ht_graph_node *quantize) {
    ht_graph_value *result = &g->values[producer->output];
    ht_op_call call;
    result->desc.format = g->values[quantize->output].desc.format;
    if (quantize->inputs[1] != UINT32_MAX) {
        ht_graph_call(g, quantize, &call);
        producer->scales = quantize->inputs[1];
        producer->scale_offset = ht_op_static_offset(&call);
    }
    size_scratch(g, producer);
    remove_node(g, quantize, producer->output, 0, result->desc.format);
}

// The node that can pack a copy beside its result, as quantize node `n` does, or NULL. A result in the
// caller's memory has no room for it.
static ht_graph_node *copying_producer(ht_graph *g, uint32_t n) {
    const ht_graph_node *quantize = &g->nodes[n];
    const ht_graph_value *x = &g->values[quantize->inputs[0]];
    const ht_graph_value *root = &g->values[x->root];
    ht_op_call call;
    if (root->kind != HT_VALUE_NODE || root->tensor != NULL || root->copy != HT_FORMAT_NONE ||
        !same_rows(x, root) || is_output(g, x->root) || quantize->inputs[1] != UINT32_MAX ||
        is_output(g, quantize->output)) {
        return NULL;
    }
    ht_graph_node *producer = &g->nodes[root->first];
    if (producer->def->packs_copy == NULL || ht_format_is_packed(root->desc.format)) {
        return NULL;
    }
    ht_graph_call(g, producer, &call);
    return producer->def->packs_copy(&call, g->values[quantize->output].desc.format) ? producer
                                                                                    : NULL;
}

// The quantize node's result becomes a part of the producer's.
static void take_copy(ht_graph *g, ht_graph_node *producer, ht_graph_node *quantize) {
    ht_graph_value *result = &g->values[producer->output];
    result->copy = g->values[quantize->output].desc.format;
    remove_node(g, quantize, producer->output, ht_op_copy_offset(&result->desc), result->copy);
}

// Does the node read `root` as another input too?
static bool reads_twice(ht_graph *g, const ht_graph_node *node, uint32_t input, uint32_t root) {
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        if (i != input && node->inputs[i] != UINT32_MAX &&
            g->values[node->inputs[i]].root == root) {
            return true;
        }
    }
    return false;
}

// The node whose result is input `i` of node `n` and serves nothing else, so that `n` can do what it
// did, or NULL. A tensor might be written between the two.
static ht_graph_node *sole_producer(ht_graph *g, uint32_t n, uint32_t i) {
    ht_graph_node *node = &g->nodes[n];
    if (node->inputs[i] == UINT32_MAX) {
        return NULL;
    }
    const ht_graph_value *x = &g->values[node->inputs[i]];
    const ht_graph_value *root = &g->values[x->root];
    if (root->kind != HT_VALUE_NODE || root->tensor != NULL || !is_whole(x, root) ||
        has_other_use(g, x->root, n) || reads_twice(g, node, i, x->root)) {
        return NULL;
    }
    ht_graph_node *before = &g->nodes[root->first];
    const bool node_before = before->n_inputs > 0 && before->inputs[0] != UINT32_MAX &&
                             ht_graph_root(g, before->inputs[0])->kind == HT_VALUE_NODE;
    return node_before ? before : NULL;
}

// Let node `n` do what the node behind its input `i` did. False: it cannot.
static bool absorb(ht_graph *g, uint32_t n, uint32_t i) {
    ht_graph_node *node = &g->nodes[n], *before = sole_producer(g, n, i);
    ht_op_call call, call_before;
    if (before == NULL) {
        return false;
    }
    ht_graph_call(g, node, &call);
    ht_graph_call(g, before, &call_before);
    ht_op_absorption wanted = {
        .input = i, .op = before->def, .before = &call_before, .params = node->params};
    if (!node->def->absorbs(&call, &wanted)) {
        return false;
    }
    for (uint32_t k = 1; k < before->n_inputs; k++) {
        if (before->inputs[k] != UINT32_MAX) {
            node->inputs[wanted.slots[k]] = before->inputs[k];
        }
    }
    const ht_graph_value *x = &g->values[before->inputs[0]];
    remove_node(g, before, x->root, x->view_offset, x->desc.format);
    size_scratch(g, node);
    g->stats.fused++;
    return true;
}

static void absorb_all(ht_graph *g, uint32_t n) {
    const ht_graph_node *node = &g->nodes[n];
    for (uint32_t i = 0; node->def->absorbs != NULL && i < node->n_inputs; i++) {
        while (absorb(g, n, i)) {
        }
    }
}

// Close the gaps that removed nodes left.
static void compact(ht_graph *g) {
    uint32_t kept = 0;
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        if (g->nodes[n].def != NULL) {
            g->values[g->nodes[n].output].first = kept;
            g->nodes[kept++] = g->nodes[n];
        }
    }
    g->n_nodes = kept;
}

void ht_graph_fuse(ht_graph *g) {
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        if (g->nodes[n].def == &ht_op_quantize_def) {
            ht_graph_node *producer = willing_producer(g, n), *copying = NULL;
            if (producer != NULL) {
                take_over(g, producer, &g->nodes[n]);
            } else if ((copying = copying_producer(g, n)) != NULL) {
                take_copy(g, copying, &g->nodes[n]);
            }
            g->stats.fused += producer != NULL || copying != NULL;
        }
        if (g->nodes[n].def != NULL) {
            absorb_all(g, n);
        }
    }
    compact(g);
}
