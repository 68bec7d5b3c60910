// LoRAs of a pipeline: read against the maps of its networks, handed to their configurations.
#include "pipeline_internal.h"

#include <string.h>

static const uint32_t part_of[HT_LORA_NETWORKS] = {
    [HT_LORA_DENOISER] = PART_DENOISER, [HT_LORA_TEXT] = PART_TEXT, [HT_LORA_TEXT_2] = PART_TEXT_2};

// Networks of other kinds than the model's are not asked.
static void hand_out(ht_pipeline *p) {
    p->unet.lora = p->dit.lora = ht_lora_of(p->lora, HT_LORA_DENOISER);
    p->t5.lora = p->clip[0].lora = ht_lora_of(p->lora, HT_LORA_TEXT);
    p->clip[1].lora = ht_lora_of(p->lora, HT_LORA_TEXT_2);
}

void ht_lora_stage_release(ht_pipeline *p) {
    ht_lora_destroy(&p->lora);
    hand_out(p);
    for (uint32_t i = 0; i < p->n_lora_files; ++i) {
        ht_free(p->context, (char *)p->lora_files[i].path); // our copy
    }
    ht_free(p->context, p->lora_files);
    p->lora_files = NULL;
    p->n_lora_files = 0;
}

static bool same(const ht_pipeline *p, const ht_lora_file *files, uint32_t count) {
    bool equal = count == p->n_lora_files;
    for (uint32_t i = 0; equal && i < count; ++i) {
        const ht_lora_file *a = &files[i], *b = &p->lora_files[i];
        equal =
            strcmp(a->path, b->path) == 0 && a->scale == b->scale && a->text_scale == b->text_scale;
    }
    return equal;
}

static ht_status create(ht_pipeline *p) {
    ht_weight_map maps[HT_LORA_NETWORKS] = {{0}};
    ht_lora_desc desc = {.format = p->parts[PART_DENOISER].format};
    ht_status status = HT_OK;
    if (p->family->denoiser == &ht_denoiser_unet) {
        desc.levels = p->unet.levels;
        desc.layers_per_block = p->unet.layers_per_block;
    }
    for (uint32_t i = 0; i < HT_LORA_NETWORKS && status == HT_OK; ++i) {
        if (p->parts[part_of[i]].name) {
            status = ht_part_map(p, part_of[i], &maps[i]);
            desc.maps[i] = &maps[i];
        }
    }
    if (status == HT_OK) {
        status = ht_lora_create(p->context, &desc, &p->lora);
    }
    for (uint32_t i = 0; i < HT_LORA_NETWORKS; ++i) {
        ht_weight_map_clear(&maps[i]);
    }
    return status;
}

// Remember and read one more.
static ht_status add(ht_pipeline *p, const ht_lora_file *file) {
    ht_lora_file *own = &p->lora_files[p->n_lora_files];
    *own = *file;
    own->path = ht_strdup(p->context, file->path);
    if (!own->path) {
        return HT_ERR_NO_MEMORY;
    }
    ++p->n_lora_files;
    const float scales[HT_LORA_NETWORKS] = {file->scale, file->text_scale, file->text_scale};
    return ht_lora_add(p->lora, file->path, scales);
}

ht_status ht_pipeline_set_loras(ht_pipeline *p, const ht_lora_file *files, uint32_t count) {
    if (same(p, files, count)) {
        return HT_OK;
    }
    ht_denoise_release(p); // graphs with the old ones
    ht_text_release(p);
    ht_lora_stage_release(p);
    if (count == 0) {
        return HT_OK;
    }
    if (!p->info.takes_loras) {
        return ht_fail(p->context, HT_ERR_UNSUPPORTED, "LoRA '%s': a '%s' takes no LoRAs",
                       files[0].path, p->info.class_name);
    }
    p->lora_files = ht_alloc(p->context, count * sizeof(*p->lora_files));
    ht_status status = p->lora_files ? create(p) : HT_ERR_NO_MEMORY;
    for (uint32_t i = 0; i < count && status == HT_OK; ++i) {
        status = add(p, &files[i]);
    }
    if (status == HT_OK) {
        hand_out(p);
    } else {
        ht_lora_stage_release(p);
    }
    return status;
}

uint64_t ht_lora_stage_bytes(const ht_pipeline *p, uint32_t part) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < HT_LORA_NETWORKS; ++i) {
        if (part_of[i] == part) {
            bytes = ht_lora_count(ht_lora_of(p->lora, (ht_lora_network)i));
        }
    }
    return bytes * ht_format_bits(p->parts[PART_DENOISER].format) / 8;
}
