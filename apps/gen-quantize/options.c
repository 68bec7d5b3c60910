// Options of gen-quantize.
#include "options.h"

#include "common/flags.h"

#include <pipeline.h>

#include <stdio.h>
#include <string.h>

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
    {"calibrate", NULL, 'c', HT_FLAG_TEXT, AT(calibrate), .value = "FILE",
     .help =
         "choose weights by what the layers read: prompts (.txt, .jsonl), or a file of --stats"},
    {"rounding", NULL, 0, HT_FLAG_TEXT, AT(rounding), .value = "nearest|gptq|learned",
     .help = "with --calibrate: the best to be tried (learned)"},
    {"low-rank", NULL, 0, HT_FLAG_U32, AT(low_rank), 0, 1024, "R",
     "with --calibrate: rank of a float branch beside each 4-bit layer (0: none)"},
    {"no-balance", NULL, 0, HT_FLAG_BOOL, AT(no_balance),
     .help = "with --calibrate: leave the sizes of channels as they are"},
    {"report", NULL, 0, HT_FLAG_MAYBE, AT(report), .value = "[FILE]",
     .help = "what each layer lost, as JSON (stdout)"},
    {"stats", NULL, 0, HT_FLAG_TEXT, AT(stats), .value = "FILE",
     .help = "count what the layers of the float model read, over --prompts, into this file"},
    {"attention", NULL, 0, HT_FLAG_TEXT, AT(attention), .value = "FILE.json",
     .help = "table of attentions for gen --attention paro: made over --prompts or those of "
             "--calibrate where it is not there, put into --output"},
    {"dynamic", NULL, 0, HT_FLAG_BOOL, AT(dynamic),
     .help = "no static scales of activations, whatever --stats says"},
    {"no-first-token", NULL, 0, HT_FLAG_BOOL, AT(no_first_token),
     .help = "leave the keys and values of a text's constant first token to the packed weights"},
    {"prompts", NULL, 'p', HT_FLAG_TEXT, AT(prompts), .value = "FILE",
     .help = "one per line, or JSON lines"},
    {"limit", NULL, 'n', HT_FLAG_U32, AT(limit), 1, 1000000, "N", "only the first N prompts"},
    {"steps", NULL, 0, HT_FLAG_U32, AT(steps), 1, 1000, "N", "denoising steps (the model's)"},
    {"cfg-scale", "guidance-scale cfg", 0, HT_FLAG_REAL, AT(cfg_scale), 0, 1000, "X",
     "guidance (the model's)"},
    {"seed", NULL, 's', HT_FLAG_I64, AT(seed), .value = "N",
     .help = "of the first prompt; the next have seed + 1, .. (1000)"},
    {"gram", NULL, 0, HT_FLAG_BOOL, AT(gram), .help = "Gram matrices too (large)"},
    {"gram-width", NULL, 0, HT_FLAG_U32, AT(gram_width), 1, 65536, "N",
     "widest Gram matrix; beyond: of pixels, or in blocks (1536)"},
    {"rows", NULL, 0, HT_FLAG_U32, AT(rows), 0, 65536, "N", "sample rows kept of an input (128)"},
    {"device", NULL, 'd', HT_FLAG_TEXT, AT(device), .value = "N|NAME",
     .help = "by number or part of the name"},
    {"show-stats", NULL, 0, HT_FLAG_TEXT, AT(show_stats), .value = "FILE",
     .help = "print such a file as a table, and draw its ranges"},
    {"width", NULL, 'W', HT_FLAG_U32, AT(width), 1, HT_MAX_EDGE, "N",
     "of the pictures that --attention is for, whose table serves no other size (the model's)"},
    {"height", NULL, 'H', HT_FLAG_U32, AT(height), 1, HT_MAX_EDGE, "N", "likewise"},
    {"frames", "video-frames", 0, HT_FLAG_U32, AT(frames), 1, 4096, "N", "likewise, of clips"},
    {"show-attention", NULL, 0, HT_FLAG_TEXT, AT(show_attention), .value = "FILE.json",
     .help = "draw the maps of such a table before and after reordering, with what is kept"},
    {"density", NULL, 0, HT_FLAG_REAL, AT(density), 0.01, 1, "X",
     "share of the blocks that --show-attention keeps (0.5)"},
    {"plot", NULL, 0, HT_FLAG_TEXT, AT(plot), .value = "FILE.svg",
     .help = "where --show-stats and --show-attention draw (FILE.svg beside it)"},
    {"overwrite", NULL, 0, HT_FLAG_BOOL, AT(overwrite), .help = "replace a file that exists"},
    {"quiet", NULL, 'q', HT_FLAG_BOOL, AT(quiet), .help = "errors only"},
    {"verbose", NULL, 'v', HT_FLAG_COUNT, AT(verbose), .help = "every layer"},
    {"help", NULL, 'h', HT_FLAG_BOOL, AT(help), .help = "this text"},
    {"version", NULL, 0, HT_FLAG_BOOL, AT(version), .help = "version"},
};

