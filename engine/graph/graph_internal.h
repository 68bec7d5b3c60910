// Inside of a graph: its values and nodes, and what the files of this folder give each other.
#ifndef HT_GRAPH_INTERNAL_H
#define HT_GRAPH_INTERNAL_H

#include "op.h"
#include "weights_internal.h"

typedef enum ht_value_kind {
    HT_VALUE_NODE,     // result of a node, in the planned memory or in a bound tensor
    HT_VALUE_TENSOR,   // a caller's tensor
    HT_VALUE_WEIGHT,   // owned by an ht_weights
    HT_VALUE_CONSTANT, // in the graph's own arena
    HT_VALUE_ALIAS,    // another value's memory under another shape
} ht_value_kind;

typedef struct ht_graph_value {
    ht_value_kind kind;
    ht_tensor_desc desc;  // label NULL
    uint32_t root;        // id of the value whose memory this is; itself unless an alias
    uint32_t first, last; // nodes during which the memory is needed
    uint64_t address;
    uint64_t offset;      // in the planned memory, for NODE values that are not bound
    uint32_t home;        // NODE: the value whose planned memory it takes over; 0: has its own
    uint64_t view_offset; // ALIAS: bytes from the start of the root's memory
    ht_format copy;       // NODE: packed format in which it lies behind itself once more; 0: none
    ht_tensor *tensor;    // TENSOR, or a NODE bound by ht_graph_output or ht_graph_update
    bool updates;         // bound by the latter
    ht_vk_range range;    // CONSTANT
    ht_weights *weights;  // WEIGHT: where to read it back from
    char *weight_name;
    ht_weight_layout layout;
    bool streamed;          // WEIGHT that is copied to a slot before its piece runs
    uint32_t piece;         // which; the first is 1
    uint64_t slot_offset;
} ht_graph_value;

typedef struct ht_graph_node {
    const ht_op_def *def;
    char *label;
    uint32_t inputs[HT_MAX_INPUTS]; // value ids; UINT32_MAX: absent
    uint32_t n_inputs;
    uint32_t output;
    uint32_t scales; // value that holds the scale of a packed result; 0: found by row
    uint64_t scale_offset;
    uint64_t params[HT_MAX_PARAM_BYTES / sizeof(uint64_t)];
    uint64_t scratch_bytes;
    uint64_t scratch_offset;
} ht_graph_node;

typedef struct ht_graph_output_request {
    uint32_t value;
    ht_tensor *tensor;
} ht_graph_output_request;

struct ht_graph {
    ht_context *context;
    ht_graph_desc desc;
    char *label;
    char scope[128];
    ht_status status; // first failure; later calls do nothing
    bool finished;

    ht_graph_value *values; // values[0] is the failed value
    uint32_t n_values, value_capacity;
    ht_graph_node *nodes;
    uint32_t n_nodes, node_capacity;
    ht_graph_output_request *outputs;
    uint32_t n_outputs;

    ht_vk_arena constants;
    ht_vk_range activations;
    uint32_t n_variants, variant; // of the recorded commands, and the one that runs
    ht_vk_commands *commands[HT_GRAPH_MAX_VARIANTS];
    ht_vk_commands **pieces; // of ht_graph_observe: the nodes up to each layer; n_pieces
    uint32_t n_pieces, pieces_variant;
    // With streamed weights the graph runs in pieces, whose weights fit in a slot.
    uint32_t *stream_ends; // node behind each; n_streams of them, 0: nothing is streamed
    ht_vk_commands **streams; // [n_variants, n_streams]
    uint32_t n_streams;
    uint64_t *times_ns; // n_nodes + 1 with desc.profile
    bool has_times;
    ht_graph_stats stats;
};

// The value that owns the memory of `id`.
static inline ht_graph_value *ht_graph_root(ht_graph *g, uint32_t id) {
    return &g->values[g->values[id].root];
}

// Fill a call with shapes (and addresses, once planned) of a node.
void ht_graph_call(const ht_graph *g, const ht_graph_node *node, ht_op_call *call);

// Bytes of a value's memory: with its packed copy.
static inline uint64_t ht_graph_value_bytes(const ht_graph_value *value) {
    return value->copy == HT_FORMAT_NONE
               ? ht_desc_bytes(&value->desc)
               : ht_op_copy_offset(&value->desc) + ht_op_copy_bytes(&value->desc, value->copy);
}

// Let nodes pack their results where nothing else reads them (fuse.c).
void ht_graph_fuse(ht_graph *g);
// Bind outputs, compute lifetimes, place values, allocate (plan.c).
ht_status ht_graph_plan(ht_graph *g);
// Record every node with the barriers it needs, for each variant (record.c).
ht_status ht_graph_record(ht_graph *g);
// Record nodes first to end - 1 of the current variant as commands of their own.
ht_status ht_graph_record_piece(ht_graph *g, uint32_t first, uint32_t end, ht_vk_commands **out);
// What a value holds now, as ht_alloc'ed floats (check.c).
ht_status ht_graph_read_floats(ht_graph *g, uint32_t id, float **out);

// stream.c: give streamed weights their pieces and addresses (before planning), record the pieces, run
// them, copying the weights of the next while one computes.
ht_status ht_graph_stream_plan(ht_graph *g);
ht_status ht_graph_stream_record(ht_graph *g);
ht_status ht_graph_stream_run(ht_graph *g);
void ht_graph_stream_destroy(ht_graph *g);

#endif
