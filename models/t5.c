// T5 and UMT5 text encoders: pre-norm blocks with RMS norms, no biases, unscaled attention with a
// relative position bias.
#include "t5.h"

#include "common/config.h"
#include "common/layers.h"

#include <math.h>
#include <string.h>

static bool read_feed_forward(ht_config *json, ht_t5_config *out) {
    const char *kind = ht_config_text(json, "feed_forward_proj", "relu");
    out->gated = strncmp(kind, "gated-", 6) == 0;
    const char *act = out->gated ? kind + 6 : kind;
    // T5 means the tanh form when it says gated-gelu.
    if (strcmp(act, "gelu") == 0) {
        out->act = out->gated ? HT_ACT_GELU_TANH : HT_ACT_GELU_ERF;
    } else if (strcmp(act, "gelu_new") == 0) {
        out->act = HT_ACT_GELU_TANH;
    } else if (strcmp(act, "relu") == 0) {
        out->act = HT_ACT_RELU;
    } else if (strcmp(act, "silu") == 0) {
        out->act = HT_ACT_SILU;
    } else {
        return false;
    }
    return true;
}

ht_status ht_t5_config_read(ht_context *context, const char *folder, ht_t5_config *out) {
    ht_config json;
    ht_status status = ht_config_open(context, folder, "config.json", &json);
    if (status != HT_OK) {
        return status;
    }
    const char *type = ht_config_text(&json, "model_type", "t5");
    *out = (ht_t5_config){
        .vocab_size = ht_config_u32(&json, "vocab_size", 32128, 1, 1 << 22),
        .d_model = ht_config_u32(&json, "d_model", 512, 1, 1 << 16),
        .d_kv = ht_config_u32(&json, "d_kv", 64, 1, 1 << 10),
        .d_ff = ht_config_u32(&json, "d_ff", 2048, 1, 1 << 18),
        .num_layers = ht_config_u32(&json, "num_layers", 6, 1, 256),
        .num_heads = ht_config_u32(&json, "num_heads", 8, 1, 1024),
        .num_buckets = ht_config_u32(&json, "relative_attention_num_buckets", 32, 4, 1024),
        .max_distance = ht_config_u32(&json, "relative_attention_max_distance", 128, 2, 1 << 20),
        .eps = (float)ht_config_real(&json, "layer_norm_epsilon", 1e-6, 0, 1),
        .bias_per_block = strcmp(type, "umt5") == 0,
    };
    status = json.status;
    if (status == HT_OK && strcmp(type, "t5") != 0 && strcmp(type, "umt5") != 0) {
        status = ht_fail(context, HT_ERR_UNSUPPORTED,
                         "'%s/config.json' describes a '%s' text encoder; supported: t5, umt5",
                         folder, type);
    }
    if (status == HT_OK && !read_feed_forward(&json, out)) {
        status = ht_fail(context, HT_ERR_UNSUPPORTED,
                         "'%s/config.json': feed_forward_proj '%s' is not supported", folder,
                         ht_config_text(&json, "feed_forward_proj", ""));
    }
    if (status == HT_OK && out->max_distance <= out->num_buckets / 4) {
        status = ht_fail(context, HT_ERR_IO,
                         "'%s/config.json': relative_attention_max_distance %u is too small for %u "
                         "buckets",
                         folder, out->max_distance, out->num_buckets);
    }
    ht_config_close(&json);
    return status;
}

enum { ONE, VOCAB, MODEL, INNER, FF, BUCKETS, HEADS, GATED, PLAIN, TABLE, SIZES };

