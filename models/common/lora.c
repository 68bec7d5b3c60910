// Files of LoRA taken together for a model, and the constants that a layer's branch is made of.
#include "lora_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { RANK_MULTIPLE = 4 }; // what kernels load at once
static const float MAX_HALF = 65504.0f;

struct ht_lora {
    ht_context *context;
    ht_lora_layers *networks[HT_LORA_NETWORKS];
    ht_weights **files;
    uint32_t n_files;
};

static const char *const network_names[HT_LORA_NETWORKS] = {"denoiser", "text encoder",
                                                            "second text encoder"};

ht_status ht_lora_create(ht_context *context, const ht_lora_desc *desc, ht_lora **out) {
    ht_lora *lora = *out = ht_alloc(context, sizeof(*lora));
    if (!lora) {
        return HT_ERR_NO_MEMORY;
    }
    *lora = (ht_lora){.context = context};
    ht_status status = HT_OK;
    for (uint32_t i = 0; i < HT_LORA_NETWORKS && status == HT_OK; ++i) {
        ht_lora_desc one = *desc;
        one.levels = i == HT_LORA_DENOISER ? desc->levels : 0;
        if (desc->maps[i]) {
            status = ht_lora_layers_create(context, desc->maps[i], &one, &lora->networks[i]);
        }
    }
    if (status != HT_OK) {
        ht_lora_destroy(out);
    }
    return status;
}

void ht_lora_destroy(ht_lora **lora) {
    ht_lora *l = *lora;
    if (!l) {
        return;
    }
    ht_context *context = l->context;
    for (uint32_t i = 0; i < HT_LORA_NETWORKS; ++i) {
        ht_lora_layers_destroy(&l->networks[i]);
    }
    for (uint32_t i = 0; i < l->n_files; ++i) {
        ht_weights_destroy(&l->files[i]);
    }
    ht_free(context, l->files);
    ht_free(context, l);
    *lora = NULL;
}

// ---- one file

// What adding a file finds out.
typedef struct survey {
    ht_lora *lora;
    ht_weights *file;
    const ht_lora_alphas *alphas;
    const float *scales;
    uint32_t known, matched, unmatched, elsewhere, layers; // tensors; layers
    char unknown[HT_LORA_NAME_BYTES];                      // the first layer that is not matched
    ht_lora_network network;                               // its network
    uint32_t low, high;                                    // ranks
} survey;

static ht_lora_change *change_of(survey *s, ht_lora_layer *layer, const ht_lora_key *key) {
    ht_context *context = s->lora->context;
    ht_lora_change **at = &layer->changes;
    while (*at && (*at)->file != s->file) {
        at = &(*at)->next;
    }
    if (!*at && (*at = ht_alloc(context, sizeof(**at)))) {
        **at = (ht_lora_change){.file = s->file, .alpha = NAN, .scale = s->scales[key->network]};
        ++s->layers;
    }
    return *at;
}

static ht_status add_tensor(survey *s, const ht_weight_info *info) {
    ht_lora_key key;
    ht_context *context = s->lora->context;
    if (!ht_lora_parse(info->name, &key)) {
        return HT_OK;
    }
    ++s->known;
    if (key.network == HT_LORA_NETWORKS || !s->lora->networks[key.network]) {
        ++s->elsewhere;
        return HT_OK;
    }
    ht_lora_layer *layer = ht_lora_layers_find(s->lora->networks[key.network], key.module);
    if (!layer) {
        if (s->unmatched++ == 0) {
            memcpy(s->unknown, key.layer, sizeof(s->unknown));
            s->network = key.network;
        }
        return HT_OK;
    }
    ++s->matched;
    if (key.role == HT_LORA_REFUSED) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "'%s': tensor '%s' is of %s; beside packed weights only changes of low rank "
                       "can be computed",
                       ht_weights_path(s->file), info->name, key.refused);
    }
    ht_lora_change *change = change_of(s, layer, &key);
    if (!change) {
        return HT_ERR_NO_MEMORY;
    }
    if (change->tensors[key.role]) {
        return ht_fail(context, HT_ERR_IO, "'%s': '%s' and '%s' are the same for layer '%s'",
                       ht_weights_path(s->file), change->tensors[key.role]->name, info->name,
                       layer->name);
    }
    change->tensors[key.role] = info;
    if (key.role == HT_LORA_DOWN && info->desc.rank > 0) {
        return ht_lora_alphas_find(s->alphas, &key, info->desc.dims[0], &change->alpha);
    }
    return HT_OK;
}

