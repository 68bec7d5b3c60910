// Options of gen.
#ifndef HT_GEN_OPTIONS_H
#define HT_GEN_OPTIONS_H

#include "common/flags.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct gen_options {
    const char *model;
    const char *prompt, *negative_prompt, *prompt_file;
    const char *init_image;
    double strength;
    const char *mask;
    uint32_t mask_blur;
    bool no_paste;
    ht_flag_list loras; // FILE or FILE:SCALE
    const char *lora_dir;
    const char *control, *control_image;
    double control_strength, control_start, control_end;
    uint32_t width, height, steps, batch_count, batch_size;
    bool hires;
    double hires_scale, hires_strength; // scale 0: not given
    uint32_t hires_width, hires_height, hires_steps;
    const char *hires_upscaler;
    double cfg_scale, cfg_rescale, eta; // negative: the model's
    int64_t seed;
    const char *sampler, *schedule;
    const char *output, *preview, *json;
    uint32_t clip_skip;
    bool overwrite, no_metadata, strict;
    bool fp16, fp32, w8a8, w4a8, w4a4;
    const char *recipe;             // name or file; also set by --w8a8 and the like
    const char *denoiser;           // file of its weights, or NULL
    ht_flag_list embeddings;        // FILE or FILE:TOKEN
    const char *embd_dir;           // folder of embeddings, or NULL
    const char *vae, *taesd;        // folders or files, or NULL
    bool taesd_preview_only;
    const char *config, *tokenizer; // of a model in one file: folders, or NULL
    const char *prediction;
    const char *attention;
    bool no_cache;
    const char *device;
    uint64_t max_memory;
    bool check, quiet, help, version;
    bool list_devices, list_models, list_samplers, list_recipes, list_formats;
    int verbose;
} gen_options;

// Defaults, then argv. False after a message: exit with 2.
bool gen_options_parse(int argc, char **argv, gen_options *options);
void gen_options_help(void);

#endif
