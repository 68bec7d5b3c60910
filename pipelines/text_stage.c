// Prompts to embeddings: tokenizer and text encoder, which is released again afterwards.
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

static ht_status report_cut(ht_run *run, const char *text, const ht_tokenized *tokens) {
    ht_context *context = run->pipeline->context;
    if (tokens->full_count <= tokens->count) {
        return HT_OK;
    }
    if (run->params->strict) {
        return ht_fail(context, HT_ERR_INVALID,
                       "the prompt has %zu tokens and the text encoder takes %zu; what is too much "
                       "begins at \"%.40s\"",
                       tokens->full_count, tokens->count, text + tokens->kept_bytes);
    }
    ht_log(context, HT_LOG_WARN,
           "the prompt has %zu tokens and the text encoder takes %zu; left out: \"%.200s\"",
           tokens->full_count, tokens->count, text + tokens->kept_bytes);
    return HT_OK;
}

// Ids and mask of one prompt into row `row` of the batch.
static ht_status tokenize(ht_run *run, const char *prompt, uint32_t row, int32_t *ids, float *mask,
                          uint32_t *count) {
    ht_pipeline *p = run->pipeline;
    uint32_t length = p->info.max_tokens;
    char *text = clean_prompt(p->context, prompt);
    if (!text) {
        return HT_ERR_NO_MEMORY;
    }
    ht_tokenized tokens;
    ht_status status = ht_tokenizer_encode(p->tokenizer, text, strlen(text),
                                           ids + (size_t)row * length, length, &tokens);
    if (status == HT_OK) {
        for (uint32_t i = 0; i < length; ++i) {
            mask[(size_t)row * length + i] = i < tokens.count ? 0.0f : 1.0f;
        }
        *count = (uint32_t)tokens.count;
        status = report_cut(run, text, &tokens);
    }
    ht_free(p->context, text);
    return status;
}

static void destroy_graph(ht_text_stage *s) {
    ht_graph_destroy(&s->graph);
    ht_tensor_destroy(&s->ids);
    ht_tensor_destroy(&s->mask);
}

void ht_text_release(ht_pipeline *p) {
    ht_text_stage *s = &p->text;
    destroy_graph(s);
    ht_tensor_destroy(&s->embeds);
    ht_free(p->context, s->prompt);
    ht_free(p->context, s->negative);
    *s = (ht_text_stage){0};
}

static ht_status build(ht_pipeline *p, uint32_t batch) {
    ht_text_stage *s = &p->text;
    uint32_t tokens = p->info.max_tokens;
    uint32_t flat[6] = {batch, tokens}, wide[6] = {batch, tokens, p->t5.d_model};
    ht_status status = ht_stage_tensor(p, HT_FORMAT_I32, flat, "token ids", &s->ids);
    if (status == HT_OK) {
        status = ht_stage_tensor(p, HT_FORMAT_F32, flat, "text mask", &s->mask);
    }
    if (status == HT_OK && !s->embeds) {
        status = ht_stage_tensor(p, HT_FORMAT_F32, wide, "text", &s->embeds);
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
static ht_status encode(ht_run *run, uint32_t batch, const int32_t *ids, float *mask) {
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
        destroy_graph(s);
        ht_part_close(p, PART_TEXT);
    }
    return status;
}

static bool same(const char *a, const char *b) {
    return a && b && strcmp(a, b) == 0;
}

static void forget(ht_pipeline *p) {
    ht_free(p->context, p->text.prompt);
    ht_free(p->context, p->text.negative);
    p->text.prompt = p->text.negative = NULL;
    p->denoise.context_ready = false;
}

static ht_status remember(ht_pipeline *p, const char *prompt, const char *negative) {
    ht_text_stage *s = &p->text;
    s->prompt = ht_strdup(p->context, prompt);
    s->negative = ht_strdup(p->context, negative);
    return s->prompt && s->negative ? HT_OK : HT_ERR_NO_MEMORY;
}

ht_status ht_text_encode(ht_run *run) {
    ht_pipeline *p = run->pipeline;
    ht_text_stage *s = &p->text;
    uint32_t batch = ht_guidance_needed(run->cfg_scale) ? 2 : 1, length = p->info.max_tokens;
    const char *prompt = run->params->prompt;
    const char *negative =
        batch == 2 && run->params->negative_prompt ? run->params->negative_prompt : "";
    if (s->batch == batch && same(s->prompt, prompt) && same(s->negative, negative)) {
        run->report->prompt_tokens = s->tokens[batch - 1];
        return HT_OK;
    }
    if (s->batch != batch) {
        ht_denoise_release(p); // reads the text's tensor
        ht_text_release(p);
    }
    forget(p);
    int32_t *ids = ht_alloc(p->context, (size_t)batch * length * sizeof(*ids));
    float *mask = ht_alloc(p->context, (size_t)batch * length * sizeof(*mask));
    ht_status status = ids && mask ? HT_OK : HT_ERR_NO_MEMORY;
    if (status == HT_OK && batch == 2) {
        status = tokenize(run, negative, 0, ids, mask, &s->tokens[0]);
    }
    if (status == HT_OK) {
        status = tokenize(run, prompt, batch - 1, ids, mask, &s->tokens[batch - 1]);
    }
    if (status == HT_OK) {
        s->batch = batch;
        status = encode(run, batch, ids, mask);
    }
    if (status == HT_OK) {
        status = remember(p, prompt, negative);
    }
    run->report->prompt_tokens = s->tokens[batch - 1];
    ht_free(p->context, ids);
    ht_free(p->context, mask);
    return status;
}
