// Options of gen: one table for parsing and help.
#include "options.h"

#include "common/job_output.h"

#include <stdio.h>
#include <string.h>

#define AT(field) .offset = offsetof(gen_options, field)
#define GROUP(text)                                                                                \
    { .kind = HT_FLAG_GROUP, .help = text }

static const ht_flag flags[] = {
#define HT_JOB_OPTIONS gen_options
#include "common/job_flags.h"

    GROUP("Lists of prompts, and where pictures go"),
    {"prompt-file", NULL, 0, HT_FLAG_TEXT, AT(prompt_file), .value = "FILE",
     .help = "one prompt per line, # starts a comment; .jsonl: the \"prompt\" of each"},
    {"output", NULL, 'o', HT_FLAG_TEXT, AT(output), .value = "FILE",
     .help = "png, jpg; mp4, webm, gif, webp; %04d numbers them; a folder; - is stdout (gen-SEED.png)"},
    {"overwrite", NULL, 0, HT_FLAG_BOOL, AT(overwrite), .help = "replace files that exist"},
    {"preview", "preview-path", 0, HT_FLAG_TEXT, AT(preview), .value = "FILE",
     .help = "keep a PNG of the picture so far, after every step"},
    {"json", NULL, 0, HT_FLAG_MAYBE, AT(json), .value = "[FILE]",
     .help = "report of the run: times, memory, seed, files (stdout)"},
    {"no-metadata", "disable-image-metadata", 0, HT_FLAG_BOOL, AT(no_metadata),
     .help = "do not write prompt and settings into the PNG"},

#define HT_DEVICE_OPTIONS gen_options
#include "common/device_flags.h"
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
};

static const ht_flag_set set = {
    .program = "gen",
    .usage = "usage: gen --prompt TEXT [flags]\n"
             "Makes a picture or a clip from a text, on any Vulkan device.",
    .flags = flags,
    .count = sizeof(flags) / sizeof(*flags),
};

static bool refuse(const char *sentence) {
    fprintf(stderr, "gen: %s\n", sentence);
    return false;
}

static bool check(const gen_options *o) {
    if (o->job.prompt && o->prompt_file) {
        return refuse("--prompt and --prompt-file exclude each other");
    }
    if (o->json && !*o->json && o->output && strcmp(o->output, "-") == 0) {
        return refuse("the picture and the report cannot both go to stdout; give --json a FILE");
    }
    if ((o->job.fps > 0 || o->job.crf >= 0 || o->job.codec) &&
        !ht_job_is_clip(&o->job, o->output)) {
        return refuse("--fps, --crf and --codec are of clips; give --frames, or --output a name such "
                      "as clip.mp4");
    }
    return true;
}

bool gen_options_parse(int argc, char **argv, gen_options *options) {
    char why[512];
    *options = (gen_options){.job = ht_job_defaults};
    if (!ht_flags_parse(&set, argc, argv, options)) {
        return false;
    }
    bool asks = options->help || options->version || options->list_devices ||
                options->list_models || options->list_samplers || options->list_recipes ||
                options->list_formats;
    if (asks) {
        return true;
    }
    ht_job_choose_model(&options->job, options->output);
    return check(options) &&
           (ht_job_finish(&options->job, !options->prompt_file, why, sizeof(why)) || refuse(why));
}

void gen_options_help(void) {
    ht_flags_help(&set);
}
