// Planning: which outputs write straight into the caller's tensors, how long each value lives, and
// where in one block of memory it lies.
#include "graph_internal.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 256 };

static uint64_t rounded(uint64_t bytes) {
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

// Is `tensor` read by the graph? Then a result may only be copied to it after the last read.
static bool is_input(const ht_graph *g, const ht_tensor *tensor) {
    for (uint32_t i = 1; i < g->n_values; i++) {
        if (g->values[i].kind == HT_VALUE_TENSOR && g->values[i].tensor == tensor) {
            return true;
        }
    }
    return false;
}

// Results that can be written in place are bound to their tensor; others get a copy at the end.
static ht_status bind_outputs(ht_graph *g) {
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        uint32_t id = g->outputs[i].value;
        ht_tensor *tensor = g->outputs[i].tensor;
        ht_graph_value *root = ht_graph_root(g, id);
        bool direct = root->kind == HT_VALUE_NODE && root->tensor == NULL &&
                      root->desc.format == ht_tensor_get_desc(tensor)->format &&
                      ht_desc_count(&root->desc) == ht_desc_count(&g->values[id].desc) &&
                      !is_input(g, tensor);
        if (!direct) {
            ht_graph_scope(g, "output");
            ht_value copy = ht_op_cast(g, (ht_value){id}, ht_tensor_get_desc(tensor)->format);
            if (copy.id == 0) {
                return g->status;
            }
            root = ht_graph_root(g, copy.id);
        }
        root->tensor = tensor;
        root->address = ht_tensor_range(tensor)->address;
    }
    return HT_OK;
}

static void find_lifetimes(ht_graph *g) {
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        const ht_graph_node *node = &g->nodes[n];
        ht_graph_root(g, node->output)->last = n;
        for (uint32_t i = 0; i < node->n_inputs; i++) {
            if (node->inputs[i] != UINT32_MAX) {
                ht_graph_root(g, node->inputs[i])->last = n;
            }
        }
    }
    for (uint32_t i = 1; g->desc.keep_values && i < g->n_values; i++) {
        g->values[i].first = 0;
        g->values[i].last = g->n_nodes;
    }
}

static bool is_planned(const ht_graph_value *value) {
    return value->kind == HT_VALUE_NODE && value->tensor == NULL;
}

// Results of ops that work in place take over the memory of an input that nothing reads afterwards.
static void share_in_place(ht_graph *g) {
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        const ht_graph_node *node = &g->nodes[n];
        ht_graph_value *out = ht_graph_root(g, node->output);
        if (!node->def->in_place || !is_planned(out)) {
            continue;
        }
        ht_graph_value *in = ht_graph_root(g, node->inputs[0]);
        const uint32_t home = in->home != 0 ? in->home : (uint32_t)(in - g->values);
        if (is_planned(in) && in->last == n && in->desc.format == out->desc.format &&
            ht_graph_value_bytes(in) == ht_graph_value_bytes(out) &&
            ht_desc_count(&g->values[node->inputs[0]].desc) == ht_desc_count(&in->desc)) {
            out->home = home;
            g->values[home].last = out->last;
        }
    }
}

// One piece of memory to place: a value, or a node's scratch.
typedef struct piece {
    uint64_t bytes;
    uint64_t offset;
    uint32_t first, last;
    uint32_t value; // 0: scratch of node `first`
} piece;

static int larger_first(const void *a, const void *b) {
    const piece *x = a;
    const piece *y = b;
    if (x->bytes != y->bytes) {
        return x->bytes < y->bytes ? 1 : -1;
    }
    return x->first < y->first ? -1 : x->first > y->first;
}

static int lower_first(const void *a, const void *b) {
    const piece *const *x = a;
    const piece *const *y = b;
    return (*x)->offset < (*y)->offset ? -1 : (*x)->offset > (*y)->offset;
}