// Not even one layer in common, or some that are not: another model's.
static ht_status check_match(const survey *s) {
    ht_context *context = s->lora->context;
    const char *path = ht_weights_path(s->file);
    if (s->known == 0) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "'%s' is no LoRA: none of its %zu tensors is named like one (%s)", path,
                       ht_weights_count(s->file),
                       ht_weights_count(s->file) > 0 ? ht_weights_get(s->file, 0)->name : "empty");
    }
    if (s->matched == 0 && s->unmatched == 0) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "'%s' changes only networks that this model does not have", path);
    }
    if (s->matched == 0) {
        return ht_fail(
            context, HT_ERR_UNSUPPORTED,
            "'%s' is a LoRA for another model: it changes '%s', this model's %s has layers such as "
            "'%s'",
            path, s->unknown, network_names[s->network],
            s->lora->networks[s->network]->layers[s->lora->networks[s->network]->n_layers / 2]
                .name);
    }
    return s->unmatched == 0
               ? HT_OK
               : ht_fail(context, HT_ERR_UNSUPPORTED,
                         "'%s' changes '%s', which the %s of this model does not have (%u of %u "
                         "tensors match): it is for another model",
                         path, s->unknown, network_names[s->network], s->matched,
                         s->matched + s->unmatched);
}

// Shapes of all layers that the file changes.
static ht_status check_layers(survey *s) {
    ht_status status = HT_OK;
    s->low = UINT32_MAX;
    for (uint32_t n = 0; n < HT_LORA_NETWORKS; ++n) {
        ht_lora_layers *all = s->lora->networks[n];
        for (uint32_t i = 0; all && i < all->n_layers && status == HT_OK; ++i) {
            uint64_t rank = 0;
            for (ht_lora_change *c = all->layers[i].changes; c && status == HT_OK; c = c->next) {
                status = c->file == s->file
                             ? ht_lora_check(s->lora->context, &all->layers[i], c)
                             : HT_OK;
                rank += c->rank;
                s->low = c->file == s->file && c->rank < s->low ? c->rank : s->low;
                s->high = c->file == s->file && c->rank > s->high ? c->rank : s->high;
            }
            if (status == HT_OK && rank > HT_LORA_MAX_RANK) {
                status = ht_fail(s->lora->context, HT_ERR_UNSUPPORTED,
                                 "the LoRAs of layer '%s' have together rank %llu, at most %u",
                                 all->layers[i].name, (unsigned long long)rank, HT_LORA_MAX_RANK);
            }
        }
    }
    return status;
}

// A folder stands for the file in it.
static void file_in(const char *path, char file[4096]) {
    static const char *const names[] = {"pytorch_lora_weights.safetensors",
                                        "adapter_model.safetensors"};
    struct stat info;
    snprintf(file, 4096, "%s", path);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names) && stat(path, &info) == 0 &&
                       S_ISDIR(info.st_mode);
         ++i) {
        char inside[4096];
        if (snprintf(inside, sizeof(inside), "%s/%s", path, names[i]) < (int)sizeof(inside) &&
            stat(inside, &info) == 0) {
            memcpy(file, inside, sizeof(inside));
            return;
        }
    }
}

static ht_status open_file(ht_lora *lora, const char *path, ht_weights **file) {
    char name[4096];
    file_in(path, name);
    ht_weights **grown =
        ht_realloc(lora->context, lora->files, (lora->n_files + 1) * sizeof(*lora->files));
    if (!grown) {
        return HT_ERR_NO_MEMORY;
    }
    lora->files = grown;
    ht_status status =
        ht_weights_open(lora->context, &(ht_weights_desc){.path = name}, &lora->files[lora->n_files]);
    if (status == HT_OK) {
        *file = lora->files[lora->n_files++];
    }
    return status;
}

ht_status ht_lora_add(ht_lora *lora, const char *path, const float scales[HT_LORA_NETWORKS]) {
    survey s = {.lora = lora, .scales = scales};
    ht_lora_alphas *alphas = NULL;
    ht_status status = open_file(lora, path, &s.file);
    if (status == HT_OK) {
        status = ht_lora_alphas_open(s.file, lora->context, &alphas);
    }
    s.alphas = alphas;
    for (size_t i = 0; status == HT_OK && i < ht_weights_count(s.file); ++i) {
        status = add_tensor(&s, ht_weights_get(s.file, i));
    }
    ht_lora_alphas_close(&alphas);
    if (status == HT_OK) {
        status = check_match(&s);
    }
    if (status == HT_OK) {
        status = check_layers(&s);
    }
    if (status == HT_OK) {
        ht_log(lora->context, HT_LOG_INFO,
               "'%s': %u tensors change %u layers, rank %u to %u; %u are for other networks, %zu not "
               "known",
               path, s.matched, s.layers, s.low, s.high, s.elsewhere,
               ht_weights_count(s.file) - s.known);
    }
    return status;
}

const ht_lora_layers *ht_lora_of(const ht_lora *lora, ht_lora_network network) {
    const ht_lora_layers *all = lora ? lora->networks[network] : NULL;
    for (uint32_t i = 0; all && i < all->n_layers; ++i) {
        if (all->layers[i].changes) {
            return all;
        }
    }
    return NULL;
}

// ---- branches

// Of all files, with what fills it up.
static uint32_t full_rank(const ht_lora_layer *layer) {
    uint32_t rank = 0;
    for (const ht_lora_change *c = layer->changes; c; c = c->next) {
        rank += c->rank;
    }
    return (rank + RANK_MULTIPLE - 1) / RANK_MULTIPLE * RANK_MULTIPLE;
}

static size_t inputs_of(const ht_lora_layer *layer) {
    return (size_t)layer->dims[1] * layer->dims[2] * layer->dims[3];
}

