// Prompts by T5: tokens, a mask, and the encoder.
#include "pipeline_internal.h"

#include <ctype.h>
#include <string.h>

// Small letter of a Latin-1, Greek or Cyrillic capital; others stay.
static uint32_t small_letter(uint32_t c) {
    bool latin = (c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 'A' && c <= 'Z');
    bool greek = c >= 0x391 && c <= 0x3a9 && c != 0x3a2;
    bool cyrillic = c >= 0x410 && c <= 0x42f;
    return latin || greek || cyrillic ? c + 0x20 : c >= 0x400 && c <= 0x40f ? c + 0x50 : c;
}

// In place: small letters take as many bytes. Longer sequences and broken ones stay.
static void make_small(char *text) {
    for (uint8_t *p = (uint8_t *)text; *p; ++p) {
        if (*p < 0x80) {
            *p = (uint8_t)small_letter(*p);
        } else if (*p >= 0xc2 && *p < 0xe0 && (p[1] & 0xc0) == 0x80) {
            uint32_t c = small_letter((*p & 0x1fu) << 6 | (p[1] & 0x3fu));
            *p++ = (uint8_t)(0xc0 | c >> 6);
            *p = (uint8_t)(0x80 | (c & 0x3f));
        }
    }
}

// PixArt was trained on lower-case captions without surrounding spaces.
static char *clean_prompt(ht_context *context, const char *prompt) {
    while (*prompt && isspace((unsigned char)*prompt)) {
        ++prompt;
    }
    char *text = ht_strdup(context, prompt);
    if (!text) {
        return NULL;
    }
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1])) {
        text[--length] = 0;
    }
    make_small(text);
    return text;
}

// Wan was trained on captions whose white space is single spaces.
static char *single_spaces(ht_context *context, const char *prompt) {
    char *text = ht_alloc(context, strlen(prompt) + 1), *out = text;
    for (const char *p = prompt; text && *p; ++p) {
        if (!isspace((unsigned char)*p)) {
            *out++ = *p;
        } else if (out > text && out[-1] != ' ') {
            *out++ = ' ';
        }
    }
    if (text && out > text && out[-1] == ' ') {
        --out;
    }
    if (text) {
        *out = 0;
    }
    return text;
}

// How a family's prompts become the encoder's input.
typedef struct rules {
    char *(*clean)(ht_context *context, const char *prompt); // NULL: as they are
    bool reads_padding; // the encoder is not told where a prompt ends
} rules;

static const rules *rules_of(const ht_pipeline *p) {
    static const rules pixart = {clean_prompt, false}, wan = {single_spaces, false};
    static const rules cogvideox = {NULL, true};
    return p->family->text == &ht_text_umt5        ? &wan
           : p->family->text == &ht_text_t5_padded ? &cogvideox
                                                   : &pixart;
}

// Ids and mask of one prompt into row `row` of the batch.
static ht_status tokenize(ht_run *run, const char *prompt, uint32_t row, int32_t *ids, float *mask,
                          uint32_t *count) {
    ht_pipeline *p = run->pipeline;
    uint32_t length = p->info.max_tokens;
    const rules *r = rules_of(p);
    char *text = r->clean ? r->clean(p->context, prompt) : ht_strdup(p->context, prompt);
    if (!text) {
        return HT_ERR_NO_MEMORY;
    }
    ht_tokenized tokens;
    ht_status status = ht_tokenizer_encode(p->tokenizer, text, strlen(text),
                                           ids + (size_t)row * length, length, &tokens);
    if (status == HT_OK) {
        for (uint32_t i = 0; i < length; ++i) {
            const bool hidden = i >= tokens.count && !r->reads_padding;
            mask[(size_t)row * length + i] = hidden ? 1.0f : 0.0f;
        }
        *count = (uint32_t)tokens.count;
        if (tokens.full_count > tokens.count) {
            status =
                ht_text_report_cut(run, text + tokens.kept_bytes, tokens.full_count, tokens.count);
        }
    }
    ht_free(p->context, text);
    return status;
}

static ht_status build(ht_pipeline *p, uint32_t batch) {
    ht_text_stage *s = &p->text;
    uint32_t tokens = p->info.max_tokens;
    uint32_t flat[6] = {batch, tokens};
    ht_status status = ht_stage_tensor(p, HT_FORMAT_I32, flat, "token ids", &s->ids);
    if (status == HT_OK) {
        status = ht_stage_tensor(p, HT_FORMAT_F32, flat, "text mask", &s->mask);
    }
    if (status == HT_OK) {
        status = ht_stage_graph(p, "text encoder", HT_FORMAT_F32, &s->graph);
    }
    if (status == HT_OK) {
        ht_value text =
            ht_t5_build(s->graph, &p->t5, p->parts[PART_TEXT].weights,
                        ht_graph_tensor(s->graph, s->ids), ht_graph_tensor(s->graph, s->mask));
        ht_graph_output(s->graph, text, s->embeds);
        status = ht_graph_finish(s->graph);
    }
    return status;
}

