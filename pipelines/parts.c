// What every stage needs: a network's weights opened and released, graphs made and run, progress.
#include "pipeline_internal.h"

#include "common/layers.h"
#include "common/ldm.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

double ht_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

const char *ht_phase_name(ht_phase phase) {
    static const char *const names[HT_PHASES] = {"load", "text", "picture", "sample", "decode"};
    return names[phase];
}

static ht_status tell(ht_run *run, const ht_progress *progress) {
    if (run->callbacks && run->callbacks->progress &&
        !run->callbacks->progress(run->callbacks->user, progress)) {
        return HT_ERR_CANCELLED;
    }
    return HT_OK;
}

ht_status ht_run_phase(ht_run *run, ht_phase phase, uint32_t steps) {
    double now = ht_seconds();
    run->report->phase_seconds[run->phase] += now - run->phase_start;
    run->phase = phase;
    run->phase_start = now;
    return tell(run, &(ht_progress){.phase = phase, .steps = steps});
}

ht_status ht_run_step(ht_run *run, uint32_t step, uint32_t steps, const ht_image *preview) {
    return tell(run, &(ht_progress){.phase = run->phase,
                                    .step = step,
                                    .steps = steps,
                                    .seconds = ht_seconds() - run->phase_start,
                                    .preview = preview});
}

ht_status ht_part_map(const ht_pipeline *p, uint32_t part, ht_weight_map *map) {
    switch (part) {
    case PART_DENOISER: return p->family->denoiser->map(p, map);
    case PART_CONTROL: return ht_controlnet_weight_map(p->context, &p->controlnet, map);
    case PART_VAE: return ht_vae_weight_map(p->context, &p->vae.config, HT_VAE_BOTH, map);
    case PART_IMAGE: return ht_clip_vision_weight_map(p->context, &p->vision, map);
    case PART_PREVIEW:
        return ht_vae_weight_map(p->context, &p->preview.config, HT_VAE_DECODER, map);
    default: return p->family->text->map(p, part, map);
    }
}

// A packed checkpoint serves its own recipe, and others that have its layers' formats.
static ht_status check_packed(const ht_pipeline *p, const ht_weights *weights) {
    for (size_t i = 0; i < ht_weights_count(weights) && !p->own_recipe; ++i) {
        const ht_weight_info *info = ht_weights_get(weights, i);
        if ((ht_format_is_packed(info->desc.format) || ht_format_is_stack(info->desc.format)) &&
            ht_recipe_weights(p->recipe, info->name) != info->desc.format) {
            return ht_fail(p->context, HT_ERR_UNSUPPORTED,
                           "weights '%s': '%s' is packed as %s, which recipe %s does not use; it "
                           "needs the float checkpoint",
                           info->file, info->name, info->dtype, ht_recipe_name(p->recipe));
        }
    }
    return HT_OK;
}

// A part of a file with the names of single-file models is seen under those of diffusers.
static ht_status view_part(ht_pipeline *p, uint32_t index, const ht_weight_map *map,
                           uint32_t *left_over) {
    const ht_ldm_part parts[] = {
        [PART_TEXT] = HT_LDM_TEXT,
        [PART_DENOISER] = HT_LDM_UNET,
        [PART_VAE] = p->vae.config.tiny ? HT_LDM_TINY : HT_LDM_VAE,
        [PART_TEXT_2] = HT_LDM_TEXT_2,
        [PART_CONTROL] = HT_LDM_CONTROL,
        [PART_PREVIEW] = HT_LDM_TINY,
        [PART_IMAGE] = HT_LDM_TEXT,
    };
    ht_part *part = &p->parts[index];
    ht_ldm_names names;
    *left_over = 0;
    bool whole =
        index == PART_TEXT || index == PART_DENOISER || index == PART_TEXT_2 || index == PART_IMAGE;
    if ((!part->file && whole) || // of a folder
        !ht_ldm_recognise(part->weights, parts[index], &names)) {
        return HT_OK;
    }
    bool unet = index == PART_DENOISER || index == PART_CONTROL; // of the same levels
    names.hints = p->controlnet.hints;
    names.levels = unet ? p->unet.levels : p->vae.config.levels;
    names.layers_per_block = unet ? p->unet.layers_per_block : p->vae.config.layers_per_block;
    return ht_ldm_view(part->weights, &names, map, left_over);
}

