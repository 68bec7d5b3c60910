// Streamed weights: consecutive nodes whose weights fit in one slot of the ring are a piece; pieces use
// the two slots in turn.
#include "graph_internal.h"

enum { ALIGNMENT = 256 };

static uint64_t rounded(uint64_t bytes) {
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

// The streamed weight behind an input, or NULL.
static ht_graph_value *streamed_input(ht_graph *g, const ht_graph_node *node, uint32_t i) {
    ht_graph_value *w = node->inputs[i] != UINT32_MAX ? ht_graph_root(g, node->inputs[i]) : NULL;
    return w != NULL && w->kind == HT_VALUE_WEIGHT && w->streamed ? w : NULL;
}

// Would those of the node's weights that are in no piece yet fit into this one?
static ht_status node_fits(ht_graph *g, const ht_graph_node *node, uint32_t piece, bool *fits) {
    ht_status status = HT_OK;
    uint64_t more = 0;
    *fits = true;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const ht_graph_value *w = streamed_input(g, node, i);
        ht_weights_ring *ring;
        if (w == NULL || w->piece == piece) {
            continue;
        }
        if (w->piece != 0) {
            return ht_fail(g->context, HT_ERR_UNSUPPORTED,
                           "graph '%s': weight '%s' is read by layers far from each other and "
                           "cannot be streamed",
                           g->label, w->weight_name);
        }
        HT_TRY(ht_weights_get_ring(w->weights, &ring));
        more += rounded(ht_desc_bytes(&w->desc));
        *fits = *fits && ring->used + more <= ring->slot_bytes;
    }
fail:
    return status;
}

static ht_status place_node(ht_graph *g, const ht_graph_node *node, uint32_t piece) {
    ht_status status = HT_OK;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        ht_graph_value *w = streamed_input(g, node, i);
        ht_weights_ring *ring;
        if (w != NULL && w->piece != piece) {
            HT_TRY(ht_weights_get_ring(w->weights, &ring));
            w->piece = piece;
            w->slot_offset = ring->used;
            w->address = ring->slots[piece % 2].address + ring->used;
            ring->used += rounded(ht_desc_bytes(&w->desc));
        }
    }
fail:
    return status;
}

static void restart_rings(ht_graph *g) {
    for (uint32_t v = 1; v < g->n_values; v++) {
        ht_weights_ring *ring;
        if (g->values[v].streamed && ht_weights_get_ring(g->values[v].weights, &ring) == HT_OK) {
            ring->used = 0;
        }
    }
}

ht_status ht_graph_stream_plan(ht_graph *g) {
    bool any = false;
    uint32_t piece = 1;
    ht_status status = HT_OK;
    for (uint32_t v = 1; v < g->n_values; v++) {
        any = any || g->values[v].streamed;
    }
    if (!any) {
        return HT_OK;
    }
    g->stream_ends = ht_alloc(g->context, (g->n_nodes + 1) * sizeof *g->stream_ends);
    if (g->stream_ends == NULL) {
        return HT_ERR_NO_MEMORY;
    }
    restart_rings(g);
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        bool fits;
        HT_TRY(node_fits(g, &g->nodes[n], piece, &fits));
        if (!fits) {
            g->stream_ends[g->n_streams++] = n;
            piece++;
            restart_rings(g);
            HT_TRY(node_fits(g, &g->nodes[n], piece, &fits));
            if (!fits) {
                return ht_fail(g->context, HT_ERR_NO_MEMORY,
                               "graph '%s': the weights of '%s' are larger than a buffer to stream "
                               "them through",
                               g->label, g->nodes[n].label);
            }
        }
        HT_TRY(place_node(g, &g->nodes[n], piece));
    }
    g->n_streams++; // up to the last node, whatever is added behind
fail:
    return status;
}

// The commands of the current variant's pieces.
static ht_vk_commands **streams(const ht_graph *g) {
    return g->streams + (uint64_t)g->variant * g->n_streams;
}

ht_status ht_graph_stream_record(ht_graph *g) {
    const uint64_t count = (uint64_t)g->n_variants * g->n_streams;
    ht_status status = HT_OK;
    g->stream_ends[g->n_streams - 1] = g->n_nodes;
    g->streams = ht_alloc(g->context, count * sizeof *g->streams);
    status = g->streams != NULL ? HT_OK : HT_ERR_NO_MEMORY;
    HT_TRY(status);
    for (g->variant = 0; g->variant < g->n_variants; g->variant++) {
        uint32_t first = 0;
        g->stats.dispatches = 0;
        for (uint32_t p = 0; p < g->n_streams; p++) {
            HT_TRY(ht_graph_record_piece(g, first, g->stream_ends[p], &streams(g)[p]));
            g->stats.dispatches += ht_vk_dispatch_count(streams(g)[p]);
            first = g->stream_ends[p];
        }
    }
    ht_log(g->context, HT_LOG_INFO, "graph '%s': weights streamed in %u pieces", g->label,
           g->n_streams);
fail:
    g->variant = 0;
    return status;
}

// Weights of piece `index` (from 0) into their slot, unless they are there.
static ht_status load(ht_graph *g, uint32_t index) {
    const uint32_t piece = index + 1, slot = piece % 2;
    ht_status status = HT_OK;
    for (uint32_t v = 1; v < g->n_values; v++) {
        const ht_graph_value *w = &g->values[v];
        ht_weights_ring *ring;
        if (w->kind != HT_VALUE_WEIGHT || !w->streamed || w->piece != piece) {
            continue;
        }
        HT_TRY(ht_weights_get_ring(w->weights, &ring));
        if (ring->owner[slot] == g && ring->piece[slot] == piece) {
            continue;
        }
        HT_TRY(ht_weights_stream_in(w->weights, w->weight_name, w->layout, &w->desc,
                                    &ring->slots[slot], w->slot_offset));
    }
    for (uint32_t v = 1; v < g->n_values; v++) { // whole now
        const ht_graph_value *w = &g->values[v];
        ht_weights_ring *ring;
        if (w->kind == HT_VALUE_WEIGHT && w->streamed && w->piece == piece) {
            HT_TRY(ht_weights_get_ring(w->weights, &ring));
            ring->owner[slot] = g;
            ring->piece[slot] = piece;
        }
    }
fail:
    return status;
}

ht_status ht_graph_stream_run(ht_graph *g) {
    ht_status status = load(g, 0);
    for (uint32_t p = 0; p < g->n_streams && status == HT_OK; p++) {
        HT_TRY(ht_vk_commands_start(streams(g)[p]));
        // The other slot is free: its piece was waited for.
        ht_status next = p + 1 < g->n_streams ? load(g, p + 1) : HT_OK;
        status = ht_vk_commands_wait(streams(g)[p]);
        status = status == HT_OK ? next : status;
    }
fail:
    return status;
}

void ht_graph_stream_destroy(ht_graph *g) {
    for (uint32_t p = 0; g->streams != NULL && p < g->n_variants * g->n_streams; p++) {
        ht_vk_commands_destroy(&g->streams[p]);
    }
    for (uint32_t v = 1; g->n_streams > 0 && v < g->n_values;
         v++) { // another graph may get the same address
        ht_weights_ring *ring;
        if (g->values[v].kind == HT_VALUE_WEIGHT && g->values[v].streamed &&
            ht_weights_get_ring(g->values[v].weights, &ring) == HT_OK) {
            for (int i = 0; i < 2; i++) {
                ring->owner[i] = ring->owner[i] == g ? NULL : ring->owner[i];
            }
        }
    }
    ht_free(g->context, g->streams);
    ht_free(g->context, g->stream_ends);
}
