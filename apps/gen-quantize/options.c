// Options of gen-quantize.
#include "options.h"

#include "common/flags.h"

#include <stdio.h>

#define AT(field) .offset = offsetof(quantize_options, field)

static const ht_flag flags[] = {
    {"model", NULL, 'm', HT_FLAG_TEXT, AT(model), .value = "NAME|DIR|FILE",
     .help = "model, or the weights of a denoiser alone (.safetensors); also without --model"},
    {"output", NULL, 'o', HT_FLAG_TEXT, AT(output), .value = "DIR|FILE",
     .help = "folder of the packed model, or its denoiser's weights (.safetensors)"},
    {"recipe", NULL, 'r', HT_FLAG_TEXT, AT(recipe), .value = "NAME|FILE",
     .help = "number formats, see gen --list-recipes (w4a8)"},
    {"search", NULL, 0, HT_FLAG_BOOL, AT(search),
     .help = "per layer, the best format among those of the same size"},
    {"report", NULL, 0, HT_FLAG_MAYBE, AT(report), .value = "[FILE]",
     .help = "what each layer lost, as JSON (stdout)"},
    {"overwrite", NULL, 0, HT_FLAG_BOOL, AT(overwrite), .help = "replace a file that exists"},
    {"quiet", NULL, 'q', HT_FLAG_BOOL, AT(quiet), .help = "errors only"},
    {"verbose", NULL, 'v', HT_FLAG_COUNT, AT(verbose), .help = "every layer"},
    {"help", NULL, 'h', HT_FLAG_BOOL, AT(help), .help = "this text"},
    {"version", NULL, 0, HT_FLAG_BOOL, AT(version), .help = "version"},
};

static const ht_flag_set set = {
    .program = "gen-quantize",
    .usage = "usage: gen-quantize --model NAME|DIR|FILE -o DIR|FILE [--recipe w4a8]\n"
             "Packs the denoiser's weights once, so that later starts read them as they are.",
    .flags = flags,
    .count = sizeof(flags) / sizeof(*flags),
};

bool quantize_options_parse(int argc, char **argv, quantize_options *options) {
    *options = (quantize_options){.recipe = "w4a8"};
    if (argc > 1 && argv[1][0] != '-') { // gen-quantize MODEL -o FILE
        options->model = argv[1];
        argv[1] = argv[0];
        --argc;
        ++argv;
    }
    if (!ht_flags_parse(&set, argc, argv, options)) {
        return false;
    }
    if (!options->help && !options->version && (!options->model || !options->output)) {
        fprintf(stderr, "gen-quantize: there is no %s; see --help\n",
                options->model ? "--output" : "--model");
        return false;
    }
    return true;
}

void quantize_options_help(void) {
    ht_flags_help(&set);
}