// Packed or from the cache, as the recipe says.
static ht_status apply_recipe(ht_pipeline *p, ht_part *part, const ht_weight_map *map) {
    ht_status status = check_packed(p, part->weights);
    if (status == HT_OK && part == &p->parts[PART_DENOISER]) { // the recipe is for it
        status = ht_recipe_check(p->recipe, map);
    }
    return status == HT_OK ? ht_weight_cache_open(p, part, &part->weights) : status;
}

// Bytes that the weights take on the device, as the recipe packs them.
static uint64_t device_bytes(const ht_pipeline *p, const ht_part *part, bool denoiser) {
    uint64_t sum = 0;
    for (size_t i = 0; i < ht_weights_count(part->weights); ++i) {
        const ht_weight_info *info = ht_weights_get(part->weights, i);
        const uint64_t count = ht_desc_count(&info->desc);
        char layer[HT_NAME_BYTES];
        ht_layer_formats formats = {0};
        if (denoiser && ht_weight_layer(info->name, layer, sizeof(layer))) {
            ht_recipe_find(p->recipe, layer, &formats);
        }
        if (ht_format_is_packed(info->desc.format) || ht_format_is_stack(info->desc.format)) {
            sum += info->bytes;
        } else if (info->desc.rank < 2 || count == 0) {
            sum += count * sizeof(float);
        } else {
            const uint32_t rows = info->desc.dims[0];
            const ht_tensor_desc flat = {
                .format = formats.weights != HT_FORMAT_NONE ? formats.weights : part->format,
                .rank = 2,
                .dims = {rows, (uint32_t)(count / rows)}};
            sum += ht_desc_bytes(&flat);
        }
    }
    return sum;
}

// What would leave too little memory for what is computed stays in its file, and goes through a ring of
// two buffers while graphs run. Not where every node or layer is to be looked at.
static ht_status stream_if_large(ht_pipeline *p, uint32_t index) {
    const ht_part *part = &p->parts[index];
    const ht_device_info *device = ht_context_device(p->context);
    if (!device) { // only looked at
        return HT_OK;
    }
    const uint64_t limit =
        p->options.max_device_bytes > 0 ? p->options.max_device_bytes : device->memory_bytes;
    const uint64_t needed = device_bytes(p, part, index == PART_DENOISER);
    if (p->options.weights_budget > 0 && index == PART_DENOISER) {
        return ht_weights_budget(part->weights, p->options.weights_budget);
    }
    if (needed <= limit / 10 * 6 || p->options.check || p->options.observe) {
        return HT_OK;
    }
    const uint64_t ring = limit / 10 * 3;
    if (ring < 4096) { // nothing can work with so little; what is asked for next will say so
        return HT_OK;
    }
    ht_log(p->context, HT_LOG_WARN,
           "%s: %.0f MiB of weights, of %.0f MiB of device memory: streamed from the file through "
           "two buffers of %.0f MiB",
           part->name, (double)needed / (1 << 20), (double)limit / (1 << 20),
           (double)ring / (2 << 20));
    return ht_weights_stream(part->weights, ring);
}

ht_status ht_part_open(ht_pipeline *p, uint32_t index) {
    ht_part *part = &p->parts[index];
    if (part->weights) {
        return HT_OK;
    }
    ht_weights_desc desc = {.path = part->file ? part->file : part->path, .format = part->format};
    ht_weight_map map = {0};
    uint32_t hidden = 0, left_over = 0;
    ht_status status = ht_weights_open(p->context, &desc, &part->weights);
    if (status == HT_OK) {
        status = ht_part_map(p, index, &map);
    }
    if (status == HT_OK) {
        status = view_part(p, index, &map, &hidden);
    }
    if (status == HT_OK) { // before anything is packed
        status = ht_weight_map_check(&map, part->weights, &left_over);
    }
    if (status == HT_OK && (index == PART_DENOISER || index == PART_CONTROL) && p->recipe) {
        status = apply_recipe(p, part, &map);
    }
    ht_weight_map_clear(&map);
    if (status == HT_OK) {
        status = stream_if_large(p, index);
    }
    if (status != HT_OK) {
        ht_part_close(p, index);
    } else if (left_over + hidden > 0) {
        ht_log(p->context, HT_LOG_INFO, "'%s': %u tensors are not used", part->path,
               left_over + hidden);
    }
    return status;
}

void ht_part_close(ht_pipeline *p, uint32_t part) {
    if (p->parts[part].weights == NULL) {
        return;
    }
    ht_weights_destroy(&p->parts[part].weights);
#ifdef __GLIBC__
    malloc_trim(0); // a driver on the CPU leaves holes of 100 MB in the heap where it compiled
#endif
}

