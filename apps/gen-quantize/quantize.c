// From a model or a file of weights to its packed form.
#include "attention.h"
#include "mixed.h"

#include "common/files.h"
#include "common/folder.h"
#include "common/models.h"
#include "common/progress.h"

#include <common/recipe.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char WEIGHTS[] = "diffusion_pytorch_model.safetensors";

typedef struct session {
    const quantize_options *options;
    ht_app_log *log;
    const volatile int *stop;
    const char *denoiser; // its folder in the model's
    ht_app_progress progress;
    ht_context *context;
    ht_recipe *recipe;
    ht_weights *weights;
    quantize_result result;
    better better;    // with --calibrate
    uint32_t matched; // layers with a packed format
    bool failed;      // out of memory
    double start;
    char source[PATH_MAX];    // the model's folder or file
    bool is_model;            // has a model_index.json
    char temporary[PATH_MAX]; // of a new folder
} session;

static bool fail(const session *s, const char *sentence) {
    ht_app_say(s->log, HT_LOG_ERROR, "%s", sentence);
    return false;
}

// ---- what is asked for

static bool ends_with(const char *text, const char *ending) {
    const size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && strcmp(text + length - tail, ending) == 0;
}

static bool find_source(session *s) {
    char why[PATH_MAX * 2], index[PATH_MAX + 32];
    const char *model = s->options->model;
    if (ends_with(model, ".safetensors") || ends_with(model, ".json")) {
        snprintf(s->source, sizeof(s->source), "%s", model);
        return true;
    }
    if (!ht_model_find(model, s->source, sizeof(s->source), why, sizeof(why))) {
        return fail(s, why);
    }
    snprintf(index, sizeof(index), "%s/model_index.json", s->source);
    s->is_model = ht_file_exists(index);
    snprintf(index, sizeof(index), "%s/unet/config.json", s->source);
    s->denoiser = ht_file_exists(index) ? "unet" : "transformer";
    return true;
}

static bool check_output(session *s) {
    char why[PATH_MAX * 2];
    const char *output = s->options->output;
    const bool file = ends_with(output, ".safetensors");
    if (file) {
        return ht_file_check(output, s->options->overwrite, why, sizeof(why)) || fail(s, why);
    }
    if (!s->is_model) {
        return fail(s, "the weights alone go into one file: give --output FILE.safetensors");
    }
    if (ht_file_exists(output)) {
        snprintf(why, sizeof(why), "'%s' exists already", output);
        return fail(s, why);
    }
    const size_t length = strlen(output) - (ends_with(output, "/") ? 1 : 0);
    return snprintf(s->temporary, sizeof(s->temporary), "%.*s.%ld.tmp", (int)length, output,
                    (long)getpid()) < PATH_MAX ||
           fail(s, "the output's name is too long");
}

// Recipes name layers as diffusers does.
static bool check_names(const session *s) {
    static const char first[] = "model.diffusion_model.input_blocks.0.0.weight";
    const bool whole = ht_weights_find(s->weights, first) != NULL;
    if (!whole && !ht_weights_find(s->weights, strstr(first, "input_blocks"))) {
        return true;
    }
    char why[PATH_MAX + 256];
    snprintf(why, sizeof(why),
             "'%s' is a %s under its authors' names: gen packs it on loading, and keeps that "
             "(gen --recipe %s); here a folder in the diffusers layout is needed",
             ht_weights_path(s->weights), whole ? "model in one file" : "UNet",
             ht_recipe_name(s->recipe));
    return fail(s, why);
}

static bool open_inputs(session *s) {
    char path[PATH_MAX + 32], why[PATH_MAX * 2];
    const ht_context_desc desc = {
        .host_only = true,
        .log = {.write = ht_app_log_write, .user = s->log, .level = s->log->level}};
    const ht_weights_desc weights = {.path = path};
    // A mixed recipe starts from which layers are packed, and how they read, in eight bits.
    const char *recipe = mixed_is(s->options->recipe) ? "w8a8" : s->options->recipe;
    if (!ht_recipe_path(recipe, path, sizeof(path), why, sizeof(why))) {
        return fail(s, why);
    }
    if (ht_context_create(&desc, &s->context) != HT_OK ||
        ht_recipe_open(s->context, path, &s->recipe) != HT_OK) {
        return false;
    }
    s->result.recipe = ht_recipe_name(s->recipe);
    snprintf(path, sizeof(path), s->is_model ? "%s/%s" : "%s", s->source, s->denoiser);
    return ht_weights_open(s->context, &weights, &s->weights) == HT_OK && check_names(s);
}

// ---- work

static ht_format layer_format(void *user, const char *layer) {
    session *s = user;
    ht_layer_formats formats;
    ht_recipe_find(s->recipe, layer, &formats);
    s->matched += formats.weights != HT_FORMAT_NONE;
    return s->better.stats && s->options->search ? better_format(&s->better, layer, formats.weights)
                                                 : formats.weights;
}