static const ht_weight_row once_rows[] = {
    {"shared.weight", "encoder.embed_tokens.weight", ONE, 2, {VOCAB, MODEL}},
    {"encoder.final_layer_norm.weight", NULL, ONE, 1, {MODEL}},
};
static const ht_weight_row block_rows[] = {
    {"layer.0.layer_norm.weight", NULL, ONE, 1, {MODEL}},
    {"layer.0.SelfAttention.q.weight", NULL, ONE, 2, {INNER, MODEL}},
    {"layer.0.SelfAttention.k.weight", NULL, ONE, 2, {INNER, MODEL}},
    {"layer.0.SelfAttention.v.weight", NULL, ONE, 2, {INNER, MODEL}},
    {"layer.0.SelfAttention.o.weight", NULL, ONE, 2, {MODEL, INNER}},
    {"layer.0.SelfAttention.relative_attention_bias.weight", NULL, TABLE, 2, {BUCKETS, HEADS}},
    {"layer.1.layer_norm.weight", NULL, ONE, 1, {MODEL}},
    {"layer.1.DenseReluDense.wi_0.weight", NULL, GATED, 2, {FF, MODEL}},
    {"layer.1.DenseReluDense.wi_1.weight", NULL, GATED, 2, {FF, MODEL}},
    {"layer.1.DenseReluDense.wi.weight", NULL, PLAIN, 2, {FF, MODEL}},
    {"layer.1.DenseReluDense.wo.weight", NULL, ONE, 2, {MODEL, FF}},
};

ht_status ht_t5_weight_map(ht_context *context, const ht_t5_config *config, ht_weight_map *out) {
    *out = (ht_weight_map){.context = context};
    uint32_t sizes[SIZES] = {
        [ONE] = 1,
        [VOCAB] = config->vocab_size,
        [MODEL] = config->d_model,
        [INNER] = config->num_heads * config->d_kv,
        [FF] = config->d_ff,
        [BUCKETS] = config->num_buckets,
        [HEADS] = config->num_heads,
        [GATED] = config->gated,
        [PLAIN] = !config->gated,
    };
    ht_weight_map_add(out, "", once_rows, sizeof(once_rows) / sizeof(*once_rows), sizes);
    for (uint32_t i = 0; i < config->num_layers; ++i) {
        char prefix[HT_NAME_BYTES];
        sizes[TABLE] = i == 0 || config->bias_per_block;
        ht_weight_map_add(out, ht_nn_name(prefix, "encoder.block.%u.", i), block_rows,
                          sizeof(block_rows) / sizeof(*block_rows), sizes);
    }
    return out->status;
}

uint32_t ht_t5_bucket(const ht_t5_config *config, int32_t distance) {
    uint32_t half = config->num_buckets / 2, exact = half / 2;
    uint32_t n = (uint32_t)(distance < 0 ? -distance : distance);
    uint32_t base = distance > 0 ? half : 0;
    if (n < exact) {
        return base + n;
    }
    // In f32 like the reference: the edges of the buckets are exact powers.
    float ratio =
        logf((float)n / (float)exact) / (float)log((double)config->max_distance / (double)exact);
    uint32_t far = exact + (uint32_t)(ratio * (float)(half - exact));
    return base + (far < half ? far : half - 1);
}

// Row k - q + T - 1 holds the bias of every head for that distance.  -> [2T - 1, heads] f32
static ht_value position_bias(const ht_nn *nn, const ht_t5_config *c, const char *block,
                              uint32_t tokens) {
    ht_context *context = ht_graph_context(nn->graph);
    uint32_t rows = 2 * tokens - 1;
    int32_t *buckets = ht_alloc(context, rows * sizeof(*buckets));
    if (!buckets) {
        ht_graph_fail(nn->graph, HT_ERR_NO_MEMORY);
        return (ht_value){0};
    }
    for (uint32_t i = 0; i < rows; ++i) {
        buckets[i] = (int32_t)ht_t5_bucket(c, (int32_t)i - (int32_t)(tokens - 1));
    }
    ht_value ids = ht_graph_constant(
        nn->graph,
        &(ht_tensor_desc){.format = HT_FORMAT_I32, .rank = 1, .dims = {rows}, .label = "buckets"},
        buckets);
    ht_free(context, buckets);
    char name[HT_NAME_BYTES];
    ht_nn_name(name, "%s.layer.0.SelfAttention.relative_attention_bias.weight", block);
    uint32_t dims[2] = {c->num_buckets, c->num_heads};
    ht_value table = ht_graph_weight(nn->graph, nn->weights, name, HT_WEIGHT_VECTOR, 2, dims);
    ht_value bias = ht_op_embedding(nn->graph, table, ids);
    return ht_op_cast(nn->graph, bias, HT_FORMAT_F32);
}

