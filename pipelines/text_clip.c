// Prompts by CLIP: weighted tokens in chunks of the encoder's length, one or two encoders side by
// side. Conventions are those of AUTOMATIC1111: chunks end at a comma where one is near, weights
// scale the embeddings and the mean of each chunk is kept.
#include "pipeline_internal.h"
#include "prompt_weights.h"

#include <string.h>

enum { MAX_PROMPT_TOKENS = 4096, COMMA_REACH = 20 };

// A prompt's tokens, without start and end.
typedef struct token_list {
    int32_t *ids;
    float *weights;
    uint8_t *ends_chunk; // BREAK stood behind this token
    uint8_t *joined;     // a vector of textual inversion that follows another one of its word
    size_t count;
} token_list;

// All rows of one encoder.
typedef struct chunk_rows {
    int32_t *ids;    // [rows, L]
    float *weights;  // [rows, L]
    int32_t ends[2]; // of the items' first rows, in rows * L
    uint32_t per_item, length;
} chunk_rows;

static void free_tokens(ht_context *context, token_list *list) {
    ht_free(context, list->ids);
    ht_free(context, list->weights);
    ht_free(context, list->ends_chunk);
    ht_free(context, list->joined);
    *list = (token_list){0};
}

// Vectors of textual inversion are numbered behind the vocabulary.
static size_t put_vectors(const ht_pipeline *p, uint32_t encoder, const ht_embedding *e,
                          token_list *list, size_t room) {
    for (uint32_t i = 0; i < e->count && i < room; ++i) {
        list->ids[list->count + i] = (int32_t)(p->clip[encoder].vocab_size + e->first + i);
        list->joined[list->count + i] = i > 0;
    }
    return e->count;
}

// Text without embeddings (`e` NULL), or one of them.
static ht_status tokenize_piece(ht_pipeline *p, uint32_t encoder, const char *text, size_t bytes,
                                const ht_embedding *e, float weight, token_list *list) {
    size_t room = MAX_PROMPT_TOKENS - list->count, count = 0;
    ht_status status = HT_OK;
    if (e) {
        count = put_vectors(p, encoder, e, list, room);
    } else {
        status = ht_clip_tokenizer_encode(p->clip_tokenizers[encoder], text, bytes,
                                          list->ids + list->count, room, &count);
    }
    if (status == HT_OK && count > room) {
        status = ht_fail(p->context, HT_ERR_INVALID, "the prompt has more than %d tokens",
                         MAX_PROMPT_TOKENS);
    }
    for (size_t i = 0; status == HT_OK && i < count; ++i) {
        list->weights[list->count++] = weight;
    }
    return status;
}

static ht_status tokenize_part(ht_pipeline *p, uint32_t encoder, const ht_prompt_part *part,
                               token_list *list) {
    ht_status status = HT_OK;
    if (part->breaks) {
        if (list->count > 0) {
            list->ends_chunk[list->count - 1] = 1;
        }
        return HT_OK;
    }
    for (const char *text = part->text; *text && status == HT_OK;) {
        size_t begin = 0, end = 0;
        const ht_embedding *e = ht_embeddings_find(p, text, &begin, &end);
        size_t plain = e ? begin : strlen(text);
        status = tokenize_piece(p, encoder, text, plain, NULL, part->weight, list);
        if (status == HT_OK && e) {
            status = tokenize_piece(p, encoder, NULL, 0, e, part->weight, list);
        }
        text += e ? end : plain;
    }
    return status;
}

static ht_status tokenize(ht_pipeline *p, uint32_t encoder, const char *text, token_list *list) {
    ht_prompt_parts parts;
    *list = (token_list){.ids = ht_alloc(p->context, MAX_PROMPT_TOKENS * sizeof(*list->ids)),
                         .weights = ht_alloc(p->context, MAX_PROMPT_TOKENS * sizeof(float)),
                         .ends_chunk = ht_alloc(p->context, MAX_PROMPT_TOKENS),
                         .joined = ht_alloc(p->context, MAX_PROMPT_TOKENS)};
    bool there = list->ids && list->weights && list->ends_chunk && list->joined;
    ht_status status = there ? HT_OK : HT_ERR_NO_MEMORY;
    if (status == HT_OK) {
        status = ht_prompt_parse(p->context, text, &parts);
    }
    if (status == HT_OK) {
        for (uint32_t i = 0; i < parts.count && status == HT_OK; ++i) {
            status = tokenize_part(p, encoder, &parts.parts[i], list);
        }
        ht_prompt_parts_clear(p->context, &parts);
    }
    return status;
}