static void keep_layer(session *s, const ht_quantized *done) {
    quantize_result *r = &s->result;
    packed_layer *larger = realloc(r->layers, (r->count + 1) * sizeof(*larger));
    r->layers = larger ? larger : r->layers;
    char *name = larger ? strdup(done->name) : NULL;
    char layer[512];
    const better_layer *known =
        ht_weight_layer(done->name, layer, sizeof(layer)) ? better_find(&s->better, layer) : NULL;
    s->failed = s->failed || !name;
    if (name) {
        r->layers[r->count++] = (packed_layer){.name = name,
                                               .format = done->format,
                                               .from = done->from,
                                               .bytes = done->bytes,
                                               .sqnr_db = done->sqnr_db,
                                               .nearest_db = NAN,
                                               .got_db = NAN,
                                               .salient = done->salient,
                                               .n_salient = done->n_salient,
                                               .salient_bytes = done->salient_bytes};
        if (known && known->known) {
            packed_layer *l = &r->layers[r->count - 1];
            l->nearest_db = known->improved.nearest_db;
            l->got_db = known->improved.got_db;
            l->rounding = ht_rounding_name(known->improved.rounding);
        }
    }
}

static bool on_done(void *user, const ht_quantized *done) {
    session *s = user;
    s->result.from += done->from;
    s->result.bytes += done->bytes;
    if (done->format != HT_FORMAT_NONE) {
        keep_layer(s, done);
        ht_app_say(s->log, HT_LOG_INFO, "%s: %s, %.1f dB", done->name, ht_format_name(done->format),
                   done->sqnr_db);
    }
    const ht_progress now = {.phase = HT_PHASE_LOAD,
                             .step = done->index + 1,
                             .steps = done->count,
                             .seconds = ht_app_seconds() - s->start};
    ht_app_progress_show(&s->progress, &now);
    return *s->stop == 0 && !s->failed && !s->better.failed;
}

static ht_status pack_layer(void *user, const ht_quantize_layer *layer, bool *done) {
    session *s = user;
    return better_pack(&s->better, layer, done);
}

static void salient_columns(void *user, const char *layer, const ht_tensor_desc *desc,
                            ht_quantize_salient *out) {
    session *s = user;
    const uint32_t inputs = desc->dims[desc->rank - 1];
    ht_layer_formats formats;
    ht_recipe_find(s->recipe, layer, &formats);
    *out = (ht_quantize_salient){.format = formats.salient.weights,
                                 .count = ht_recipe_salient(&formats, inputs),
                                 .energy = better_energy(&s->better, layer, inputs)};
}

static uint32_t branch_rank(void *user, const char *layer, const ht_tensor_desc *desc) {
    const session *s = user;
    return better_rank(&s->better, layer, desc);
}

static void layer_factors(void *user, const char *tensor, const float **inputs,
                          const float **outputs) {
    const session *s = user;
    better_factors(&s->better, tensor, inputs, outputs);
}

// Balanced channels: what the layer reads is no longer what was counted.
static bool changed_input(void *user, const char *layer) {
    const session *s = user;
    char tensor[512];
    const float *inputs = NULL, *outputs = NULL;
    snprintf(tensor, sizeof(tensor), "%s.weight", layer);
    better_factors(&s->better, tensor, &inputs, &outputs);
    return inputs != NULL;
}

// Statistics that were given in either way; *own is to be destroyed. NULL without any.
static const ht_stats *open_statistics(const session *s, ht_stats **own) {
    if (!s->better.stats && s->options->stats) {
        ht_stats_open(s->context, s->options->stats, own);
    }
    return *own ? *own : s->better.stats;
}

static bool find_first_tokens(session *s, first_tokens *out) {
    ht_stats *own = NULL;
    const bool wanted = !s->options->no_first_token && (s->options->stats || s->better.stats);
    const first_tokens_in in = {.weights = s->weights,
                                .recipe = s->recipe,
                                .stats = wanted ? open_statistics(s, &own) : NULL,
                                .better = s->better.stats ? &s->better : NULL};
    const bool good = !wanted || (in.stats && first_tokens_find(&in, out));
    ht_stats_destroy(&own);
    if (good && out->count > 0 && !s->options->quiet) {
        fprintf(stderr, "the text's first token is always the same: kept apart in %u layers\n",
                out->count - 1);
    }
    return good;
}

// Of a calibrated model: the table of static scales, *text; NULL where nothing asks for one.
static bool read_activations(session *s, char **text) {
    ht_stats *own = NULL;
    *text = NULL;
    if ((!s->options->stats && !s->better.stats) || s->options->dynamic) {
        return true;
    }
    const ht_stats *stats = open_statistics(s, &own);
    if (!stats) {
        return false;
    }
    const activations_in in = {.context = s->context,
                               .weights = s->weights,
                               .recipe = s->recipe,
                               .stats = stats,
                               .calibrated = s->better.stats != NULL,
                               .changed = s->better.stats ? changed_input : NULL,
                               .user = s};
    *text = quantize_activations(&in, &s->result);
    ht_stats_destroy(&own);
    if (!s->options->quiet && !s->result.failed) {
        ht_app_progress_clear(&s->progress);
        fprintf(stderr, "activations: static scales in %u layers, dynamic ones in %u\n",
                s->result.static_layers, s->result.dynamic_layers);
    }
    return !s->result.failed;
}

