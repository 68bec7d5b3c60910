// Options of gen: one table for parsing and help.
#include "options.h"

#include <pipeline.h>
#include <stdio.h>
#include <string.h>

#define AT(field) .offset = offsetof(gen_options, field)
#define GROUP(text)                                                                                \
    { .kind = HT_FLAG_GROUP, .help = text }
#define LATER(flag, text)                                                                          \
    { .name = flag, .kind = HT_FLAG_LATER, .help = text }

static const ht_flag flags[] = {
    GROUP("What to draw"),
    {"prompt", NULL, 'p', HT_FLAG_TEXT, AT(prompt), .value = "TEXT",
     .help = "what the picture shows"},
    {"negative-prompt", "negative", 'n', HT_FLAG_TEXT, AT(negative_prompt), .value = "TEXT",
     .help = "what it should not show (with --cfg-scale above 1)"},
    {"prompt-file", NULL, 0, HT_FLAG_TEXT, AT(prompt_file), .value = "FILE",
     .help = "one prompt per line; # starts a comment"},
    {"init-image", "init-img", 'i', HT_FLAG_TEXT, AT(init_image), .value = "FILE",
     .help = "start from this picture (PNG, JPEG)"},
    {"strength", "denoising-strength", 0, HT_FLAG_REAL, AT(strength), 0, 1, "X",
     "how much of it changes, 0 to 1 (0.75)"},
    {"mask", "mask-image", 0, HT_FLAG_TEXT, AT(mask), .value = "FILE",
     .help = "repaint only where this picture is white, or transparent; as large as --init-image"},
    {"mask-blur", NULL, 0, HT_FLAG_U32, AT(mask_blur), 0, HT_MAX_MASK_BLUR, "N",
     "pixels at the mask's edge over which old and new fade (4)"},
    {"no-paste", NULL, 0, HT_FLAG_BOOL, AT(no_paste),
     .help = "do not put the original pixels back around the mask"},
    {"control-image", "control-img", 0, HT_FLAG_TEXT, AT(control_image), .value = "FILE",
     .help = "what the ControlNet reads: edges, depth, a pose, .. (PNG, JPEG)"},

    GROUP("How"),
    {"model", NULL, 'm', HT_FLAG_TEXT, AT(model), .value = "NAME|DIR|FILE",
     .help = "model (scenes-dit); a folder in the diffusers layout, or one file"},
    {"config", NULL, 0, HT_FLAG_TEXT, AT(config), .value = "DIR",
     .help = "with a model in one file: take configurations and tokenizer from this model"},
    {"tokenizer", NULL, 0, HT_FLAG_TEXT, AT(tokenizer), .value = "DIR",
     .help = "vocabulary of the CLIP text encoders (the model's)"},
    {"prediction", "prediction-type", 0, HT_FLAG_TEXT, AT(prediction), .value = "epsilon|v|sample",
     .help = "what the denoiser predicts (as the model says)"},
    {"lora", NULL, 0, HT_FLAG_LIST, AT(loras), .value = "FILE[:SCALE]",
     .help = "add what this LoRA changes, times SCALE (1); any number of them"},
    {"lora-dir", "lora-model-dir", 0, HT_FLAG_TEXT, AT(lora_dir), .value = "DIR",
     .help = "where the LoRAs of <lora:NAME:SCALE> in prompts are"},
    {"control", "control-net controlnet", 0, HT_FLAG_TEXT, AT(control), .value = "DIR|FILE",
     .help = "ControlNet in the diffusers layout, or a file of its weights (the model's own)"},
    {"control-strength", "controlnet-conditioning-scale", 0, HT_FLAG_REAL, AT(control_strength), 0,
     100, "X", "factor on what the ControlNet adds (1)"},
    {"control-start", "control-guidance-start", 0, HT_FLAG_REAL, AT(control_start), 0, 1, "X",
     "part of the steps before it is used (0)"},
    {"control-end", "control-guidance-end", 0, HT_FLAG_REAL, AT(control_end), 0, 1, "X",
     "part of the steps after which it is no longer used (1)"},
    {"steps", "num-inference-steps sampling-steps", 0, HT_FLAG_U32, AT(steps), 1, 1000, "N",
     "denoising steps (the model's default)"},
    {"cfg-scale", "guidance-scale cfg", 0, HT_FLAG_REAL, AT(cfg_scale), 0, 1000, "X",
     "guidance; at most 1: none (the model's default)"},
    {"cfg-rescale", "guidance-rescale", 0, HT_FLAG_REAL, AT(cfg_rescale), 0, 1, "X",
     "how much of the contrast that guidance adds is taken back, 0 to 1 (0)"},
    {"width", NULL, 'W', HT_FLAG_U32, AT(width), 1, 1 << 20, "N", "pixels (the model's default)"},
    {"height", NULL, 'H', HT_FLAG_U32, AT(height), 1, 1 << 20, "N", "pixels (the model's default)"},
    {"seed", NULL, 's', HT_FLAG_I64, AT(seed), .value = "N",
     .help = "the same seed gives the same picture; -1: random (-1)"},
    {"batch-count", "num-images-per-prompt n-iter", 'b', HT_FLAG_U32, AT(batch_count), 1, 100000,
     "N", "pictures per prompt, with seed, seed + 1, .. (1)"},
    {"batch-size", NULL, 0, HT_FLAG_U32, AT(batch_size), 1, HT_MAX_BATCH, "N",
     "pictures that are computed at once, in each of the batch count (1)"},
    {"hires", "hires-fix", 0, HT_FLAG_BOOL, AT(hires),
     .help = "a second pass over the picture, enlarged by 2"},
    {"hires-scale", "hr-scale", 0, HT_FLAG_REAL, AT(hires_scale), 1, 8, "X",
     "a second pass, enlarged by this"},
    {"hires-width", "hr-resize-x", 0, HT_FLAG_U32, AT(hires_width), 1, 1 << 20, "N",
     "a second pass of this width"},
    {"hires-height", "hr-resize-y", 0, HT_FLAG_U32, AT(hires_height), 1, 1 << 20, "N",
     "a second pass of this height"},
    {"hires-steps", "hr-second-pass-steps", 0, HT_FLAG_U32, AT(hires_steps), 1, 1000, "N",
     "steps of the second pass's schedule, of which the strength's part is run (as the first's)"},
    {"hires-strength", "hires-denoising-strength", 0, HT_FLAG_REAL, AT(hires_strength), 0, 1, "X",
     "how much the second pass changes, 0 to 1 (0.5)"},
    {"hires-upscaler", "hr-upscaler", 0, HT_FLAG_TEXT, AT(hires_upscaler), .value = "NAME",
     .help = "latent, latent-nearest; lanczos, bicubic: of the decoded picture (latent)"},
    {"sampler", "sampling-method sampler-name", 0, HT_FLAG_TEXT, AT(sampler), .value = "NAME",
     .help = "see --list-samplers (the model's default)"},
    {"schedule", "scheduler", 0, HT_FLAG_TEXT, AT(schedule), .value = "NAME",
     .help = "see --list-samplers (the model's default)"},
    {"eta", NULL, 0, HT_FLAG_REAL, AT(eta), 0, 1, "X",
     "share of fresh noise at each step with samplers ddim (0) and tcd (0.3)"},
    {"w8a8", NULL, 0, HT_FLAG_BOOL, AT(w8a8), .help = "8-bit weights and activations"},
    {"w4a8", NULL, 0, HT_FLAG_BOOL, AT(w4a8), .help = "4-bit weights, 8-bit activations"},
    {"w4a4", NULL, 0, HT_FLAG_BOOL, AT(w4a4), .help = "4-bit weights and activations"},
    {"recipe", NULL, 0, HT_FLAG_TEXT, AT(recipe), .value = "NAME|FILE",
     .help = "number formats of the denoiser; see --list-recipes"},
    {"diffusion-model", NULL, 0, HT_FLAG_TEXT, AT(denoiser), .value = "FILE",
     .help = "take the denoiser's weights from this file"},
    {"embedding", NULL, 0, HT_FLAG_LIST, AT(embeddings), .value = "FILE[:TOKEN]",
     .help = "textual inversion: vectors for a word of the prompt; may be given several times"},
    {"embd-dir", "embeddings-dir", 0, HT_FLAG_TEXT, AT(embd_dir), .value = "DIR",
     .help = "folder of such files; their names are words of the prompt"},
    {"vae", NULL, 0, HT_FLAG_TEXT, AT(vae), .value = "tiny|DIR|FILE",
     .help = "another autoencoder; tiny: that in vae_tiny/ beside the model's (the model's)"},
    {"taesd", "tae", 0, HT_FLAG_TEXT, AT(taesd), .value = "DIR|FILE",
     .help = "tiny autoencoder for picture and previews; beside --vae for previews only"},
    {"taesd-preview-only", NULL, 0, HT_FLAG_BOOL, AT(taesd_preview_only),
     .help = "use --taesd for previews only"},
    {"attention", NULL, 0, HT_FLAG_TEXT, AT(attention), .value = "dense",
     .help = "attention method (dense)"},
    {"clip-skip", NULL, 0, HT_FLAG_U32, AT(clip_skip), 1, 64, "N",
     "use the N-th last layer of the CLIP text encoder; 1 is the last (the model's default)"},
    {"strict", NULL, 0, HT_FLAG_BOOL, AT(strict),
     .help = "a prompt that is too long is an error, not a warning"},

    GROUP("Where it goes"),
    {"output", NULL, 'o', HT_FLAG_TEXT, AT(output), .value = "FILE",
     .help = "png or jpg; %04d numbers them; a folder; - is stdout (gen-SEED.png)"},
    {"overwrite", NULL, 0, HT_FLAG_BOOL, AT(overwrite), .help = "replace files that exist"},
    {"preview", "preview-path", 0, HT_FLAG_TEXT, AT(preview), .value = "FILE",
     .help = "keep a PNG of the picture so far, after every step"},
    {"json", NULL, 0, HT_FLAG_MAYBE, AT(json), .value = "[FILE]",
     .help = "report of the run: times, memory, seed, files (stdout)"},
    {"no-metadata", "disable-image-metadata", 0, HT_FLAG_BOOL, AT(no_metadata),
     .help = "do not write prompt and settings into the PNG"},

    GROUP("Device"),
    {"device", NULL, 'd', HT_FLAG_TEXT, AT(device), .value = "N|NAME",
     .help = "by number or part of the name; see --list-devices"},
    {"max-memory", "max-vram", 0, HT_FLAG_SIZE, AT(max_memory), .value = "SIZE",
     .help = "device memory to use at most, e.g. 6G"},
    {"no-cache", NULL, 0, HT_FLAG_BOOL, AT(no_cache),
     .help = "pack weights anew, do not keep or use packed copies"},
    {"fp16", NULL, 0, HT_FLAG_BOOL, AT(fp16), .help = "half floats (the default where safe)"},
    {"fp32", NULL, 0, HT_FLAG_BOOL, AT(fp32), .help = "single floats everywhere"},
    {"check", NULL, 0, HT_FLAG_BOOL, AT(check),
     .help = "compare every operation with the CPU reference"},

    GROUP("Program"),
    {"list-devices", NULL, 0, HT_FLAG_BOOL, AT(list_devices), .help = "Vulkan devices"},
    {"list-models", NULL, 0, HT_FLAG_BOOL, AT(list_models),
     .help = "models that are found by name"},
    {"list-samplers", "list-schedules", 0, HT_FLAG_BOOL, AT(list_samplers),
     .help = "samplers and schedules"},
    {"list-recipes", NULL, 0, HT_FLAG_BOOL, AT(list_recipes),
     .help = "recipes that are found by name"},
    {"list-formats", NULL, 0, HT_FLAG_BOOL, AT(list_formats),
     .help = "number formats for recipes of your own"},
    {"quiet", NULL, 'q', HT_FLAG_BOOL, AT(quiet), .help = "errors only"},
    {"verbose", NULL, 'v', HT_FLAG_COUNT, AT(verbose),
     .help = "more messages; -vv times every kernel"},
    {"help", NULL, 'h', HT_FLAG_BOOL, AT(help), .help = "this text"},
    {"version", NULL, 0, HT_FLAG_BOOL, AT(version), .help = "version"},

    LATER("w1a4", "binary weights, 4-bit activations"),
    LATER("frames", "video"),
    LATER("video-frames", "video"),
    LATER("fps", "video"),
    LATER("vae-tiling", "tiles are used by themselves when memory is short; the switch"),
};