// Where the chunk that begins at `begin` ends.
static size_t chunk_end(const token_list *list, size_t begin, size_t room, int32_t comma) {
    size_t end = begin, last_comma = 0;
    while (end < list->count && end - begin < room) {
        last_comma = list->ids[end] == comma ? end + 1 : last_comma;
        if (list->ends_chunk[end++]) {
            return end;
        }
    }
    bool full = end < list->count;
    while (full && list->joined[end]) { // the vectors of a word stay together
        --end;
    }
    return full && last_comma > begin && end - last_comma <= COMMA_REACH ? last_comma : end;
}

static uint32_t count_chunks(const token_list *list, size_t room, int32_t comma) {
    uint32_t count = 0;
    for (size_t at = 0; at < list->count; ++count) {
        at = chunk_end(list, at, room, comma);
    }
    return count > 0 ? count : 1;
}

// Item `item`'s rows: start, tokens, end, padding. Rows without tokens are empty texts.
static void fill_rows(const ht_clip_tokenizer_info *info, const token_list *list, int32_t comma,
                      uint32_t item, chunk_rows *rows) {
    size_t at = 0, room = rows->length - 2;
    for (uint32_t c = 0; c < rows->per_item; ++c) {
        size_t row = (size_t)item * rows->per_item + c, base = row * rows->length;
        size_t end = at < list->count ? chunk_end(list, at, room, comma) : at;
        for (size_t i = 0; i < rows->length; ++i) {
            bool token = i > 0 && i <= end - at;
            rows->ids[base + i] = i == 0              ? info->start
                                  : token             ? list->ids[at + i - 1]
                                  : i == end - at + 1 ? info->end
                                                      : info->pad;
            rows->weights[base + i] = token ? list->weights[at + i - 1] : 1.0f;
        }
        if (c == 0) {
            rows->ends[item] = (int32_t)(base + end - at + 1);
        }
        at = end;
    }
}

static int32_t comma_id(ht_pipeline *p, uint32_t encoder) {
    int32_t id = -1;
    size_t count = 0;
    ht_status status =
        ht_clip_tokenizer_encode(p->clip_tokenizers[encoder], ",", 1, &id, 1, &count);
    return status == HT_OK && count == 1 ? id : -1;
}

// texts[batch] -> rows; tokens[item] counts those of the texts, with start and end.
static ht_status make_rows(ht_run *run, uint32_t encoder, const char *const *texts, uint32_t batch,
                           chunk_rows *rows) {
    ht_pipeline *p = run->pipeline;
    token_list lists[2] = {{0}, {0}};
    int32_t comma = comma_id(p, encoder);
    uint32_t length = p->info.max_tokens;
    ht_status status = HT_OK;
    *rows = (chunk_rows){.per_item = 1, .length = length};
    for (uint32_t b = 0; b < batch && status == HT_OK; ++b) {
        status = tokenize(p, encoder, texts[b], &lists[b]);
        uint32_t chunks = status == HT_OK ? count_chunks(&lists[b], length - 2, comma) : 1;
        rows->per_item = chunks > rows->per_item ? chunks : rows->per_item;
        p->text.tokens[b] = (uint32_t)lists[b].count + 2 * chunks;
    }
    size_t count = (size_t)batch * rows->per_item * length;
    if (status == HT_OK) {
        rows->ids = ht_alloc(p->context, count * sizeof(*rows->ids));
        rows->weights = ht_alloc(p->context, count * sizeof(*rows->weights));
        status = rows->ids && rows->weights ? HT_OK : HT_ERR_NO_MEMORY;
    }
    for (uint32_t b = 0; b < batch && status == HT_OK; ++b) {
        fill_rows(ht_clip_tokenizer_get_info(p->clip_tokenizers[encoder]), &lists[b], comma, b,
                  rows);
    }
    free_tokens(p->context, &lists[0]);
    free_tokens(p->context, &lists[1]);
    return status;
}

// Tensors and graph of one run of an encoder.
typedef struct encoder_run {
    ht_tensor *ids, *ends, *hidden, *pooled;
    ht_tensor *extra, *picks; // vectors of textual inversion, and where they go; or NULL
    ht_graph *graph;
} encoder_run;

static uint32_t part_of(uint32_t encoder) {
    return encoder == 0 ? PART_TEXT : PART_TEXT_2;
}

static bool is_xl(const ht_pipeline *p) {
    return p->parts[PART_TEXT_2].name != NULL;
}