// h [B, T, d_model] -> [B, T, d_model]
static ht_value attention(const ht_nn *nn, const ht_t5_config *c, const char *block, ht_value h,
                          ht_value bias, ht_value mask) {
    char name[HT_NAME_BYTES];
    uint32_t inner = c->num_heads * c->d_kv;
    ht_value x = ht_nn_rms_norm(nn, ht_nn_name(name, "%s.layer.0.layer_norm", block), h, c->eps);
    ht_nn_name(name, "%s.layer.0.SelfAttention.q", block);
    ht_value q = ht_nn_linear(nn, name, x, inner, NULL); // [B, T, inner]
    ht_nn_name(name, "%s.layer.0.SelfAttention.k", block);
    ht_value k = ht_nn_linear(nn, name, x, inner, NULL);
    ht_nn_name(name, "%s.layer.0.SelfAttention.v", block);
    ht_value v = ht_nn_linear(nn, name, x, inner, NULL);
    ht_attention_args args = {.heads = c->num_heads, .scale = 1.0f, .rel_bias = bias, .mask = mask};
    ht_value mixed = ht_op_attention(nn->graph, q, k, v, &args);
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.residual = h;
    ht_nn_name(name, "%s.layer.0.SelfAttention.o", block);
    return ht_nn_linear(nn, name, mixed, c->d_model, &rest);
}

// h [B, T, d_model] -> [B, T, d_model]
static ht_value feed_forward(const ht_nn *nn, const ht_t5_config *c, const char *block,
                             ht_value h) {
    char name[HT_NAME_BYTES];
    ht_value x = ht_nn_rms_norm(nn, ht_nn_name(name, "%s.layer.1.layer_norm", block), h, c->eps);
    ht_epilogue rest = HT_EPILOGUE_NONE;
    rest.act = c->act;
    ht_nn_name(name, "%s.layer.1.DenseReluDense.%s", block, c->gated ? "wi_0" : "wi");
    ht_value inner = ht_nn_linear(nn, name, x, c->d_ff, &rest); // [B, T, d_ff]
    if (c->gated) { // wi_0 goes through the activation, wi_1 is linear
        rest = HT_EPILOGUE_NONE;
        rest.gate = inner;
        ht_nn_name(name, "%s.layer.1.DenseReluDense.wi_1", block);
        inner = ht_nn_linear(nn, name, x, c->d_ff, &rest);
    }
    rest = HT_EPILOGUE_NONE;
    rest.residual = h;
    ht_nn_name(name, "%s.layer.1.DenseReluDense.wo", block);
    return ht_nn_linear(nn, name, inner, c->d_model, &rest);
}

ht_value ht_t5_build(ht_graph *graph, const ht_t5_config *config, ht_weights *weights, ht_value ids,
                     ht_value mask) {
    const ht_nn nn = {.graph = graph, .weights = weights, .lora = config->lora};
    uint32_t tokens = ht_nn_width(&nn, ids);
    if (tokens == 0) {
        return (ht_value){0};
    }
    const char *table =
        ht_weights_find(weights, once_rows[0].name) ? once_rows[0].name : once_rows[0].old_name;
    uint32_t dims[2] = {config->vocab_size, config->d_model};
    ht_value h = ht_op_embedding(
        graph, ht_graph_weight(graph, weights, table, HT_WEIGHT_TABLE, 2, dims), ids);
    ht_value bias = HT_NO_VALUE;
    for (uint32_t i = 0; i < config->num_layers; ++i) {
        char block[HT_NAME_BYTES], scope[HT_NAME_BYTES];
        ht_nn_name(block, "encoder.block.%u", i);
        ht_graph_scope(graph, ht_nn_name(scope, "block %u", i));
        if (i == 0 || config->bias_per_block) {
            bias = position_bias(&nn, config, block, tokens);
        }
        h = attention(&nn, config, block, h, bias, mask);
        h = feed_forward(&nn, config, block, h);
    }
    ht_graph_scope(graph, "");
    return ht_nn_rms_norm(&nn, "encoder.final_layer_norm", h, config->eps);
}