static bool pack(session *s, const char *path) {
    const bool informed = s->better.stats != NULL;
    char *activations = NULL, *attention = NULL;
    first_tokens first = {0};
    bool good = read_activations(s, &activations) && find_first_tokens(s, &first);
    if (good && s->options->attention) {
        attention = quantize_attention_text(s->options, s->log);
        good = attention != NULL;
    }
    const ht_quantize_desc desc = {.path = path,
                                   .replace = s->options->overwrite,
                                   .recipe = ht_recipe_text(s->recipe),
                                   .activations = activations,
                                   .attention = attention,
                                   .extra = first.list,
                                   .n_extra = first.count,
                                   .search = s->options->search && !informed,
                                   .format = layer_format,
                                   .pack = informed ? pack_layer : NULL,
                                   .rank = informed ? branch_rank : NULL,
                                   .salient = salient_columns,
                                   .factors = informed ? layer_factors : NULL,
                                   .done = on_done,
                                   .user = s};
    const ht_status status = good ? ht_weights_quantize(s->weights, &desc) : HT_ERR_INVALID;
    free(activations);
    free(attention);
    first_tokens_close(&first);
    ht_app_progress_clear(&s->progress);
    if (status == HT_OK && s->matched == 0) {
        ht_app_say(s->log, HT_LOG_WARN, "recipe %s packs no layer of '%s'", s->result.recipe,
                   ht_weights_path(s->weights));
    }
    return status == HT_OK;
}

// The denoiser's weights, which are packed instead.
static bool is_packed_part(void *user, const char *path) {
    const session *s = user;
    size_t bytes = strlen(s->denoiser);
    return strncmp(path, s->denoiser, bytes) == 0 && path[bytes] == '/' &&
           (ends_with(path, ".safetensors") || ends_with(path, ".index.json"));
}

static bool pack_model(session *s) {
    char path[PATH_MAX + 64], why[PATH_MAX * 2] = "";
    snprintf(path, sizeof(path), "%s/%s/%s", s->temporary, s->denoiser, WEIGHTS);
    bool good = ht_folder_copy(s->source, s->temporary, is_packed_part, s, why, sizeof(why));
    if (!good) {
        fail(s, why);
    }
    good = good && pack(s, path);
    if (good && rename(s->temporary, s->options->output) != 0) {
        snprintf(why, sizeof(why), "cannot make '%s': %s", s->options->output, strerror(errno));
        good = fail(s, why);
    }
    if (!good) {
        ht_folder_remove(s->temporary);
    }
    return good;
}

// Replaces the recipe by one that the budget allows.
static bool choose_formats(session *s) {
    mixed m = {.better = &s->better, .options = s->options, .log = s->log, .stop = s->stop};
    char *text = mixed_recipe(&m);
    ht_recipe *recipe = NULL;
    const bool good =
        text && ht_recipe_parse(s->context, s->options->recipe, text, &recipe) == HT_OK;
    free(text);
    mixed_close(&m);
    if (good) {
        ht_recipe_destroy(&s->recipe);
        s->recipe = recipe;
        s->better.recipe = recipe;
        s->result.recipe = ht_recipe_name(recipe);
    }
    return good;
}

static bool work(session *s) {
    if (!find_source(s) || !check_output(s) || !open_inputs(s)) {
        return false;
    }
    if (s->options->calibrate) {
        s->better = (better){.options = s->options,
                             .context = s->context,
                             .weights = s->weights,
                             .recipe = s->recipe,
                             .log = s->log};
        if (!better_open(&s->better) || (mixed_is(s->options->recipe) && !choose_formats(s))) {
            return false;
        }
    }
    if (!(*s->temporary ? pack_model(s) : pack(s, s->options->output))) {
        return false;
    }
    s->result.seconds = ht_app_seconds() - s->start;
    return quantize_report(s->options, &s->result, s->log);
}

int quantize_run(const quantize_options *options, ht_app_log *log, const volatile int *stop) {
    session s = {.options = options, .log = log, .stop = stop, .start = ht_app_seconds()};
    ht_app_progress_init(&s.progress, log, options->quiet);
    const bool good = work(&s);
    for (size_t i = 0; i < s.result.count; ++i) {
        free(s.result.layers[i].name);
    }
    free(s.result.layers);
    better_close(&s.better);
    ht_weights_destroy(&s.weights);
    ht_recipe_destroy(&s.recipe);
    ht_context_destroy(&s.context);
    return good ? EXIT_GOOD : *stop ? EXIT_CANCELLED : EXIT_FAILED;
}