static ht_status build(ht_pipeline *p, uint32_t encoder, uint32_t n_rows, uint32_t batch,
                       uint32_t clip_skip, encoder_run *e) {
    const ht_clip_config *c = &p->clip[encoder];
    uint32_t part = part_of(encoder);
    bool pools = p->shape.pooled_width > 0 && encoder == 1;
    uint32_t flat[6] = {n_rows, p->info.max_tokens}, one[6] = {batch};
    uint32_t wide[6] = {n_rows, p->info.max_tokens, c->width},
             short_rows[6] = {batch, c->projection};
    ht_status status = ht_stage_tensor(p, HT_FORMAT_I32, flat, "token ids", &e->ids);
    if (status == HT_OK) {
        status = ht_stage_tensor(p, HT_FORMAT_F32, wide, "hidden text", &e->hidden);
    }
    uint32_t vectors[6] = {p->embeddings.rows, c->width};
    if (status == HT_OK && p->embeddings.rows > 0) {
        status = ht_stage_tensor(p, HT_FORMAT_F32, vectors, "embeddings", &e->extra);
        if (status == HT_OK) {
            status = ht_stage_tensor(p, HT_FORMAT_I32, flat, "embedding rows", &e->picks);
        }
    }
    if (status == HT_OK && pools) {
        status = ht_stage_tensor(p, HT_FORMAT_I32, one, "ends of text", &e->ends);
        if (status == HT_OK) {
            status = ht_stage_tensor(p, HT_FORMAT_F32, short_rows, "pooled text", &e->pooled);
        }
    }
    if (status == HT_OK) {
        status = ht_stage_graph(p, p->parts[part].name, HT_FORMAT_F32, &e->graph);
    }
    if (status != HT_OK) {
        return status;
    }
    ht_clip_inputs in = {.ids = ht_graph_tensor(e->graph, e->ids),
                         .ends = pools ? ht_graph_tensor(e->graph, e->ends) : HT_NO_VALUE,
                         .extra = e->extra ? ht_graph_tensor(e->graph, e->extra) : HT_NO_VALUE,
                         .picks = e->extra ? ht_graph_tensor(e->graph, e->picks) : HT_NO_VALUE,
                         .skip = clip_skip > 0 ? clip_skip - 1 : is_xl(p),
                         .final_norm = !is_xl(p)};
    ht_clip_outputs out = ht_clip_build(e->graph, c, p->parts[part].weights, &in);
    ht_graph_output(e->graph, out.hidden, e->hidden);
    if (pools) {
        ht_graph_output(e->graph, out.pooled, e->pooled);
    }
    return ht_graph_finish(e->graph);
}

// Scale rows of hidden by their weights, the chunk's mean staying what it was.
static void apply_weights(const float *weights, size_t length, size_t width, float *hidden) {
    double before = 0, after = 0;
    bool any = false;
    for (size_t i = 0; i < length; ++i) {
        any = any || weights[i] != 1.0f;
    }
    for (size_t i = 0; any && i < length * width; ++i) {
        before += hidden[i];
        hidden[i] *= weights[i / width];
        after += hidden[i];
    }
    float restore = any && after != 0 ? (float)(before / after) : 1.0f;
    for (size_t i = 0; any && i < length * width; ++i) {
        hidden[i] *= restore;
    }
}

// Words to be looked up by the encoder, and those to be replaced by vectors.
static ht_status write_tokens(ht_pipeline *p, uint32_t encoder, const chunk_rows *rows,
                              size_t count, encoder_run *e) {
    const int32_t vocab = (int32_t)p->clip[encoder].vocab_size;
    int32_t *words = ht_alloc(p->context, 2 * count * sizeof(*words));
    if (!words) {
        return HT_ERR_NO_MEMORY;
    }
    int32_t *picks = words + count;
    for (size_t i = 0; i < count; ++i) {
        bool inverted = rows->ids[i] >= vocab;
        words[i] = inverted ? 0 : rows->ids[i];
        picks[i] = (int32_t)(inverted ? count + (size_t)(rows->ids[i] - vocab) : i);
    }
    ht_status status = ht_tensor_write(e->ids, words, count * sizeof(*words));
    if (status == HT_OK && e->extra) {
        status = ht_tensor_write(e->picks, picks, count * sizeof(*picks));
    }
    if (status == HT_OK && e->extra) {
        status = ht_tensor_write_f32(e->extra, p->embeddings.values[encoder],
                                     (size_t)p->embeddings.rows * p->clip[encoder].width);
    }
    ht_free(p->context, words);
    return status;
}

