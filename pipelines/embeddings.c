// Textual inversion (Gal et al. 2022): vectors learned for a word, put in the place of its tokens'
// embeddings. Layouts of AUTOMATIC1111 (emb_params), of SDXL's trainers (clip_l and clip_g) and of
// diffusers (one tensor, named by its token).
#include "pipeline_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MAX_ROWS = 4096 };

// ---- words of prompts

static bool in_word(char c) {
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

// The word at `at`, not within another one.
static bool stands_at(const char *text, size_t at, const char *word, size_t length) {
    return strncasecmp(text + at, word, length) == 0 &&
           !(in_word(word[0]) && at > 0 && in_word(text[at - 1])) &&
           !(in_word(word[length - 1]) && in_word(text[at + length]));
}

bool ht_prompt_has_word(const char *prompt, const char *word) {
    size_t length = strlen(word), bytes = strlen(prompt);
    for (size_t at = 0; length > 0 && at + length <= bytes; ++at) {
        if (stands_at(prompt, at, word, length)) {
            return true;
        }
    }
    return false;
}

const ht_embedding *ht_embeddings_find(const ht_pipeline *p, const char *text, size_t *begin,
                                       size_t *end) {
    static const char prefix[] = "embedding:"; // as ComfyUI writes it
    size_t bytes = strlen(text), before = sizeof(prefix) - 1;
    const ht_embedding *found = NULL;
    for (size_t at = 0; at < bytes && !found; ++at) {
        size_t longest = 0;
        for (uint32_t i = 0; i < p->embeddings.count; ++i) {
            size_t length = strlen(p->embeddings.items[i].token);
            if (length > longest && stands_at(text, at, p->embeddings.items[i].token, length)) {
                found = &p->embeddings.items[i];
                longest = length;
            }
        }
        bool prefixed = at >= before && strncasecmp(text + at - before, prefix, before) == 0;
        *begin = prefixed ? at - before : at;
        *end = at + longest;
    }
    return found;
}

// ---- files

// What a file has for each text encoder.
typedef struct layout {
    const ht_weight_info *tensors[HT_MAX_TEXT_ENCODERS];
    const char *token; // that the file says; or NULL
} layout;

static ht_status recognise(ht_pipeline *p, const ht_weights *weights, layout *out) {
    const ht_weight_info *first = ht_weights_find(weights, "clip_l");
    const ht_weight_info *second = ht_weights_find(weights, "clip_g");
    const ht_weight_info *only = ht_weights_find(weights, "emb_params");
    *out = (layout){.tensors = {first, second}};
    if (only) {
        *out = (layout){.tensors = {only}};
    } else if (!first && ht_weights_count(weights) == 1) {
        only = ht_weights_get(weights, 0);
        *out = (layout){.tensors = {only}, .token = only->name};
    }
    if (!out->tensors[0]) {
        return ht_fail(p->context, HT_ERR_IO,
                       "'%s' is not an embedding of textual inversion: expected a tensor "
                       "'emb_params', 'clip_l' and 'clip_g', or a single one with the token's name",
                       ht_weights_path(weights));
    }
    return HT_OK;
}

// Rows and values per row.
static void measure(const ht_weight_info *tensor, uint32_t *rows, uint32_t *width) {
    const ht_tensor_desc *d = &tensor->desc;
    *rows = d->rank == 2 ? d->dims[0] : d->rank == 1;
    *width = d->rank == 2 ? d->dims[1] : d->rank == 1 ? d->dims[0] : 0;
}

static ht_status check_layout(ht_pipeline *p, const char *path, const layout *from,
                              uint32_t *rows) {
    uint32_t encoders = p->parts[PART_TEXT_2].name ? 2 : 1, room = p->info.max_tokens - 2;
    for (uint32_t e = 0; e < HT_MAX_TEXT_ENCODERS; ++e) {
        uint32_t count = 0, width = 0;
        if ((from->tensors[e] != NULL) != (e < encoders)) {
            return ht_fail(p->context, HT_ERR_INVALID,
                           "embedding '%s' is for another model: it has vectors for %s text "
                           "encoder%s, the model has %s",
                           path, e < encoders ? "one" : "two", e < encoders ? "" : "s",
                           e < encoders ? "two" : "one");
        }
        if (e >= encoders) {
            continue;
        }
        measure(from->tensors[e], &count, &width);
        if (width != p->clip[e].width) {
            return ht_fail(p->context, HT_ERR_INVALID,
                           "embedding '%s' is for another model: its vectors '%s' have %u values, "
                           "the text encoder's %u",
                           path, from->tensors[e]->name, width, p->clip[e].width);
        }
        if (count == 0 || count > room || (e > 0 && count != *rows)) {
            return ht_fail(p->context, HT_ERR_INVALID,
                           "embedding '%s' has %u vectors '%s', expected 1 to %u, as many for each "
                           "text encoder",
                           path, count, from->tensors[e]->name, room);
        }
        *rows = count;
    }
    return HT_OK;
}

// The file's name without folder and ending.
static char *stem_of(ht_context *context, const char *path) {
    const char *slash = strrchr(path, '/');
    char *name = ht_strdup(context, slash ? slash + 1 : path);
    char *dot = name ? strrchr(name, '.') : NULL;
    if (dot && dot != name) {
        *dot = 0;
    }
    return name;
}

static ht_status name_it(ht_pipeline *p, const ht_embedding_file *file, const char *said,
                         ht_embedding *out) {
    const char *token = file->token ? file->token : said;
    out->token = token ? ht_strdup(p->context, token) : stem_of(p->context, file->path);
    if (!out->token) {
        return HT_ERR_NO_MEMORY;
    }
    if (!*out->token || out->token[strcspn(out->token, " \t\n()[]")]) {
        return ht_fail(p->context, HT_ERR_INVALID,
                       "embedding '%s': '%s' cannot be a word of a prompt; give another token",
                       file->path, out->token);
    }
    for (const ht_embedding *other = p->embeddings.items; other < out; ++other) {
        if (strcasecmp(other->token, out->token) == 0) {
            return ht_fail(p->context, HT_ERR_INVALID,
                           "embedding '%s': another one is called '%s', too", file->path,
                           out->token);
        }
    }
    return HT_OK;
}

// Append the vectors of one encoder.
static ht_status append(ht_pipeline *p, uint32_t encoder, ht_weights *weights, const char *name,
                        uint32_t rows) {
    ht_embeddings *all = &p->embeddings;
    size_t width = p->clip[encoder].width;
    float *larger = ht_realloc(p->context, all->values[encoder],
                               (all->rows + rows) * width * sizeof(*larger));
    if (!larger) {
        return HT_ERR_NO_MEMORY;
    }
    all->values[encoder] = larger;
    return ht_weights_read_f32(weights, name, larger + all->rows * width, rows * width);
}

static ht_status add(ht_pipeline *p, const ht_embedding_file *file, ht_weights *weights) {
    ht_embeddings *all = &p->embeddings;
    ht_embedding *item = &all->items[all->count];
    layout from;
    uint32_t rows = 0;
    ht_status status = recognise(p, weights, &from);
    if (status == HT_OK) {
        status = check_layout(p, file->path, &from, &rows);
    }
    if (status == HT_OK && all->rows + rows > MAX_ROWS) {
        status = ht_fail(p->context, HT_ERR_INVALID, "embedding '%s': more than %d vectors in all",
                         file->path, MAX_ROWS);
    }
    if (status == HT_OK) {
        ++all->count; // its name is released with the others
        status = name_it(p, file, from.token, item);
    }
    for (uint32_t e = 0; e < HT_MAX_TEXT_ENCODERS && status == HT_OK && from.tensors[e]; ++e) {
        status = append(p, e, weights, from.tensors[e]->name, rows);
    }
    item->first = all->rows;
    item->count = rows;
    all->rows += rows;
    return status;
}

ht_status ht_embeddings_open(ht_pipeline *p) {
    const ht_pipeline_options *o = &p->options;
    if (o->n_embeddings == 0) {
        return HT_OK;
    }
    if (p->family->text != &ht_text_clip) {
        return ht_fail(p->context, HT_ERR_INVALID,
                       "embedding '%s' needs a CLIP text encoder, which this model has not",
                       o->embeddings[0].path);
    }
    p->embeddings.items = ht_alloc(p->context, o->n_embeddings * sizeof(*p->embeddings.items));
    ht_status status = p->embeddings.items ? HT_OK : HT_ERR_NO_MEMORY;
    for (size_t i = 0; i < o->n_embeddings && status == HT_OK; ++i) {
        const ht_weights_desc desc = {.path = o->embeddings[i].path};
        ht_weights *weights = NULL;
        status = ht_weights_open(p->context, &desc, &weights);
        if (status == HT_OK) {
            status = add(p, &o->embeddings[i], weights);
        }
        ht_weights_destroy(&weights);
    }
    return status;
}

void ht_embeddings_close(ht_pipeline *p) {
    ht_embeddings *all = &p->embeddings;
    for (uint32_t i = 0; i < all->count; ++i) {
        ht_free(p->context, all->items[i].token);
    }
    ht_free(p->context, all->items);
    for (uint32_t e = 0; e < HT_MAX_TEXT_ENCODERS; ++e) {
        ht_free(p->context, all->values[e]);
    }
    *all = (ht_embeddings){0};
}