uint64_t ht_lora_count(const ht_lora_layers *layers) {
    uint64_t count = 0;
    for (uint32_t i = 0; layers && i < layers->n_layers; ++i) {
        const ht_lora_layer *layer = &layers->layers[i];
        count += full_rank(layer) * ((uint64_t)layer->dims[0] + inputs_of(layer));
    }
    return count;
}

// Half floats have few exponents: what the factors of one rank are large and small by is shared
// evenly, by a power of two, which rounds nothing.
static bool balance(const ht_lora_layer *layer, uint32_t rank, float *down, float *up) {
    const size_t wide = inputs_of(layer), rows = layer->dims[0];
    float most = 0;
    for (size_t r = 0; r < rank; ++r) {
        float d = 0, u = 0;
        for (size_t k = 0; k < wide; ++k) {
            d = fmaxf(d, fabsf(down[r * wide + k]));
        }
        for (size_t o = 0; o < rows; ++o) {
            u = fmaxf(u, fabsf(up[o * rank + r]));
        }
        const int shift = d > 0 && u > 0 ? (ilogbf(u) - ilogbf(d)) / 2 : 0;
        for (size_t k = 0; shift != 0 && k < wide; ++k) {
            down[r * wide + k] = ldexpf(down[r * wide + k], shift);
        }
        for (size_t o = 0; shift != 0 && o < rows; ++o) {
            up[o * rank + r] = ldexpf(up[o * rank + r], -shift);
        }
        most = fmaxf(most, fmaxf(ldexpf(d, shift), ldexpf(u, -shift)));
    }
    return most <= MAX_HALF;
}

static ht_status fill(const ht_lora_layers *all, const ht_lora_layer *layer, uint32_t rank,
                      float *down, float *up) {
    ht_status status = HT_OK;
    uint32_t at = 0;
    memset(down, 0, rank * inputs_of(layer) * sizeof(*down));
    memset(up, 0, (size_t)layer->dims[0] * rank * sizeof(*up));
    for (const ht_lora_change *c = layer->changes; c && status == HT_OK; c = c->next) {
        status = ht_lora_pair(all->context, layer, c, down + at * inputs_of(layer), up + at, rank);
        at += c->rank;
    }
    if (status == HT_OK && all->format == HT_FORMAT_F16 && !balance(layer, rank, down, up)) {
        status = ht_fail(all->context, HT_ERR_UNSUPPORTED,
                         "'%s': the change of layer '%s' is too large for half floats",
                         ht_weights_path(layer->changes->file), layer->name);
    }
    return status;
}

// [R, I, taps] -> [R, taps, I]
static void put_channels_last(const float *in, size_t rows, size_t channels, size_t taps,
                              float *out) {
    for (size_t i = 0; i < rows * channels * taps; ++i) {
        const size_t row = i / (channels * taps), rest = i % (channels * taps);
        out[(row * taps + rest % taps) * channels + rest / taps] = in[i];
    }
}

static ht_value constant(const ht_lora_layers *all, ht_graph *graph, const ht_tensor_desc *desc,
                         const float *values, void *room) {
    ht_format_pack(all->format, values, room, ht_desc_count(desc));
    return ht_graph_constant(graph, desc, room);
}

bool ht_lora_branch(const ht_lora_layers *layers, ht_graph *graph, const char *layer, bool conv,
                    ht_value *down, ht_value *up) {
    char module[HT_LORA_NAME_BYTES];
    snprintf(module, sizeof(module), "%s", layers ? layer : "");
    for (char *c = module; *c; ++c) {
        *c = *c == '.' ? '_' : *c;
    }
    const ht_lora_layer *found = layers ? ht_lora_layers_find(layers, module) : NULL;
    if (!found || !found->changes) {
        return false;
    }
    ht_context *context = layers->context;
    const uint32_t rank = full_rank(found), *dims = found->dims;
    const size_t n_down = rank * inputs_of(found), n_up = (size_t)dims[0] * rank;
    const size_t most = n_down > n_up ? n_down : n_up, taps = (size_t)dims[2] * dims[3];
    float *values = ht_alloc(context, (n_down + n_up + most) * sizeof(*values));
    float *of_up = values + n_down, *room = of_up + n_up;
    ht_status status =
        values ? fill(layers, found, rank, values, of_up) : HT_ERR_NO_MEMORY;
    *down = *up = (ht_value){0};
    if (status == HT_OK) {
        ht_tensor_desc of_down = {.format = layers->format,
                                  .rank = conv ? 4 : 2,
                                  .dims = {rank, conv ? dims[2] : dims[1], dims[3], dims[1]},
                                  .label = "lora down"};
        put_channels_last(values, rank, dims[1], taps, room);
        memcpy(values, room, n_down * sizeof(*values));
        *down = constant(layers, graph, &of_down, values, room);
        *up = constant(layers, graph,
                       &(ht_tensor_desc){.format = layers->format,
                                         .rank = 2,
                                         .dims = {dims[0], rank},
                                         .label = "lora up"},
                       of_up, room);
    } else {
        ht_graph_fail(graph, status);
    }
    ht_free(context, values);
    return true;
}