static ht_status run_graph(ht_run *run, uint32_t encoder, const chunk_rows *rows, uint32_t batch,
                           encoder_run *e) {
    ht_pipeline *p = run->pipeline;
    uint32_t part = part_of(encoder), n_rows = batch * rows->per_item;
    ht_status status = ht_part_open(p, part);
    if (status == HT_OK) {
        status = build(p, encoder, n_rows, batch, run->params->clip_skip, e);
    }
    if (status == HT_OK) {
        status = write_tokens(p, encoder, rows, (size_t)n_rows * rows->length, e);
    }
    if (status == HT_OK && e->ends) {
        status = ht_tensor_write(e->ends, rows->ends, batch * sizeof(int32_t));
    }
    if (status == HT_OK) {
        status = ht_stage_run(p, e->graph, true);
    }
    if (status == HT_OK) {
        ht_part_account(p, part, e->graph, run->report);
    }
    return status;
}

// Hidden states of one encoder into its columns of embeds [rows * L, text_width], from `column` on.
static ht_status run_encoder(ht_run *run, uint32_t encoder, const chunk_rows *rows, uint32_t batch,
                             float *embeds, uint32_t column, float *pooled) {
    ht_pipeline *p = run->pipeline;
    size_t width = p->clip[encoder].width, length = rows->length;
    size_t n_rows = (size_t)batch * rows->per_item, count = n_rows * length * width;
    encoder_run e = {0};
    float *hidden = ht_alloc(p->context, count * sizeof(*hidden));
    ht_status status = hidden ? run_graph(run, encoder, rows, batch, &e) : HT_ERR_NO_MEMORY;
    if (status == HT_OK) {
        status = ht_tensor_read_f32(e.hidden, hidden, count);
    }
    if (status == HT_OK && e.pooled) {
        status = ht_tensor_read_f32(e.pooled, pooled, (size_t)batch * p->shape.pooled_width);
    }
    for (size_t r = 0; status == HT_OK && r < n_rows; ++r) {
        apply_weights(rows->weights + r * length, length, width, hidden + r * length * width);
    }
    for (size_t i = 0; status == HT_OK && i < n_rows * length; ++i) {
        memcpy(embeds + i * p->shape.text_width + column, hidden + i * width,
               width * sizeof(*hidden));
    }
    ht_graph_destroy(&e.graph);
    ht_tensor_destroy(&e.ids);
    ht_tensor_destroy(&e.extra);
    ht_tensor_destroy(&e.picks);
    ht_tensor_destroy(&e.ends);
    ht_tensor_destroy(&e.hidden);
    ht_tensor_destroy(&e.pooled);
    ht_free(p->context, hidden);
    if (!p->options.keep_loaded || status != HT_OK) {
        ht_part_close(p, part_of(encoder));
    }
    return status;
}

static ht_status encode_all(ht_run *run, const char *const *texts, uint32_t batch, float **embeds,
                            float *pooled, uint32_t *length) {
    ht_pipeline *p = run->pipeline;
    uint32_t encoders = is_xl(p) ? 2 : 1, column = 0;
    ht_status status = HT_OK;
    for (uint32_t e = 0; e < encoders && status == HT_OK; ++e) {
        chunk_rows rows;
        status = make_rows(run, e, texts, batch, &rows);
        if (status == HT_OK && e == 0) {
            *length = rows.per_item * rows.length;
            size_t count = (size_t)batch * *length * p->shape.text_width;
            *embeds = ht_alloc(p->context, count * sizeof(**embeds));
            status = *embeds ? HT_OK : HT_ERR_NO_MEMORY;
        }
        if (status == HT_OK && rows.per_item * rows.length != *length) {
            status =
                ht_fail(p->context, HT_ERR_IO, "the two tokenizers cut the prompt differently");
        }
        if (status == HT_OK) {
            status = run_encoder(run, e, &rows, batch, *embeds, column, pooled);
            column += p->clip[e].width;
        }
        ht_free(p->context, rows.ids);
        ht_free(p->context, rows.weights);
    }
    return status;
}

