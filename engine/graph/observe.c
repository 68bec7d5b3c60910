// Running a graph layer by layer: pieces of its nodes, each ending behind a layer with a weight, so
// that what the layer read is still there.
#include "graph_internal.h"

// A product with a weight; `window` as its op says.
static bool is_layer(ht_graph *g, const ht_graph_node *node, ht_window *window) {
    ht_op_call call;
    if (node->def->window == NULL ||
        ht_graph_root(g, node->inputs[1])->kind != HT_VALUE_WEIGHT) {
        return false;
    }
    ht_graph_call(g, node, &call);
    node->def->window(&call, window);
    return true;
}

// A piece per layer, and one for the nodes behind the last.
static ht_status record_pieces(ht_graph *g) {
    ht_window window;
    uint32_t first = 0;
    ht_status status = HT_OK;
    g->pieces = ht_alloc(g->context, (g->n_nodes + 1) * sizeof *g->pieces);
    if (g->pieces == NULL) {
        return HT_ERR_NO_MEMORY;
    }
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        if (is_layer(g, &g->nodes[n], &window) || n + 1 == g->n_nodes) {
            g->n_pieces++;
            HT_TRY(ht_graph_record_piece(g, first, n + 1, &g->pieces[g->n_pieces - 1]));
            first = n + 1;
        }
    }
fail:
    ht_graph_fail(g, status);
    return status;
}

typedef struct observer {
    ht_graph *g;
    bool results;
    ht_layer_run_fn show;
    void *user;
    uint32_t input; // whose floats are kept: layers often share one
    float *x;
} observer;

static ht_status show_layer(observer *o, const ht_graph_node *node, ht_layer_run *run) {
    ht_graph *g = o->g;
    float *y = NULL;
    ht_status status = HT_OK;
    if (o->x == NULL || o->input != node->inputs[0]) {
        ht_free(g->context, o->x);
        o->x = NULL;
        HT_TRY(ht_graph_read_floats(g, node->inputs[0], &o->x));
        o->input = node->inputs[0];
    }
    if (o->results) {
        HT_TRY(ht_graph_read_floats(g, node->output, &y));
    }
    run->layer = node->label;
    run->input = o->input;
    run->x_desc = g->values[node->inputs[0]].desc;
    run->y_desc = g->values[node->output].desc;
    run->x = o->x;
    run->y = y;
    status = o->show(o->user, run);
fail:
    ht_free(g->context, y);
    return status;
}

ht_status ht_graph_observe(ht_graph *g, bool results, ht_layer_run_fn show, void *user) {
    observer o = {.g = g, .results = results, .show = show, .user = user};
    ht_status status = g->status;
    uint32_t piece = 0;
    if (status == HT_OK && !g->finished) {
        status = ht_fail(g->context, HT_ERR_INVALID, "graph '%s' was not finished", g->label);
    }
    if (status == HT_OK && g->n_streams > 0) {
        status = ht_fail(g->context, HT_ERR_INVALID,
                         "graph '%s' streams its weights and cannot be observed", g->label);
    }
    HT_TRY(status);
    if (g->pieces == NULL) {
        HT_TRY(record_pieces(g));
    }
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        ht_layer_run run = {0};
        const bool layer = is_layer(g, &g->nodes[n], &run.window);
        if (layer || n + 1 == g->n_nodes) {
            HT_TRY(ht_vk_commands_run(g->pieces[piece++]));
        }
        if (layer) {
            HT_TRY(show_layer(&o, &g->nodes[n], &run));
        }
    }
fail:
    ht_free(g->context, o.x);
    return status;
}
