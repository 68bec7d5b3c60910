// The judge on the device.
#include "eval.h"

#include <stdio.h>
#include <string.h>

// FILE.safetensors -> FILE.json
static bool config_path(const char *weights, char path[PATH_MAX]) {
    size_t length = strlen(weights);
    static const char ending[] = ".safetensors";
    if (length < sizeof(ending) || strcmp(weights + length - sizeof(ending) + 1, ending) != 0) {
        return false;
    }
    int n = snprintf(path, PATH_MAX, "%.*s.json", (int)(length - sizeof(ending) + 1), weights);
    return n > 0 && n < PATH_MAX;
}

bool eval_judge_find(const eval_options *options, ht_app_log *log, eval_judge *judge) {
    char path[PATH_MAX];
    if (options->judge) {
        snprintf(judge->path, sizeof(judge->path), "%s", options->judge);
    } else if (!eval_asset("judge/scenes-judge.safetensors", judge->path)) {
        return false;
    }
    if (!config_path(judge->path, path)) {
        ht_app_say(log, HT_LOG_ERROR, "--judge '%s': expected a .safetensors file", judge->path);
        return false;
    }
    ht_context *context = NULL;
    ht_context_desc desc = {
        .host_only = true,
        .log = {.write = ht_app_log_write, .user = log, .level = log->level},
    };
    ht_status status = ht_context_create(&desc, &context);
    if (status == HT_OK) {
        status = ht_judge_config_read(context, path, &judge->config);
    }
    ht_context_destroy(&context);
    return status == HT_OK;
}

static ht_status build(eval_judge *j) {
    ht_context *context = j->context;
    ht_weights_desc weights = {.path = j->path, .format = HT_FORMAT_F32};
    ht_tensor_desc in = {.format = HT_FORMAT_F32,
                         .rank = 4,
                         .dims = {1, HT_JUDGE_EDGE, HT_JUDGE_EDGE, 3},
                         .label = "picture"};
    ht_tensor_desc out = {
        .format = HT_FORMAT_F32, .rank = 2, .dims = {1, j->config.outputs}, .label = "logits"};
    ht_graph_desc graph = {.label = "judge", .activations = HT_FORMAT_F32};
    ht_status status = ht_weights_open(context, &weights, &j->weights);
    if (status == HT_OK) {
        status = ht_judge_config_weights(context, j->weights, &j->config);
    }
    if (status == HT_OK) {
        status = ht_tensor_create(context, &in, &j->in);
    }
    if (status == HT_OK) {
        status = ht_tensor_create(context, &out, &j->out);
    }
    if (status == HT_OK) {
        status = ht_graph_create(context, &graph, &j->graph);
    }
    if (status == HT_OK) {
        ht_value logits =
            ht_judge_logits(j->graph, &j->config, j->weights, ht_graph_tensor(j->graph, j->in));
        ht_graph_output(j->graph, logits, j->out);
        status = ht_graph_finish(j->graph);
    }
    return status;
}

ht_status eval_judge_open(eval_judge *judge, const eval_options *options, ht_app_log *log) {
    ht_context_desc desc = {
        .device = options->device,
        .log = {.write = ht_app_log_write, .user = log, .level = log->level},
    };
    ht_status status = ht_context_create(&desc, &judge->context);
    return status == HT_OK ? build(judge) : status;
}

static ht_status show(eval_judge *j, const ht_image *image, ht_image *small, float *values) {
    size_t count = (size_t)HT_JUDGE_EDGE * HT_JUDGE_EDGE * 3;
    ht_status status = ht_image_create(j->context, HT_JUDGE_EDGE, HT_JUDGE_EDGE, small);
    if (status != HT_OK) {
        return status;
    }
    if (image->width == small->width && image->height == small->height) {
        memcpy(small->rgb, image->rgb, count);
    } else {
        status = ht_image_resize(j->context, image, small);
    }
    if (status == HT_OK) {
        ht_image_to_floats(small, values);
        status = ht_tensor_write_f32(j->in, values, count);
    }
    return status == HT_OK ? ht_graph_run(j->graph) : status;
}

ht_status eval_judge_look(eval_judge *j, const ht_image *image, int read[HT_JUDGE_MAX_HEADS]) {
    float logits[HT_JUDGE_MAX_HEADS * HT_JUDGE_MAX_CLASSES];
    ht_image small = {0};
    float *values =
        ht_alloc(j->context, (size_t)HT_JUDGE_EDGE * HT_JUDGE_EDGE * 3 * sizeof(*values));
    ht_status status = values ? show(j, image, &small, values) : HT_ERR_NO_MEMORY;
    if (status == HT_OK) {
        status = ht_tensor_read_f32(j->out, logits, j->config.outputs);
    }
    for (uint32_t h = 0; h < j->config.heads && status == HT_OK; ++h) {
        const ht_judge_head *head = &j->config.head[h];
        read[h] = 0;
        for (uint32_t i = 1; i < head->count; ++i) {
            if (logits[head->first + i] > logits[head->first + (uint32_t)read[h]]) {
                read[h] = (int)i;
            }
        }
    }
    ht_image_clear(j->context, &small);
    ht_free(j->context, values);
    return status;
}

void eval_judge_close(eval_judge *judge) {
    ht_graph_destroy(&judge->graph);
    ht_tensor_destroy(&judge->in);
    ht_tensor_destroy(&judge->out);
    ht_weights_destroy(&judge->weights);
    ht_context_destroy(&judge->context);
}