static uint32_t collect(ht_graph *g, piece *pieces) {
    uint32_t count = 0;
    for (uint32_t i = 1; i < g->n_values; i++) {
        const ht_graph_value *value = &g->values[i];
        if (is_planned(value) && value->home == 0) {
            pieces[count++] = (piece){.bytes = rounded(ht_graph_value_bytes(value)),
                                      .first = value->first,
                                      .last = value->last,
                                      .value = i};
        }
    }
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        if (g->nodes[n].scratch_bytes != 0) {
            pieces[count++] = (piece){
                .bytes = rounded(g->nodes[n].scratch_bytes), .first = n, .last = n, .value = 0};
        }
    }
    return count;
}

// Largest first, each at the lowest offset where it meets no piece alive at the same time.
// `neighbours` is room for `count` pointers. Returns the height reached.
static uint64_t place(piece *pieces, uint32_t count, const piece **neighbours) {
    uint64_t height = 0;
    qsort(pieces, count, sizeof *pieces, larger_first);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = 0;
        for (uint32_t j = 0; j < i; j++) {
            if (pieces[j].first <= pieces[i].last && pieces[i].first <= pieces[j].last) {
                neighbours[n++] = &pieces[j];
            }
        }
        qsort(neighbours, n, sizeof *neighbours, lower_first);
        uint64_t offset = 0;
        for (uint32_t j = 0; j < n && neighbours[j]->offset < offset + pieces[i].bytes; j++) {
            uint64_t end = neighbours[j]->offset + neighbours[j]->bytes;
            offset = end > offset ? end : offset;
        }
        pieces[i].offset = offset;
        height = offset + pieces[i].bytes > height ? offset + pieces[i].bytes : height;
    }
    return height;
}

static void apply(ht_graph *g, const piece *pieces, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (pieces[i].value == 0) {
            g->stats.unshared_bytes += pieces[i].bytes;
            g->nodes[pieces[i].first].scratch_offset = pieces[i].offset;
        } else {
            g->values[pieces[i].value].offset = pieces[i].offset;
            g->values[pieces[i].value].address = g->activations.address + pieces[i].offset;
        }
    }
    for (uint32_t i = 1; i < g->n_values; i++) {
        ht_graph_value *value = &g->values[i];
        if (is_planned(value)) {
            g->stats.unshared_bytes += rounded(ht_graph_value_bytes(value));
        }
        if (value->home != 0) {
            value->offset = g->values[value->home].offset;
            value->address = g->values[value->home].address;
        }
    }
    for (uint32_t i = 1; i < g->n_values; i++) {
        if (g->values[i].kind == HT_VALUE_ALIAS) {
            g->values[i].address = ht_graph_root(g, i)->address + g->values[i].view_offset;
        }
    }
}

ht_status ht_graph_plan(ht_graph *g) {
    ht_status status = bind_outputs(g);
    if (status != HT_OK) {
        return status;
    }
    find_lifetimes(g);
    share_in_place(g);
    size_t capacity = (size_t)g->n_values + g->n_nodes;
    piece *pieces = ht_alloc(g->context, capacity * sizeof *pieces);
    const piece **neighbours = ht_alloc(g->context, capacity * sizeof *neighbours);
    status = pieces != NULL && neighbours != NULL ? HT_OK : HT_ERR_NO_MEMORY;
    HT_TRY(status);
    uint32_t count = collect(g, pieces);
    g->stats.activation_bytes = place(pieces, count, neighbours);
    if (g->stats.activation_bytes != 0) {
        HT_TRY(ht_vk_alloc(g->context, g->stats.activation_bytes, g->label, &g->activations));
    }
    apply(g, pieces, count);
    g->stats.nodes = g->n_nodes;
    ht_log(g->context, HT_LOG_DEBUG,
           "graph '%s': %u nodes, %.2f MiB of activations (%.2f unshared)", g->label, g->n_nodes,
           (double)g->stats.activation_bytes / 1048576.0,
           (double)g->stats.unshared_bytes / 1048576.0);
fail:
    ht_free(g->context, neighbours);
    ht_free(g->context, pieces);
    return status;
}
