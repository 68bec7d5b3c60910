// Running a graph layer by layer: pieces of its nodes, each ending behind a layer with a weight, so
// that what the layer read is still there.
#include "attention.h"
#include "graph_internal.h"

// A product with a weight; `window` as its op says.
static bool is_layer(ht_graph *g, const ht_graph_node *node, ht_window *window) {
    ht_op_call call;
    if (node->def->window == NULL || ht_graph_root(g, node->inputs[1])->kind != HT_VALUE_WEIGHT) {
        return false;
    }
    ht_graph_call(g, node, &call);
    node->def->window(&call, window);
    return true;
}

static bool is_attention(const ht_graph_node *node) {
    return node->def == &ht_op_attention_def || node->def == &ht_op_attention_codes_def;
}

static void forget_pieces(ht_graph *g) {
    for (uint32_t i = 0; i < g->n_pieces; i++) {
        ht_vk_commands_destroy(&g->pieces[i]);
    }
    ht_free(g->context, g->pieces);
    g->pieces = NULL;
    g->n_pieces = 0;
}

// A piece per layer or attention, and one for the nodes behind the last.
static ht_status record_pieces(ht_graph *g) {
    ht_window window;
    uint32_t first = 0;
    ht_status status = HT_OK;
    forget_pieces(g);
    g->pieces_variant = g->variant;
    g->pieces = ht_alloc(g->context, (g->n_nodes + 1) * sizeof *g->pieces);
    if (g->pieces == NULL) {
        return HT_ERR_NO_MEMORY;
    }
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        const ht_graph_node *node = &g->nodes[n];
        if (is_layer(g, node, &window) || is_attention(node) || n + 1 == g->n_nodes) {
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

static ht_status prepare(ht_graph *g) {
    if (g->status == HT_OK && !g->finished) {
        return ht_fail(g->context, HT_ERR_INVALID, "graph '%s' was not finished", g->label);
    }
    if (g->status == HT_OK && g->n_streams > 0) {
        return ht_fail(g->context, HT_ERR_INVALID,
                       "graph '%s' streams its weights and cannot be observed", g->label);
    }
    const bool recorded = g->pieces != NULL && g->pieces_variant == g->variant;
    return g->status != HT_OK || recorded ? g->status : record_pieces(g);
}

ht_status ht_graph_observe(ht_graph *g, bool results, ht_layer_run_fn show, void *user) {
    observer o = {.g = g, .results = results, .show = show, .user = user};
    ht_status status = HT_OK;
    uint32_t piece = 0;
    HT_TRY(prepare(g));
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        ht_layer_run run = {0};
        const bool layer = is_layer(g, &g->nodes[n], &run.window);
        if (layer || is_attention(&g->nodes[n]) || n + 1 == g->n_nodes) {
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

// What is multiplied: where the attention does something to its input itself, that is done here.
static ht_status read_changed(ht_graph *g, const ht_graph_node *node, uint32_t input, float **out) {
    float *inputs[HT_MAX_INPUTS] = {NULL};
    ht_op_call call;
    ht_status status = HT_OK;
    HT_TRY(ht_graph_read_floats(g, node->inputs[input], out));
    for (uint32_t i = ATTN_Q_TURNS; i < ATTN_INPUTS; i++) {
        if (node->inputs[i] != UINT32_MAX) {
            HT_TRY(ht_graph_read_floats(g, node->inputs[i], &inputs[i]));
        }
    }
    ht_graph_call(g, node, &call);
    ht_op_attention_change(&call, (const float *const *)inputs, input, *out);
fail:
    for (uint32_t i = ATTN_Q_TURNS; i < ATTN_INPUTS; i++) {
        ht_free(g->context, inputs[i]);
    }
    return status;
}

static ht_status show_attention(ht_graph *g, const ht_graph_node *node, const char *layer,
                                ht_attention_run_fn show, void *user) {
    ht_op_call call;
    float *q = NULL, *k = NULL, *v = NULL;
    ht_status status = HT_OK;
    ht_graph_call(g, node, &call);
    HT_TRY(read_changed(g, node, ATTN_Q, &q));
    HT_TRY(read_changed(g, node, ATTN_K, &k));
    HT_TRY(ht_graph_read_floats(g, node->inputs[ATTN_V], &v));
    const ht_attention_params *p = call.params;
    const ht_attention_run run = {.layer = layer,
                                  .heads = p->heads,
                                  .q_desc = call.in[ATTN_Q],
                                  .k_desc = call.in[ATTN_K],
                                  .q = q,
                                  .k = k,
                                  .v = v};
    status = show(user, &run);
fail:
    ht_free(g->context, q);
    ht_free(g->context, k);
    ht_free(g->context, v);
    return status;
}

ht_status ht_graph_observe_attentions(ht_graph *g, ht_attention_run_fn show, void *user) {
    const char *layer = "";
    ht_status status = HT_OK;
    uint32_t piece = 0;
    HT_TRY(prepare(g));
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        const ht_graph_node *node = &g->nodes[n];
        ht_window window;
        const bool weighted = is_layer(g, node, &window);
        if (weighted || is_attention(node) || n + 1 == g->n_nodes) {
            HT_TRY(ht_vk_commands_run(g->pieces[piece++]));
        }
        if (is_attention(node)) {
            HT_TRY(show_attention(g, node, layer, show, user));
        }
        layer = weighted ? node->label : layer;
    }
fail:
    return status;
}