// The encoder itself; the masks become what is added to the scores.
static ht_status run_encoder(ht_run *run, uint32_t batch, const int32_t *ids, float *mask) {
    ht_pipeline *p = run->pipeline;
    ht_text_stage *s = &p->text;
    size_t count = (size_t)batch * p->info.max_tokens;
    bool first = s->graph == NULL;
    ht_status status = ht_part_open(p, PART_TEXT);
    if (status == HT_OK && first) {
        status = build(p, batch);
    }
    if (status == HT_OK) {
        status = ht_tensor_write(s->ids, ids, count * sizeof(*ids));
    }
    if (status == HT_OK) {
        for (size_t i = 0; i < count; ++i) {
            mask[i] *= -1e9f;
        }
        status = ht_tensor_write_f32(s->mask, mask, count);
    }
    if (status == HT_OK) {
        status = ht_stage_run(p, s->graph, first);
    }
    if (status == HT_OK) {
        ht_part_account(p, PART_TEXT, s->graph, run->report);
    }
    if (!p->options.keep_loaded || status != HT_OK) {
        ht_text_destroy_graph(s);
        ht_part_close(p, PART_TEXT);
    }
    return status;
}

static ht_status encode(ht_run *run, const char *const *texts, uint32_t batch) {
    ht_pipeline *p = run->pipeline;
    uint32_t length = p->info.max_tokens;
    ht_status status = ht_text_resize(p, batch, length);
    int32_t *ids = ht_alloc(p->context, (size_t)batch * length * sizeof(*ids));
    float *mask = ht_alloc(p->context, (size_t)batch * length * sizeof(*mask));
    if (status == HT_OK && (!ids || !mask)) {
        status = HT_ERR_NO_MEMORY;
    }
    for (uint32_t b = 0; b < batch && status == HT_OK; ++b) {
        status = tokenize(run, texts[b], b, ids, mask, &p->text.tokens[b]);
    }
    if (status == HT_OK) {
        status = run_encoder(run, batch, ids, mask);
    }
    ht_free(p->context, ids);
    ht_free(p->context, mask);
    return status;
}

// The same, and what stands for padding becomes zeros: such models are not told where the text ends.
static ht_status encode_with_zeros(ht_run *run, const char *const *texts, uint32_t batch) {
    ht_pipeline *p = run->pipeline;
    ht_text_stage *s = &p->text;
    ht_status status = encode(run, texts, batch);
    size_t item = (size_t)p->info.max_tokens * p->shape.text_width, count = batch * item;
    float *values = status == HT_OK ? ht_alloc(p->context, count * sizeof(*values)) : NULL;
    if (status == HT_OK) {
        status = values ? ht_tensor_read_f32(s->embeds, values, count) : HT_ERR_NO_MEMORY;
    }
    for (uint32_t b = 0; b < batch && status == HT_OK; ++b) {
        size_t used = (size_t)s->tokens[b] * p->shape.text_width;
        memset(values + b * item + used, 0, (item - used) * sizeof(*values));
    }
    if (status == HT_OK) {
        status = ht_tensor_write_f32(s->embeds, values, count);
    }
    ht_free(p->context, values);
    return status;
}

static ht_status read(ht_pipeline *p) {
    return ht_t5_config_read(p->context, p->parts[PART_TEXT].path, &p->t5);
}

static ht_status open_tokenizer(ht_pipeline *p, const char *folder) {
    char *path = ht_path_join(p->context, folder, "tokenizer");
    ht_status status = path ? ht_tokenizer_open(p->context, path, &p->tokenizer) : HT_ERR_NO_MEMORY;
    ht_free(p->context, path);
    if (status == HT_OK && p->t5.d_model != p->shape.text_width) {
        return ht_fail(p->context, HT_ERR_IO,
                       "the text encoder gives %u values per token, the transformer takes %u",
                       p->t5.d_model, p->shape.text_width);
    }
    uint32_t vocab = status == HT_OK ? ht_tokenizer_get_info(p->tokenizer)->vocab : 0;
    if (vocab > p->t5.vocab_size) {
        return ht_fail(p->context, HT_ERR_IO,
                       "the tokenizer has %u entries, the text encoder only %u", vocab,
                       p->t5.vocab_size);
    }
    const bool alpha = strcmp(p->info.class_name, "PixArtAlphaPipeline") == 0;
    p->info.max_tokens = p->family->text == &ht_text_umt5        ? 512
                         : p->family->text == &ht_text_t5_padded ? p->cogvideox.text_tokens
                         : alpha                                 ? 120
                                                                 : 300;
    return status;
}

static void close_tokenizer(ht_pipeline *p) {
    ht_tokenizer_destroy(&p->tokenizer);
}

static ht_status map(const ht_pipeline *p, uint32_t part, ht_weight_map *out) {
    (void)part;
    return ht_t5_weight_map(p->context, &p->t5, out);
}

const ht_text_encoding ht_text_t5 = {
    .read = read, .open = open_tokenizer, .close = close_tokenizer, .map = map, .encode = encode};
const ht_text_encoding ht_text_t5_padded = {
    .read = read, .open = open_tokenizer, .close = close_tokenizer, .map = map, .encode = encode};
const ht_text_encoding ht_text_umt5 = {.read = read,
                                       .open = open_tokenizer,
                                       .close = close_tokenizer,
                                       .map = map,
                                       .encode = encode_with_zeros};
