// Graphs: a network is built once as nodes, planned (lifetimes, memory), recorded once, and then
// replayed with the same buffers. Nothing is allocated while it runs.
#ifndef HALFTONE_GRAPH_H
#define HALFTONE_GRAPH_H

#include <halftone/weights.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ht_graph ht_graph;

// A node's result. Plain data, owned by nobody; id 0 means "an earlier call failed" and is
// accepted, and passed on, by every builder.
typedef struct ht_value {
    uint32_t id;
} ht_value;

// An optional input that is not given.
#define HT_NO_VALUE ((ht_value){UINT32_MAX})

typedef struct ht_graph_desc {
    const char *label;
    ht_format activations; // F32 or F16: format of the results of ops
    bool profile;          // timestamps around every node
    bool keep_values;      // no memory reuse, so that ht_graph_check can look at every node
} ht_graph_desc;

// Start an empty graph. On success *out owns everything added to it.
HT_API ht_status ht_graph_create(ht_context *context, const ht_graph_desc *desc, ht_graph **out);
HT_API void ht_graph_destroy(ht_graph **graph);

// Use a tensor as input. It must outlive the graph.
HT_API ht_value ht_graph_tensor(ht_graph *graph, ht_tensor *tensor);
// Use a weight; uploads it (or imports its mapping) on first use and shares it between graphs.
// The file's shape must be `dims` (for HT_WEIGHT_CONV: O, I, kh, kw; for HT_WEIGHT_TIME_..: O, I, kt, kh, kw); anything else fails with
// the tensor's name, the shape expected and the shape found.
HT_API ht_value ht_graph_weight(ht_graph *graph, ht_weights *weights, const char *name,
                                ht_weight_layout layout, uint32_t rank, const uint32_t *dims);
// The same with the format on the device chosen: NONE as the weights were opened, or a packed one
// (not for VECTOR, which is always f32). Packed by HT_SCALE_SEARCH while it is uploaded.
HT_API ht_value ht_graph_weight_as(ht_graph *graph, ht_weights *weights, const char *name,
                                   ht_weight_layout layout, ht_format format, uint32_t rank,
                                   const uint32_t *dims);
// A constant; the data (bytes as desc says) is copied.
HT_API ht_value ht_graph_constant(ht_graph *graph, const ht_tensor_desc *desc, const void *data);

// Record the graph `count` times (1 to HT_GRAPH_MAX_VARIANTS), for nodes that are computed in another
// way in each (ht_attention_plan.by_variant); memory is planned for all. Before any node is added.
enum { HT_GRAPH_MAX_VARIANTS = 16 };
HT_API void ht_graph_set_variants(ht_graph *graph, uint32_t count);
HT_API uint32_t ht_graph_variants(const ht_graph *graph);
// The variant that runs from now on; the first until something else is said.
HT_API ht_status ht_graph_select(ht_graph *graph, uint32_t variant);

// Shape and format of a value (rank 0 and format NONE for a failed one).
HT_API ht_tensor_desc ht_graph_value_desc(const ht_graph *graph, ht_value value);
// Prefix of the labels of nodes added from now on, e.g. "block 3"; copied.
HT_API void ht_graph_scope(ht_graph *graph, const char *scope);
// Fail the graph from a builder of a higher layer (models); the first cause is kept.
HT_API void ht_graph_fail(ht_graph *graph, ht_status status);
HT_API ht_status ht_graph_status(const ht_graph *graph);
HT_API ht_context *ht_graph_context(const ht_graph *graph);

// Have `value` written to `tensor` (same shape; formats may differ).
HT_API void ht_graph_output(ht_graph *graph, ht_value value, ht_tensor *tensor);

// Write `value` to `tensor` at this place: nodes added before may read what the tensor had, none may
// be added that reads it behind. So a graph can carry something from one run to the next. Nodes that
// read such a tensor cannot be checked by ht_graph_check: their input is gone by then.
HT_API void ht_graph_update(ht_graph *graph, ht_value value, ht_tensor *tensor);

// Report the first failure of any builder call since creation, else plan memory and record.
HT_API ht_status ht_graph_finish(ht_graph *graph);

// Run and wait.
HT_API ht_status ht_graph_run(ht_graph *graph);

typedef struct ht_graph_stats {
    uint32_t nodes;
    uint32_t fused; // nodes that went into the ops before or behind them, no longer in `nodes`
    uint32_t dispatches;
    uint32_t barriers;
    uint64_t activation_bytes; // planned: all intermediate values together
    uint64_t unshared_bytes;   // what they would take without reuse
} ht_graph_stats;
HT_API void ht_graph_get_stats(const ht_graph *graph, ht_graph_stats *stats);
// Bytes the plan takes, without needing ht_graph_finish to have succeeded (0 before it).

typedef struct ht_node_timing {
    const char *label; // "block 3/attn1.to_q"
    const char *op;    // "linear"
    uint64_t time_ns;  // of the last run
} ht_node_timing;
// Only with desc.profile and after a run. Returns how many there are; fills up to `capacity`.
HT_API uint32_t ht_graph_timings(const ht_graph *graph, ht_node_timing *timings, uint32_t capacity);

// One node compared with the CPU reference, fed with the device's own inputs.
typedef struct ht_node_check {
    const char *label;
    const char *op;
    double rel_l2;  // ||device - reference|| / ||reference||
    double max_abs; // largest absolute difference
    uint64_t worst; // its index
    bool finite;    // no NaN or infinity in the device's result
} ht_node_check;
typedef void (*ht_node_check_fn)(void *user, const ht_node_check *check);
// Run, then recompute every node on the CPU. Needs desc.keep_values.
HT_API ht_status ht_graph_check(ht_graph *graph, ht_node_check_fn report, void *user);

// How the rows of a matrix product are taken from its input: those of a picture [B, in_h, in_w, K]
// under a kernel, or (of a linear layer) the rows themselves, as a picture one row high.
typedef struct ht_window {
    uint32_t kernel_h, kernel_w;
    uint32_t in_h, in_w; // as stored, before upsampling
    uint32_t out_h, out_w;
    uint32_t stride, upsample;
    uint32_t pad_top, pad_left;
} ht_window;

// A layer with a weight while the graph runs: its input, and its result if that was asked for. All
// borrowed for the call; packed values are unpacked.
typedef struct ht_layer_run {
    const char *layer; // name of the weight without ".weight"
    uint32_t input;    // equal in layers that read the same input
    ht_window window;
    ht_tensor_desc x_desc, y_desc; // [.., K] and [.., N]
    const float *x, *y;            // y is NULL unless asked for
} ht_layer_run;
// HT_OK goes on.
typedef ht_status (*ht_layer_run_fn)(void *user, const ht_layer_run *run);
// Run, stopping behind every linear and conv2d node to show it. Takes no more device memory than
// ht_graph_run.
HT_API ht_status ht_graph_observe(ht_graph *graph, bool results, ht_layer_run_fn show, void *user);

// An attention while the graph runs: what it multiplies, [B, T, C] each, borrowed for the call.
typedef struct ht_attention_run {
    const char *layer; // name of the last weight before it, as in ht_layer_run: "...attn1.to_v"
    uint32_t heads;
    ht_tensor_desc q_desc, k_desc; // v is as k
    const float *q, *k, *v;
} ht_attention_run;
typedef ht_status (*ht_attention_run_fn)(void *user, const ht_attention_run *run);
// As ht_graph_observe, of the attention nodes.
HT_API ht_status ht_graph_observe_attentions(ht_graph *graph, ht_attention_run_fn show, void *user);

#ifdef __cplusplus
}
#endif
#endif
