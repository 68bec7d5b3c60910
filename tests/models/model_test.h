// What the tests of networks share: a graph fed from golden tensors, and checks of weight maps.
#ifndef HT_MODEL_TEST_H
#define HT_MODEL_TEST_H

#include "support.h"

#include "common/weight_map.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Relative L2 error of a whole network in f32. Every op's sums of at most a few hundred terms are
// off by less than 1e-6 (measured by the ops' own tests), and there are some ten ops in a row.
#define HT_TEST_NETWORK_BOUND 1e-5

enum { HT_TEST_MAX_TENSORS = 32 };

typedef struct ht_test_net {
    ht_context *context;
    ht_graph *graph;
    ht_weights *weights;
    ht_test_golden golden;
    ht_tensor *tensors[HT_TEST_MAX_TENSORS];
    uint32_t count;
    ht_format activations;
} ht_test_net;

static inline void ht_test_must(ht_context *context, ht_status status) {
    if (status != HT_OK) {
        fail_msg("%s: %s", ht_status_name(status), ht_context_message(context));
    }
}

static inline void ht_test_net_open_as(ht_test_net *net, ht_tier tier, const char *folder,
                                       const char *golden, bool keep, ht_format activations) {
    *net = (ht_test_net){.context = ht_test_context(tier), .activations = activations};
    ht_test_golden_open(&net->golden, golden);
    ht_test_must(net->context,
                 ht_weights_open(net->context, &(ht_weights_desc){.path = folder}, &net->weights));
    ht_test_must(net->context, ht_graph_create(net->context,
                                               &(ht_graph_desc){.label = golden,
                                                                .activations = activations,
                                                                .keep_values = keep},
                                               &net->graph));
}

static inline void ht_test_net_open(ht_test_net *net, ht_tier tier, const char *folder,
                                    const char *golden, bool keep) {
    ht_test_net_open_as(net, tier, folder, golden, keep, HT_FORMAT_F32);
}

static inline void ht_test_net_close(ht_test_net *net) {
    ht_graph_destroy(&net->graph);
    for (uint32_t i = 0; i < net->count; ++i) {
        ht_tensor_destroy(&net->tensors[i]);
    }
    ht_weights_destroy(&net->weights);
    ht_test_golden_close(&net->golden);
}

static inline ht_tensor *ht_test_net_tensor(ht_test_net *net, ht_tensor_desc desc) {
    desc.label = "test";
    assert_true(net->count < HT_TEST_MAX_TENSORS);
    ht_test_must(net->context, ht_tensor_create(net->context, &desc, &net->tensors[net->count]));
    return net->tensors[net->count++];
}

// A golden tensor as input; NCHW ones become channels-last when `pictures` is set.
static inline ht_value ht_test_net_input(ht_test_net *net, const char *name, bool pictures) {
    ht_tensor_desc desc;
    float *values = pictures ? ht_test_golden_read_nhwc(&net->golden, name, &desc)
                             : ht_test_golden_read(&net->golden, name, &desc);
    ht_tensor *tensor = ht_test_net_tensor(net, desc);
    ht_test_must(net->context, ht_tensor_write_f32(tensor, values, ht_desc_count(&desc)));
    free(values);
    return ht_graph_tensor(net->graph, tensor);
}

// Values of our own as input.
static inline ht_value ht_test_net_values(ht_test_net *net, ht_tensor_desc desc,
                                          const float *values) {
    ht_tensor *tensor = ht_test_net_tensor(net, desc);
    ht_test_must(net->context, ht_tensor_write_f32(tensor, values, ht_desc_count(&desc)));
    return ht_graph_tensor(net->graph, tensor);
}

static inline ht_tensor *ht_test_net_output(ht_test_net *net, ht_value value) {
    ht_test_must(net->context, ht_graph_status(net->graph));
    ht_tensor_desc desc = ht_graph_value_desc(net->graph, value);
    desc.format = HT_FORMAT_F32;
    ht_tensor *tensor = ht_test_net_tensor(net, desc);
    ht_graph_output(net->graph, value, tensor);
    return tensor;
}

static inline void ht_test_net_run(ht_test_net *net) {
    ht_test_must(net->context, ht_graph_finish(net->graph));
    ht_test_must(net->context, ht_graph_run(net->graph));
}