static ht_status encode(ht_run *run, const char *const *texts, uint32_t batch) {
    ht_pipeline *p = run->pipeline;
    uint32_t length = 0, width = p->shape.pooled_width;
    uint32_t tokens[2];
    float *embeds = NULL, *pooled = ht_alloc(p->context, (2 * width + 1) * sizeof(*pooled));
    ht_status status =
        pooled ? encode_all(run, texts, batch, &embeds, pooled, &length) : HT_ERR_NO_MEMORY;
    size_t item = (size_t)length * p->shape.text_width;
    if (status == HT_OK && batch == 2 && p->zero_negative && !*texts[0]) {
        memset(embeds, 0, item * sizeof(*embeds));
        memset(pooled, 0, width * sizeof(*pooled));
    }
    memcpy(tokens, p->text.tokens, sizeof(tokens)); // resizing forgets them
    if (status == HT_OK) {
        status = ht_text_resize(p, batch, length);
    }
    memcpy(p->text.tokens, tokens, sizeof(tokens));
    if (status == HT_OK) {
        status = ht_tensor_write_f32(p->text.embeds, embeds, batch * item);
    }
    if (status == HT_OK && width > 0) {
        status = ht_tensor_write_f32(p->text.pooled, pooled, (size_t)batch * width);
    }
    ht_free(p->context, embeds);
    ht_free(p->context, pooled);
    return status;
}

static ht_status read(ht_pipeline *p) {
    ht_status status = ht_clip_config_read(p->context, p->parts[PART_TEXT].path, &p->clip[0]);
    if (status == HT_OK && is_xl(p)) {
        status = ht_clip_config_read(p->context, p->parts[PART_TEXT_2].path, &p->clip[1]);
    }
    return status;
}

static ht_status open_one(ht_pipeline *p, const char *folder, const char *name, uint32_t index) {
    char *path = folder ? ht_path_join(p->context, folder, name) : NULL;
    const char *asked = p->options.tokenizer ? p->options.tokenizer : path;
    ht_status status = HT_ERR_NO_MEMORY;
    if (asked) {
        status = ht_clip_tokenizer_open(p->context, asked, &p->clip_tokenizers[index]);
    } else if (!folder) {
        status = ht_single_file_tokenizer(p, index);
    }
    ht_free(p->context, path);
    if (status == HT_OK && p->clip_pad[index]) {
        status = ht_clip_tokenizer_pad_with(p->clip_tokenizers[index], p->clip_pad[index]);
    }
    if (status != HT_OK) {
        return status;
    }
    const ht_clip_tokenizer_info *info = ht_clip_tokenizer_get_info(p->clip_tokenizers[index]);
    const ht_clip_config *c = &p->clip[index];
    if (info->vocab > c->vocab_size) {
        return ht_fail(p->context, HT_ERR_IO, "the %s has %u entries, the text encoder only %u",
                       name, info->vocab, c->vocab_size);
    }
    uint32_t length =
        info->max_length > 0 && info->max_length < c->positions ? info->max_length : c->positions;
    if (index == 1 && length != p->info.max_tokens) {
        return ht_fail(p->context, HT_ERR_UNSUPPORTED,
                       "the text encoders take %u and %u tokens; supported: as many",
                       p->info.max_tokens, length);
    }
    p->info.max_tokens = length;
    return HT_OK;
}

static ht_status open_tokenizers(ht_pipeline *p, const char *folder) {
    uint32_t width = p->clip[0].width + (is_xl(p) ? p->clip[1].width : 0);
    if (width != p->shape.text_width) {
        return ht_fail(p->context, HT_ERR_IO,
                       "the text encoders give %u values per token, the unet takes %u", width,
                       p->shape.text_width);
    }
    if (p->shape.pooled_width > 0 &&
        (!is_xl(p) || p->clip[1].projection != p->shape.pooled_width)) {
        return ht_fail(p->context, HT_ERR_IO,
                       "the unet takes a pooled text of %u values, which no text encoder gives",
                       p->shape.pooled_width);
    }
    ht_status status = open_one(p, folder, "tokenizer", 0);
    return status == HT_OK && is_xl(p) ? open_one(p, folder, "tokenizer_2", 1) : status;
}

static void close_tokenizers(ht_pipeline *p) {
    for (uint32_t i = 0; i < HT_MAX_TEXT_ENCODERS; ++i) {
        ht_clip_tokenizer_destroy(&p->clip_tokenizers[i]);
    }
}

static ht_status map(const ht_pipeline *p, uint32_t part, ht_weight_map *out) {
    return ht_clip_weight_map(p->context, &p->clip[part == PART_TEXT_2], out);
}

const ht_text_encoding ht_text_clip = {
    .read = read, .open = open_tokenizers, .close = close_tokenizers, .map = map, .encode = encode};
