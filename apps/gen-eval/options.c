// Options of gen-eval.
#include "options.h"

#include "common/flags.h"

#include <stdio.h>
#include <string.h>

#define AT(field) .offset = offsetof(eval_options, field)

static const ht_flag flags[] = {
    {"model", NULL, 'm', HT_FLAG_TEXT, AT(model), .value = "NAME|DIR",
     .help = "model (scenes-dit)"},
    {"prompts", "prompt-file", 'p', HT_FLAG_TEXT, AT(prompts), .value = "FILE",
     .help = "JSON lines with prompt and want, or one prompt per line (scenes-heldout.jsonl)"},
    {"recipes", NULL, 'r', HT_FLAG_TEXT, AT(recipes), .value = "A,B,..",
     .help = "what is compared; the first is the reference (fp16,w8a8,w4a8)"},
    {"steps", NULL, 0, HT_FLAG_U32, AT(steps), 1, 1000, "N", "denoising steps (the model's)"},
    {"frames", NULL, 0, HT_FLAG_U32, AT(frames), 1, 1025, "N",
     "of each clip, with a video model (the model's)"},
    {"cfg-scale", "guidance-scale cfg", 0, HT_FLAG_REAL, AT(cfg_scale), 0, 1000, "X",
     "guidance (the model's)"},
    {"seed", NULL, 's', HT_FLAG_I64, AT(seed), .value = "N",
     .help = "of the first prompt; the next have seed + 1, .. (1)"},
    {"limit", NULL, 'n', HT_FLAG_U32, AT(limit), 1, 1000000, "N", "only the first N prompts"},
    {"judge", NULL, 0, HT_FLAG_TEXT, AT(judge), .value = "FILE",
     .help = "the judge's .safetensors, its .json beside it (scenes-judge)"},
    {"output", NULL, 'o', HT_FLAG_TEXT, AT(output), .value = "DIR",
     .help = "folder for index.html, report.json and the pictures"},
    {"layers", NULL, 0, HT_FLAG_BOOL, AT(layers),
     .help = "compare the recipes layer by layer instead, over a few prompts: layers.json"},
    {"ablate", NULL, 0, HT_FLAG_TEXT, AT(ablate), .value = "RECIPE",
     .help =
         "instead of --recipes: the recipe calibrated, and with one technique left out in turn"},
    {"calibrate", NULL, 'c', HT_FLAG_TEXT, AT(calibrate), .value = "FILE",
     .help = "with --ablate: prompts (.txt, .jsonl), or a file of gen-quantize --stats --gram"},
    {"calibrate-limit", NULL, 0, HT_FLAG_U32, AT(calibrate_limit), 1, 1000000, "N",
     "with --ablate: only the first N of these prompts"},
    {"low-rank", NULL, 0, HT_FLAG_U32, AT(low_rank), 0, 1024, "R",
     "with --ablate: rank of a float branch beside 4-bit layers (0: none)"},
    {"search", NULL, 0, HT_FLAG_BOOL, AT(search),
     .help = "with --ablate: formats searched among those of the same size"},
    {"overwrite", NULL, 0, HT_FLAG_BOOL, AT(overwrite),
     .help = "replace an evaluation that is there"},
    {"device", NULL, 'd', HT_FLAG_TEXT, AT(device), .value = "N|NAME",
     .help = "by number or part of the name"},
    {"quiet", NULL, 'q', HT_FLAG_BOOL, AT(quiet), .help = "errors and the table only"},
    {"verbose", NULL, 'v', HT_FLAG_COUNT, AT(verbose), .help = "more messages"},
    {"help", NULL, 'h', HT_FLAG_BOOL, AT(help), .help = "this text"},
    {"version", NULL, 0, HT_FLAG_BOOL, AT(version), .help = "version"},
};

static const ht_flag_set set = {
    .program = "gen-eval",
    .usage = "usage: gen-eval -o DIR [--recipes fp16,w8a8] [--limit N] [flags]\n"
             "Makes every prompt with every recipe from the same seeds and compares.",
    .flags = flags,
    .count = sizeof(flags) / sizeof(*flags),
};

static bool refuse(const char *sentence) {
    fprintf(stderr, "gen-eval: %s\n", sentence);
    return false;
}

// Names become folders: letters, digits, '-', '_', '@', ':' and '.', not first.
// NAME=FILE: the packed weights in a file, with the recipe that they were made for.
static bool add_recipe(eval_options *o, const char *name, size_t whole) {
    const char *equal = memchr(name, '=', whole);
    const size_t length = equal ? (size_t)(equal - name) : whole;
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@:";
    if (length == 0 || length >= EVAL_NAME || strspn(name, good) < length || *name == '.') {
        return refuse("--recipes: names separated by commas, as in fp16,w8a8");
    }
    if (o->count == EVAL_MAX_RECIPES) {
        return refuse("--recipes: at most 16");
    }
    for (uint32_t i = 0; i < o->count; ++i) {
        if (strlen(o->names[i]) == length && strncmp(o->names[i], name, length) == 0) {
            fprintf(stderr, "gen-eval: --recipes: %s is there twice\n", o->names[i]);
            return false;
        }
    }
    const size_t file = equal ? whole - length - 1 : 0;
    if (equal && (file == 0 || file >= EVAL_PATH)) {
        return refuse("--recipes: NAME=FILE needs the path of a file");
    }
    snprintf(o->files[o->count], EVAL_PATH, "%.*s", (int)file, equal ? equal + 1 : "");
    snprintf(o->names[o->count++], EVAL_NAME, "%.*s", (int)length, name);
    return true;
}

static bool check(eval_options *o) {
    const char *at = o->recipes;
    bool more = true;
    while (more) {
        size_t length = strcspn(at, ",");
        if (!add_recipe(o, at, length)) {
            return false;
        }
        more = at[length] == ',';
        at += length + 1;
    }
    if (o->seed < 0) {
        return refuse("--seed: expected 0 or more");
    }
    if (!o->ablate != !o->calibrate) {
        return refuse("--ablate RECIPE and --calibrate FILE go together");
    }
    if (o->ablate && o->layers) {
        return refuse("--ablate compares pictures, --layers compares layers: one at a time");
    }
    if (!o->ablate && (o->low_rank || o->search || o->calibrate_limit)) {
        return refuse("--low-rank, --search and --calibrate-limit need --ablate RECIPE");
    }
    if (o->low_rank % 4 != 0) {
        return refuse("--low-rank: expected a multiple of 4");
    }
    return o->output ? true : refuse("there is no --output DIR; see --help");
}

bool eval_options_parse(int argc, char **argv, eval_options *options) {
    *options = (eval_options){
        .model = "scenes-dit", .recipes = "fp16,w8a8,w4a8", .cfg_scale = -1, .seed = 1};
    if (!ht_flags_parse(&set, argc, argv, options)) {
        return false;
    }
    return options->help || options->version || check(options);
}

void eval_options_help(void) {
    ht_flags_help(&set);
}