// Relative L2 error that the network may have. In halves each node's result is rounded, by 2^-12.3 of its
// values in the root mean square, and such errors are independent.
static inline double ht_test_net_bound(const ht_test_net *net) {
    ht_graph_stats stats;
    ht_graph_get_stats(net->graph, &stats);
    return net->activations == HT_FORMAT_F16 ? exp2(-12.3) * sqrt(stats.nodes)
                                             : HT_TEST_NETWORK_BOUND;
}

static inline void ht_test_net_expect(ht_test_net *net, ht_tensor *tensor, const char *name,
                                      bool pictures) {
    ht_tensor_desc desc;
    float *want = pictures ? ht_test_golden_read_nhwc(&net->golden, name, &desc)
                           : ht_test_golden_read(&net->golden, name, &desc);
    size_t count = ht_desc_count(&desc);
    float *got = malloc(count * sizeof(*got));
    assert_non_null(got);
    ht_test_must(net->context, ht_tensor_read_f32(tensor, got, count));
    ht_test_error error = ht_test_compare(got, want, count);
    print_message("%s of %s: rel L2 %.2e\n", name, net->golden.name, error.rel_l2);
    ht_test_assert_close(name, got, want, count, ht_test_net_bound(net));
    free(got);
    free(want);
}

// An I32 tensor of the golden file, as it lies there.
static inline const int32_t *ht_test_net_ints(ht_test_net *net, const char *name,
                                              ht_tensor_desc *desc) {
    const ht_weight_info *info = ht_weights_find(net->golden.weights, name);
    assert_non_null(info);
    assert_int_equal(info->desc.format, HT_FORMAT_I32);
    *desc = info->desc;
    return info->data;
}

static inline ht_value ht_test_net_int_input(ht_test_net *net, const char *name) {
    ht_tensor_desc desc;
    const int32_t *values = ht_test_net_ints(net, name, &desc);
    ht_tensor *tensor = ht_test_net_tensor(net, desc);
    ht_test_must(net->context, ht_tensor_write(tensor, values, ht_desc_bytes(&desc)));
    return ht_graph_tensor(net->graph, tensor);
}

// For ht_graph_check: every node like its reference; `user` counts them (uint32_t).
static inline void ht_test_expect_node(void *user, const ht_node_check *check) {
    ++*(uint32_t *)user;
    if (!check->finite || !(check->rel_l2 <= HT_TEST_NETWORK_BOUND)) {
        fail_msg("%s (%s): rel L2 %.3g", check->label, check->op, check->rel_l2);
    }
}

// mask [B, T] of 0 and 1 -> 0 and `hidden`, as an input
static inline ht_value ht_test_net_mask(ht_test_net *net, const char *name, float hidden) {
    ht_tensor_desc desc;
    const int32_t *mask = ht_test_net_ints(net, name, &desc);
    size_t count = ht_desc_count(&desc);
    float *values = malloc(count * sizeof(*values));
    assert_non_null(values);
    for (size_t i = 0; i < count; ++i) {
        values[i] = mask[i] != 0 ? 0 : hidden;
    }
    desc.format = HT_FORMAT_F32;
    ht_value value = ht_test_net_values(net, desc, values);
    free(values);
    return value;
}

// Nothing missing, nothing left over, and as many tensors as are known to be there.
static inline void ht_test_full_map(ht_context *context, ht_weight_map *map, const char *path,
                                    uint32_t count) {
    ht_weights *weights;
    uint32_t left_over = 1;
    ht_test_must(context, map->status);
    ht_test_must(context, ht_weights_open(context, &(ht_weights_desc){.path = path}, &weights));
    ht_test_must(context, ht_weight_map_check(map, weights, &left_over));
    assert_int_equal(left_over, 0);
    assert_int_equal(map->count, count);
    ht_weights_destroy(&weights);
    ht_weight_map_clear(map);
}

// Paths in the folder that tools/golden/make_fullsize.py filled, when HT_TEST_FULLSIZE names one;
// else the test is skipped.
static inline void ht_test_fullsize(const char *part, const char *golden, char folder[512],
                                    char golden_path[512]) {
    const char *root = getenv("HT_TEST_FULLSIZE");
    if (!root) {
        print_message("skipped: HT_TEST_FULLSIZE names no folder\n");
        skip();
    }
    snprintf(folder, 512, "%s/%s", root, part);
    snprintf(golden_path, 512, "%s/%s", root, golden);
}

// Both tiers that the environment allows.
static const ht_tier ht_test_tiers[] = {HT_TIER_PORTABLE, HT_TIER_CPU};

#endif
