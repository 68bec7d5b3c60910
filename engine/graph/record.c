// Recording: every node once, with a barrier where it touches memory that was touched since the
// last one.
#include "graph_internal.h"

enum { MAX_ACCESSES = 64 };

typedef struct access {
    uint64_t begin, end;
    bool write;
} access;

// Accesses since the last barrier.
typedef struct access_list {
    access items[MAX_ACCESSES];
    uint32_t count;
} access_list;

static bool conflicts(const access_list *list, const access *next) {
    for (uint32_t i = 0; i < list->count; i++) {
        const access *past = &list->items[i];
        if ((past->write || next->write) && past->begin < next->end && next->begin < past->end) {
            return true;
        }
    }
    return false;
}

// Every access of a node to memory that this graph or its caller may write.
static uint32_t node_accesses(ht_graph *g, const ht_graph_node *node,
                              access out[HT_MAX_INPUTS + 3]) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        if (node->inputs[i] == UINT32_MAX) {
            continue;
        }
        const ht_graph_value *value = &g->values[node->inputs[i]];
        ht_value_kind kind = ht_graph_root(g, node->inputs[i])->kind;
        if (kind == HT_VALUE_NODE || kind == HT_VALUE_TENSOR) {
            out[count++] =
                (access){value->address, value->address + ht_desc_bytes(&value->desc), false};
        }
    }
    if (node->scales != 0) {
        const uint64_t scale = g->values[node->scales].address + node->scale_offset;
        out[count++] = (access){scale, scale + sizeof(float), false};
    }
    const ht_graph_value *output = &g->values[node->output];
    out[count++] = (access){output->address, output->address + ht_graph_value_bytes(output), true};
    if (node->scratch_bytes != 0) {
        uint64_t begin = g->activations.address + node->scratch_offset;
        out[count++] = (access){begin, begin + node->scratch_bytes, true};
    }
    return count;
}

static void separate(ht_graph *g, const ht_graph_node *node, ht_vk_commands *commands,
                     access_list *past) {
    access next[HT_MAX_INPUTS + 3];
    uint32_t count = node_accesses(g, node, next);
    bool barrier = past->count + count > MAX_ACCESSES;
    for (uint32_t i = 0; i < count && !barrier; i++) {
        barrier = conflicts(past, &next[i]);
    }
    if (barrier) {
        ht_vk_barrier(commands);
        g->stats.barriers++;
        past->count = 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        past->items[past->count++] = next[i];
    }
}

static ht_status record_nodes(ht_graph *g, uint32_t first, uint32_t end, ht_vk_commands *commands) {
    access_list past = {.count = 0};
    ht_status status = HT_OK;
    HT_TRY(ht_vk_commands_begin(commands));
    for (uint32_t n = first; n < end; n++) {
        ht_op_call call;
        separate(g, &g->nodes[n], commands, &past);
        ht_graph_call(g, &g->nodes[n], &call);
        ht_vk_timestamp(commands, n);
        HT_TRY(g->nodes[n].def->record(&call, commands));
    }
    ht_vk_timestamp(commands, end);
    HT_TRY(ht_vk_commands_end(commands));
fail:
    return status;
}

ht_status ht_graph_record(ht_graph *g) {
    ht_status status = HT_OK;
    if (g->desc.profile) {
        g->times_ns = ht_alloc(g->context, (g->n_nodes + 1) * sizeof *g->times_ns);
        status = g->times_ns != NULL ? HT_OK : HT_ERR_NO_MEMORY;
        HT_TRY(status);
    }
    for (g->variant = 0; g->variant < g->n_variants; g->variant++) {
        ht_vk_commands **commands = &g->commands[g->variant];
        g->stats.barriers = 0; // and dispatches: of the last variant
        HT_TRY(ht_vk_commands_create(g->context, g->desc.profile ? g->n_nodes + 1 : 0, commands));
        HT_TRY(record_nodes(g, 0, g->n_nodes, *commands));
        g->stats.dispatches = ht_vk_dispatch_count(*commands);
    }
fail:
    g->variant = 0;
    return status;
}

ht_status ht_graph_record_piece(ht_graph *g, uint32_t first, uint32_t end, ht_vk_commands **out) {
    const uint32_t barriers = g->stats.barriers;
    ht_status status = ht_vk_commands_create(g->context, 0, out);
    HT_TRY(status);
    HT_TRY(record_nodes(g, first, end, *out));
fail:
    g->stats.barriers = barriers; // of the whole
    return status;
}