static const ht_flag_set set = {
    .program = "gen-quantize",
    .usage =
        "usage: gen-quantize --model NAME|DIR|FILE -o DIR|FILE [--recipe w4a8]\n"
        "       gen-quantize --model NAME|DIR --stats FILE --prompts FILE [--steps N] [--limit N]\n"
        "       gen-quantize --model NAME|DIR -o DIR --recipe w4a8 --calibrate FILE\n"
        "       gen-quantize --show-stats FILE\n"
        "Packs the denoiser's weights once, so that later starts read them as they are.",
    .flags = flags,
    .count = sizeof(flags) / sizeof(*flags),
};

static bool check(const quantize_options *o) {
    const char *missing =
        !o->model                    ? "there is no --model"
        : o->calibrate && !o->output ? "--calibrate needs --output"
        : !o->output && !o->stats && !o->attention
            ? "there is no --output, no --stats and no --attention"
        : o->stats && !o->prompts && !o->output
            ? "--stats needs --prompts FILE to count, or --output to be used"
        : !o->stats && !o->attention && o->prompts
            ? "--prompts needs --stats FILE or --attention FILE.json"
        : !o->output && o->attention && !o->prompts
            ? "--attention needs --prompts FILE to watch, or --output to be used"
        : o->calibrate && o->stats ? "--calibrate and --stats are two ways to say it"
        : strncmp(o->recipe, "mixed:", 6) == 0 && !o->calibrate
            ? "a mixed recipe needs --calibrate PROMPTS"
        : (o->width || o->height || o->frames) && (o->stats || o->calibrate || !o->attention)
            ? "--width, --height and --frames are for --attention with --prompts alone"
        : o->low_rank % 4 != 0         ? "--low-rank: expected a multiple of 4"
        : o->low_rank && !o->calibrate ? "--low-rank needs --calibrate"
        : o->seed < 0                  ? "--seed: expected 0 or more"
                                       : NULL;
    if (missing) {
        fprintf(stderr, "gen-quantize: %s; see --help\n", missing);
    }
    return !missing;
}

bool quantize_options_parse(int argc, char **argv, quantize_options *options) {
    *options = (quantize_options){.recipe = "w4a8",
                                  .rounding = "learned",
                                  .cfg_scale = -1,
                                  .seed = 1000,
                                  .rows = 128,
                                  .gram_width = 1536,
                                  .density = 0.5};
    if (argc > 1 && argv[1][0] != '-') { // gen-quantize MODEL -o FILE
        options->model = argv[1];
        argv[1] = argv[0];
        --argc;
        ++argv;
    }
    if (!ht_flags_parse(&set, argc, argv, options)) {
        return false;
    }
    return options->help || options->version || options->show_stats || options->show_attention ||
           check(options);
}

void quantize_options_help(void) {
    ht_flags_help(&set);
}
