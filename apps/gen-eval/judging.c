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

// Does it look at what the model makes?
static bool fits(const eval *e, const eval_judge *judge) {
    const ht_judge_config *c = &judge->config;
    if ((c->frames > 0) != (e->frames > 1)) {
        ht_app_say(e->log, HT_LOG_ERROR, "the judge '%s' looks at %s, but the model makes %s",
                   judge->path, c->frames > 0 ? "clips" : "pictures",
                   e->frames > 1 ? "clips" : "pictures");
        return false;
    }
    if (c->frames > 0 && c->frame[c->frames - 1] >= e->frames) {
        ht_app_say(e->log, HT_LOG_ERROR, "the judge '%s' looks at frame %u of clips of %u frames",
                   judge->path, c->frame[c->frames - 1] + 1, e->frames);
        return false;
    }
    return true;
}

bool eval_judge_find(const eval *e, eval_judge *judge) {
    char path[PATH_MAX];
    ht_app_log *log = e->log;
    if (e->options->judge) {
        snprintf(judge->path, sizeof(judge->path), "%s", e->options->judge);
    } else if (!eval_asset(e->frames > 1 ? "judge/scenes-video-judge.safetensors"
                                         : "judge/scenes-judge.safetensors",
                           judge->path)) {
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
    return status == HT_OK && fits(e, judge);
}

static ht_status build(eval_judge *j) {
    ht_context *context = j->context;
    ht_weights_desc weights = {.path = j->path, .format = HT_FORMAT_F32};
    ht_tensor_desc in = {.format = HT_FORMAT_F32,
                         .rank = 4,
                         .dims = {1, j->config.edge, j->config.edge,
                                  ht_judge_channels(&j->config)},
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

// One frame at the judge's size, as channels 3 k .. 3 k + 2 of `channels` in -1..1.
static ht_status show_frame(eval_judge *j, const ht_image *frame, uint32_t k, float *values) {
    const uint32_t edge = j->config.edge, channels = ht_judge_channels(&j->config);
    const size_t pixels = (size_t)edge * edge;
    ht_image small = {0};
    ht_status status = ht_image_create(j->context, edge, edge, &small);
    float *rgb = status == HT_OK ? ht_alloc(j->context, pixels * 3 * sizeof(*rgb)) : NULL;
    if (status == HT_OK && !rgb) {
        status = HT_ERR_NO_MEMORY;
    }
    if (status == HT_OK && frame->width == edge && frame->height == edge) {
        memcpy(small.rgb, frame->rgb, pixels * 3);
    } else if (status == HT_OK) {
        status = ht_image_resize(j->context, frame, &small);
    }
    if (status == HT_OK) {
        ht_image_to_floats(&small, rgb);
        for (size_t i = 0; i < pixels; ++i) {
            memcpy(values + i * channels + (size_t)k * 3, rgb + i * 3, 3 * sizeof(*rgb));
        }
    }
    ht_free(j->context, rgb);
    ht_image_clear(j->context, &small);
    return status;
}

static ht_status show(eval_judge *j, const ht_image *image, uint32_t frames, float *values) {
    const ht_judge_config *c = &j->config;
    const uint32_t height = image->height / frames;
    ht_status status = HT_OK;
    for (uint32_t k = 0; k < ht_judge_channels(c) / 3 && status == HT_OK; ++k) {
        const size_t first = c->frames > 0 ? (size_t)c->frame[k] * height : 0;
        ht_image frame = {
            .width = image->width, .height = height, .rgb = image->rgb + first * image->width * 3};
        status = show_frame(j, &frame, k, values);
    }
    if (status == HT_OK) {
        status = ht_tensor_write_f32(j->in, values,
                                     (size_t)c->edge * c->edge * ht_judge_channels(c));
    }
    return status == HT_OK ? ht_graph_run(j->graph) : status;
}

ht_status eval_judge_look(eval_judge *j, const ht_image *image, uint32_t frames,
                          int read[HT_JUDGE_MAX_HEADS]) {
    float logits[HT_JUDGE_MAX_HEADS * HT_JUDGE_MAX_CLASSES];
    const size_t count =
        (size_t)j->config.edge * j->config.edge * ht_judge_channels(&j->config);
    float *values = ht_alloc(j->context, count * sizeof(*values));
    ht_status status = values ? show(j, image, frames, values) : HT_ERR_NO_MEMORY;
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
