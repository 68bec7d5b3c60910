// Keys and values of the text's first token, which in CLIP is the same for every prompt: a packed
// checkpoint may have them beside each layer as the float weights gave them (docs/checkpoint.md). Every
// row of the text that is that token gets them in place of what the packed weights made of it.
#include "pipeline_internal.h"

#include <math.h>
#include <string.h>

// Of the largest value of the token: an encoder on another device differs by less, any other token by
// far more.
static const float TOLERANCE = 1e-3f;

typedef struct placing {
    ht_pipeline *p;
    ht_weights *weights;
    uint32_t *rows; // of the text that are the token, [count]; B * T all together
    uint32_t count;
} placing;

// The values of a tensor, whose number is known; NULL when it is not there. Released with ht_free.
static ht_status read_values(const placing *c, const char *name, uint32_t count, float **out) {
    ht_context *context = c->p->context;
    const ht_weight_info *info = ht_weights_find(c->weights, name);
    *out = NULL;
    if (!info) {
        return HT_OK;
    }
    if (ht_desc_count(&info->desc) != count) {
        return ht_fail(context, HT_ERR_IO, "weights '%s': '%s' has %llu values, expected %u",
                       ht_weights_path(c->weights), name,
                       (unsigned long long)ht_desc_count(&info->desc), count);
    }
    *out = ht_alloc(context, count * sizeof(**out));
    ht_status status = *out ? ht_weights_read_f32(c->weights, name, *out, count) : HT_ERR_NO_MEMORY;
    if (status != HT_OK) {
        ht_free(context, *out);
        *out = NULL;
    }
    return status;
}

static bool is_token(const float *row, const float *token, uint32_t width) {
    float largest = 0, off = 0;
    for (uint32_t k = 0; k < width; ++k) {
        largest = fmaxf(largest, fabsf(token[k]));
        off = fmaxf(off, fabsf(row[k] - token[k]));
    }
    return off <= TOLERANCE * largest; // false of NaN
}

static ht_status find_rows(placing *c, const float *token) {
    const uint32_t width = c->p->shape.text_width, all = c->p->text.batch * c->p->text.length;
    float *text = ht_alloc(c->p->context, (size_t)all * width * sizeof(*text));
    c->rows = ht_alloc(c->p->context, all * sizeof(*c->rows));
    ht_status status = text && c->rows ? HT_OK : HT_ERR_NO_MEMORY;
    if (status == HT_OK) {
        status = ht_tensor_read_f32(c->p->text.embeds, text, (size_t)all * width);
    }
    for (uint32_t r = 0; status == HT_OK && r < all; ++r) {
        if (is_token(text + (size_t)r * width, token, width)) {
            c->rows[c->count++] = r;
        }
    }
    ht_free(c->p->context, text);
    return status;
}

// Into `out` [pictures of each text, T, width].
static ht_status put_rows(const placing *c, const char *layer, uint32_t width, ht_tensor *out) {
    const ht_denoise_stage *s = &c->p->denoise;
    const size_t count = (size_t)s->batch * s->length * width;
    char name[HT_NAME_BYTES];
    float *values, *all = NULL;
    ht_nn_name(name, "%s" HT_FIRST_TOKEN, layer);
    ht_status status = read_values(c, name, width, &values);
    if (status == HT_OK && values) {
        all = ht_alloc(c->p->context, count * sizeof(*all));
        status = all ? ht_tensor_read_f32(out, all, count) : HT_ERR_NO_MEMORY;
        for (uint32_t b = 0; status == HT_OK && b < s->batch; ++b) {
            for (uint32_t i = 0; i < c->count; ++i) {
                const uint32_t text = c->rows[i] / s->length, place = c->rows[i] % s->length;
                if (text == b / s->pictures) {
                    memcpy(all + ((size_t)b * s->length + place) * width, values,
                           width * sizeof(*all));
                }
            }
        }
        status = status == HT_OK ? ht_tensor_write_f32(out, all, count) : status;
    }
    ht_free(c->p->context, all);
    ht_free(c->p->context, values);
    return status;
}

ht_status ht_first_token_put(ht_pipeline *p) {
    placing c = {.p = p, .weights = p->parts[PART_DENOISER].weights};
    float *token = NULL;
    char layer[HT_NAME_BYTES];
    ht_status status = HT_OK;
    if (!p->family->denoiser->text_layer || p->lora) { // LoRAs change the layers
        return HT_OK;
    }
    status = read_values(&c, HT_FIRST_TOKEN_TEXT, p->shape.text_width, &token);
    if (token) {
        status = find_rows(&c, token);
    }
    for (uint32_t i = 0; status == HT_OK && c.count > 0 && i < p->shape.text_layers; ++i) {
        const uint32_t width = ht_denoise_layer_width(p, i);
        p->family->denoiser->text_layer(p, i, "to_k", layer);
        status = put_rows(&c, layer, width, p->denoise.keys[i]);
        if (status == HT_OK) {
            p->family->denoiser->text_layer(p, i, "to_v", layer);
            status = put_rows(&c, layer, width, p->denoise.values[i]);
        }
    }
    if (status == HT_OK && token) {
        ht_log(p->context, HT_LOG_INFO, "%u of %u rows of the text are the known first token",
               c.count, p->text.batch * p->text.length);
    }
    ht_free(p->context, c.rows);
    ht_free(p->context, token);
    return status;
}
