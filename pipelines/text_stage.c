// Prompts to embeddings: what is common to all text encoders, which are released again afterwards.
#include "pipeline_internal.h"

#include <string.h>

ht_status ht_text_report_cut(ht_run *run, const char *left_out, size_t count, size_t room) {
    ht_context *context = run->pipeline->context;
    if (run->params->strict) {
        return ht_fail(context, HT_ERR_INVALID,
                       "the prompt has %zu tokens and the text encoder takes %zu; what is too much "
                       "begins at \"%.40s\"",
                       count, room, left_out);
    }
    ht_log(context, HT_LOG_WARN,
           "the prompt has %zu tokens and the text encoder takes %zu; left out: \"%.200s\"", count,
           room, left_out);
    return HT_OK;
}

void ht_text_destroy_graph(ht_text_stage *s) {
    ht_graph_destroy(&s->graph);
    ht_tensor_destroy(&s->ids);
    ht_tensor_destroy(&s->mask);
}

void ht_text_release(ht_pipeline *p) {
    ht_text_stage *s = &p->text;
    ht_text_destroy_graph(s);
    ht_tensor_destroy(&s->embeds);
    ht_tensor_destroy(&s->pooled);
    ht_free(p->context, s->prompt);
    ht_free(p->context, s->negative);
    *s = (ht_text_stage){0};
}

ht_status ht_text_resize(ht_pipeline *p, uint32_t batch, uint32_t length) {
    ht_text_stage *s = &p->text;
    if (s->batch != batch || s->length != length) {
        ht_denoise_release(p); // reads the text's tensors
        ht_text_release(p);
    }
    s->batch = batch;
    s->length = length;
    uint32_t wide[6] = {batch, length, p->shape.text_width};
    uint32_t flat[6] = {batch, p->shape.pooled_width};
    ht_status status = HT_OK;
    if (!s->embeds) {
        status = ht_stage_tensor(p, HT_FORMAT_F32, wide, "text", &s->embeds);
    }
    if (status == HT_OK && !s->pooled && flat[1] > 0) {
        status = ht_stage_tensor(p, HT_FORMAT_F32, flat, "pooled text", &s->pooled);
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

static ht_status remember(ht_pipeline *p, const char *prompt, const char *negative,
                          uint32_t clip_skip) {
    ht_text_stage *s = &p->text;
    s->prompt = ht_strdup(p->context, prompt);
    s->negative = ht_strdup(p->context, negative);
    s->clip_skip = clip_skip;
    return s->prompt && s->negative ? HT_OK : HT_ERR_NO_MEMORY;
}

ht_status ht_text_encode(ht_run *run) {
    ht_pipeline *p = run->pipeline;
    ht_text_stage *s = &p->text;
    uint32_t batch = run->guided ? 2 : 1;
    const char *prompt = run->params->prompt;
    const char *negative =
        batch == 2 && run->params->negative_prompt ? run->params->negative_prompt : "";
    const char *texts[2] = {batch == 2 ? negative : prompt, prompt};
    if (s->batch == batch && s->clip_skip == run->params->clip_skip && same(s->prompt, prompt) &&
        same(s->negative, negative)) {
        run->report->prompt_tokens = s->tokens[batch - 1];
        return HT_OK;
    }
    forget(p);
    ht_status status = p->family->text->encode(run, texts, batch);
    if (status == HT_OK) {
        status = remember(p, prompt, negative, run->params->clip_skip);
    }
    run->report->prompt_tokens = s->tokens[batch - 1];
    return status;
}