static const ht_flag_set set = {
    .program = "gen",
    .usage = "usage: gen --prompt TEXT [flags]\n"
             "Makes a picture from a text, on any Vulkan device.",
    .flags = flags,
    .count = sizeof(flags) / sizeof(*flags),
};

static bool refuse(const char *sentence) {
    fprintf(stderr, "gen: %s\n", sentence);
    return false;
}

// --w8a8 and the like are short for --recipe.
static bool choose_recipe(gen_options *o) {
    const struct {
        bool given;
        const char *name;
    } rows[] = {{o->w8a8, "w8a8"}, {o->w4a8, "w4a8"}, {o->w4a4, "w4a4"}, {o->fp16, "fp16"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); ++i) {
        if (rows[i].given && o->recipe) {
            fprintf(stderr, "gen: --%s and --recipe %s exclude each other\n", rows[i].name,
                    o->recipe);
            return false;
        }
        o->recipe = rows[i].given ? rows[i].name : o->recipe;
    }
    return !o->recipe || !o->fp32 ||
           refuse("--fp32 leaves nothing to a recipe; give one of the two");
}

static bool check(const gen_options *o) {
    if (o->fp16 && o->fp32) {
        return refuse("--fp16 and --fp32 exclude each other");
    }
    if (o->prompt && o->prompt_file) {
        return refuse("--prompt and --prompt-file exclude each other");
    }
    if (!o->prompt && !o->prompt_file) {
        return refuse("there is no --prompt; see --help");
    }
    if (o->mask && !o->init_image) {
        return refuse("--mask needs --init-image, the picture of which it says what is repainted");
    }
    if (o->control && !o->control_image) {
        return refuse("--control needs --control-image, the picture that the ControlNet reads");
    }
    if ((o->hires || o->hires_scale > 0) && (o->hires_width > 0 || o->hires_height > 0)) {
        return refuse("--hires-scale and --hires-width, --hires-height exclude each other");
    }
    ht_upscaler upscaler;
    if (o->hires_upscaler && !ht_upscaler_find(o->hires_upscaler, &upscaler)) {
        return refuse("--hires-upscaler: expected latent, latent-nearest, lanczos or bicubic");
    }
    if (o->taesd_preview_only && !o->taesd) {
        return refuse("--taesd-preview-only needs --taesd, the autoencoder that makes previews");
    }
    if (o->attention && strcmp(o->attention, "dense") != 0) {
        if (strcmp(o->attention, "sage") == 0 || strcmp(o->attention, "paro") == 0) {
            fprintf(stderr, "gen: --attention %s is not in this version\n", o->attention);
            return false;
        }
        return refuse("--attention: expected dense");
    }
    if (o->json && !*o->json && o->output && strcmp(o->output, "-") == 0) {
        return refuse("the picture and the report cannot both go to stdout; give --json a FILE");
    }
    return true;
}

bool gen_options_parse(int argc, char **argv, gen_options *options) {
    *options = (gen_options){.model = "scenes-dit",
                             .strength = 0.75,
                             .mask_blur = 4,
                             .control_strength = 1,
                             .control_end = 1,
                             .batch_count = 1,
                             .batch_size = 1,
                             .hires_strength = 0.5,
                             .cfg_scale = -1,
                             .eta = -1,
                             .seed = -1};
    if (!ht_flags_parse(&set, argc, argv, options)) {
        return false;
    }
    if (options->hires && options->hires_scale == 0 && !options->hires_width &&
        !options->hires_height) {
        options->hires_scale = 2;
    }
    bool asks = options->help || options->version || options->list_devices ||
                options->list_models || options->list_samplers || options->list_recipes ||
                options->list_formats;
    return asks || (check(options) && choose_recipe(options));
}

void gen_options_help(void) {
    ht_flags_help(&set);
}