// Bytes of the weights on the device by format, and without packing.
static void count_formats(const ht_part *part, ht_part_report *out) {
    out->n_formats = 0;
    out->float_bytes = 0;
    ht_format format;
    for (size_t i = 0; (format = ht_format_at(i)) && out->n_formats < HT_REPORT_FORMATS; ++i) {
        const uint64_t bytes = ht_weights_format_bytes(part->weights, format);
        if (bytes > 0) {
            out->formats[out->n_formats++] = (ht_format_bytes){format, bytes};
        }
    }
    for (size_t i = 0; i < ht_weights_count(part->weights); ++i) {
        ht_tensor_desc desc = ht_weights_get(part->weights, i)->desc;
        desc.format = desc.rank < 2 ? HT_FORMAT_F32 : part->format;
        out->float_bytes += ht_desc_bytes(&desc);
    }
}

void ht_part_account(const ht_pipeline *p, uint32_t index, const ht_graph *graph,
                     ht_report *report) {
    const ht_part *part = &p->parts[index];
    ht_part_report *out = &report->parts[index];
    ht_graph_stats stats;
    ht_graph_get_stats(graph, &stats);
    out->activation_bytes = stats.activation_bytes > out->activation_bytes ? stats.activation_bytes
                                                                           : out->activation_bytes;
    out->dispatches = stats.dispatches;
    out->lora_bytes = ht_lora_stage_bytes(p, index);
    ht_weights_device_bytes(part->weights, &out->device_bytes, &out->imported_bytes);
    count_formats(part, out);
}

ht_status ht_stage_graph(ht_pipeline *p, const char *label, ht_format activations, ht_graph **out) {
    ht_graph_desc desc = {.label = label,
                          .activations = activations,
                          .profile = p->options.profile,
                          .keep_values = p->options.check != NULL};
    return ht_graph_create(p->context, &desc, out);
}

static int by_time(const void *a, const void *b) {
    uint64_t x = ((const ht_node_timing *)a)->time_ns, y = ((const ht_node_timing *)b)->time_ns;
    return x < y ? 1 : x > y ? -1 : 0;
}

// Time by kind of op, and the slowest nodes.
static void log_timings(ht_pipeline *p, const ht_graph *graph) {
    uint32_t count = ht_graph_timings(graph, NULL, 0);
    ht_node_timing *nodes = ht_alloc(p->context, (count ? count : 1) * sizeof(*nodes));
    if (!nodes) {
        return;
    }
    count = ht_graph_timings(graph, nodes, count);
    for (uint32_t i = 0; i < count; ++i) {
        uint64_t sum = 0;
        uint32_t n = 0, first = i;
        for (uint32_t j = 0; j < count; ++j) {
            if (strcmp(nodes[j].op, nodes[i].op) == 0) {
                sum += nodes[j].time_ns;
                first = j < first ? j : first;
                ++n;
            }
        }
        if (first == i) {
            ht_log(p->context, HT_LOG_DEBUG, "%-20s %4u nodes %10.3f ms", nodes[i].op, n,
                   (double)sum * 1e-6);
        }
    }
    qsort(nodes, count, sizeof(*nodes), by_time);
    for (uint32_t i = 0; i < count && i < 8; ++i) {
        ht_log(p->context, HT_LOG_DEBUG, "  %-50s %10.3f ms", nodes[i].label,
               (double)nodes[i].time_ns * 1e-6);
    }
    ht_free(p->context, nodes);
}

ht_status ht_stage_run(ht_pipeline *p, ht_graph *graph, bool first) {
    if (first && p->options.check) {
        return ht_graph_check(graph, p->options.check, p->options.check_user);
    }
    ht_status status = ht_graph_run(graph);
    if (status == HT_OK && p->options.profile) {
        log_timings(p, graph);
    }
    return status;
}

ht_status ht_stage_tensor(ht_pipeline *p, ht_format format, const uint32_t dims[HT_MAX_RANK],
                          const char *label, ht_tensor **out) {
    ht_tensor_desc desc = {.format = format, .label = label};
    while (desc.rank < HT_MAX_RANK && dims[desc.rank] > 0) {
        desc.dims[desc.rank] = dims[desc.rank];
        ++desc.rank;
    }
    return ht_tensor_create(p->context, &desc, out);
}
