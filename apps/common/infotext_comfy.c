// ComfyUI's graph: nodes by number, each with inputs that are values or links ["node", output].
#include "infotext.h"

#include <jansson.h>
#include <string.h>

// Links followed one behind the other, and nodes looked at in one search: graphs may have circles.
enum { MAX_DEPTH = 64, MAX_VISITS = 4096 };

typedef struct query {
    json_t *graph;
    const char *const *keys; // ends with NULL
    int visits;
} query;

static json_t *inputs_of(json_t *graph, json_t *link) {
    const char *node = json_string_value(json_array_get(link, 0));
    return node ? json_object_get(json_object_get(graph, node), "inputs") : NULL;
}

// The first value under one of the keys in a node or those it reads from.
static json_t *visit(query *q, json_t *inputs, int depth) {
    if (!inputs || depth == 0 || ++q->visits > MAX_VISITS) {
        return NULL;
    }
    for (size_t i = 0; q->keys[i]; ++i) {
        json_t *value = json_object_get(inputs, q->keys[i]);
        if (value && !json_is_array(value)) {
            return value;
        }
        if (value) { // the value itself comes from a node
            static const char *const plain[] = {"value", "string", "text", "int", "seed", NULL};
            query inner = {q->graph, plain, q->visits};
            json_t *found = visit(&inner, inputs_of(q->graph, value), depth - 1);
            q->visits = inner.visits;
            if (found) {
                return found;
            }
        }
    }
    const char *key;
    json_t *value;
    json_object_foreach(inputs, key, value) {
        json_t *found =
            json_is_array(value) ? visit(q, inputs_of(q->graph, value), depth - 1) : NULL;
        if (found) {
            return found;
        }
    }
    return NULL;
}

static json_t *search(json_t *graph, json_t *inputs, const char *const *keys) {
    query q = {graph, keys, 0};
    return visit(&q, inputs, MAX_DEPTH);
}

static json_t *below(json_t *graph, json_t *inputs, const char *way, const char *const *keys) {
    json_t *link = json_object_get(inputs, way);
    return search(graph, inputs_of(graph, link), keys);
}

static uint32_t count_of(json_t *value) {
    json_int_t number = json_integer_value(value);
    return number > 0 && number <= 1 << 20 ? (uint32_t)number : 0;
}

static void set_text(const char **field, json_t *value) {
    ht_infotext_set(field, json_string_value(value));
}

// The inputs of the node that samples: KSampler and its kin.
static json_t *find_sampler(json_t *graph) {
    const char *key;
    json_t *node;
    json_object_foreach(graph, key, node) {
        const char *type = json_string_value(json_object_get(node, "class_type"));
        if (type && (strstr(type, "KSampler") || strstr(type, "SamplerCustom"))) {
            json_t *inputs = json_object_get(node, "inputs");
            if (json_object_get(inputs, "latent_image") || json_object_get(inputs, "positive")) {
                return inputs;
            }
        }
    }
    return NULL;
}

static const char *const TEXT[] = {"text", "text_g", "prompt", "t5xxl", "clip_l", NULL};

static void take_prompts(json_t *graph, json_t *sampler, ht_job *job) {
    json_t *guider = inputs_of(graph, json_object_get(sampler, "guider"));
    json_t *from = json_object_get(sampler, "positive") ? sampler : guider;
    const char *positive = json_object_get(from, "positive") ? "positive" : "conditioning";
    set_text(&job->prompt, below(graph, from, positive, TEXT));
    set_text(&job->negative_prompt, below(graph, from, "negative", TEXT));
}

bool ht_infotext_comfy(const char *json, ht_infotext *out) {
    static const char *const
        steps[] = {"steps", NULL},
        *const cfg[] = {"cfg", "guidance", NULL}, *const seed[] = {"seed", "noise_seed", NULL},
        *const name[] = {"sampler_name", NULL}, *const schedule[] = {"scheduler", NULL},
        *const width[] = {"width", NULL}, *const height[] = {"height", NULL},
        *const denoise[] = {"denoise", NULL}, *const model[] = {"ckpt_name", "unet_name", NULL};
    ht_job *job = &out->job;
    json_t *graph = json_loads(json, 0, NULL);
    json_t *sampler = find_sampler(graph);
    if (!sampler) {
        json_decref(graph);
        return false;
    }
    take_prompts(graph, sampler, job);
    set_text(&job->sampler, search(graph, sampler, name));
    set_text(&job->schedule, search(graph, sampler, schedule));
    set_text(&job->model, search(graph, sampler, model));
    job->steps = count_of(search(graph, sampler, steps));
    job->width = count_of(below(graph, sampler, "latent_image", width));
    job->height = count_of(below(graph, sampler, "latent_image", height));
    json_t *value = search(graph, sampler, cfg);
    job->cfg_scale = json_is_number(value) ? json_number_value(value) : job->cfg_scale;
    value = json_object_get(sampler, denoise[0]);
    if (json_is_number(value) && json_number_value(value) < 1) {
        job->strength = json_number_value(value);
    }
    value = search(graph, sampler, seed);
    if (json_is_integer(value)) {
        job->seed = (int64_t)json_integer_value(value);
    }
    json_decref(graph);
    return job->prompt != NULL;
}
