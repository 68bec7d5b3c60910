// Reader of tokenizer.json with a Unigram model. Steps it does not know are refused by name:
// ignoring one would give wrong ids without a word.
#include "unigram_internal.h"

#include <jansson.h>

#include <math.h>
#include <string.h>

static const char space_mark[] = "\xe2\x96\x81";

static ht_status fail(const ht_tokenizer *tokenizer, const char *what) {
    return ht_fail(tokenizer->context, HT_ERR_IO, "tokenizer '%s': %s", tokenizer->path, what);
}

static ht_status fail_step(const ht_tokenizer *tokenizer, const char *stage, const char *type) {
    return ht_fail(tokenizer->context, HT_ERR_UNSUPPORTED,
                   "tokenizer '%s': %s of type '%s' is not supported for Unigram models",
                   tokenizer->path, stage, type ? type : "(none)");
}

static bool is_type(const char *type, const char *name) {
    return type && strcmp(type, name) == 0;
}

static int base64_value(char c) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c ? strchr(letters, c) : NULL;
    return found ? (int)(found - letters) : -1;
}

// Decode into `out`, which has room for 3/4 of `length`. False when it is not base64.
static bool decode_base64(const char *text, size_t length, uint8_t *out, size_t *bytes) {
    size_t used = 0;
    uint32_t held = 0, n_bits = 0;
    while (length > 0 && text[length - 1] == '=') {
        length--;
    }
    for (size_t i = 0; i < length; i++) {
        const int value = base64_value(text[i]);
        if (value < 0) {
            return false;
        }
        held = (held << 6 | (uint32_t)value) & 0xffffu;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            out[used++] = (uint8_t)(held >> n_bits);
        }
    }
    *bytes = used;
    return true;
}

static ht_status read_charsmap(ht_tokenizer *tokenizer, const json_t *text) {
    const size_t length = json_string_length(text);
    size_t bytes = 0;
    if (!json_is_string(text) || tokenizer->charsmap_storage) {
        return fail(tokenizer, "precompiled_charsmap is not one string");
    }
    tokenizer->charsmap_storage = ht_alloc(tokenizer->context, length / 4 * 3 + 3);
    if (!tokenizer->charsmap_storage) {
        return HT_ERR_NO_MEMORY;
    }
    if (!decode_base64(json_string_value(text), length, tokenizer->charsmap_storage, &bytes)) {
        return fail(tokenizer, "precompiled_charsmap is not base64");
    }
    return ht_charsmap_open(tokenizer, tokenizer->charsmap_storage, bytes);
}

// Replace: only the one that collapses runs of spaces.
static bool is_space_collapse(const json_t *step) {
    const char *regex =
        json_string_value(json_object_get(json_object_get(step, "pattern"), "Regex"));
    const char *content = json_string_value(json_object_get(step, "content"));
    return regex && content && strcmp(regex, " {2,}") == 0 &&
           (strcmp(content, " ") == 0 || strcmp(content, space_mark) == 0);
}

static ht_status read_normalizer_step(ht_tokenizer *tokenizer, const json_t *step) {
    const char *type = json_string_value(json_object_get(step, "type"));
    if (is_type(type, "Precompiled")) {
        return read_charsmap(tokenizer, json_object_get(step, "precompiled_charsmap"));
    }
    if (is_type(type, "Strip") || (is_type(type, "Replace") && is_space_collapse(step))) {
        tokenizer->remove_extra_whitespaces = true;
        return HT_OK;
    }
    return fail_step(tokenizer, "normalizer", type);
}

static ht_status read_pre_tokenizer_step(ht_tokenizer *tokenizer, const json_t *step) {
    const char *type = json_string_value(json_object_get(step, "type"));
    if (is_type(type, "WhitespaceSplit")) {
        tokenizer->remove_extra_whitespaces = true;
        return HT_OK;
    }
    if (!is_type(type, "Metaspace")) {
        return fail_step(tokenizer, "pre_tokenizer", type);
    }
    const char *mark = json_string_value(json_object_get(step, "replacement"));
    const char *scheme = json_string_value(json_object_get(step, "prepend_scheme"));
    if (!is_type(mark, space_mark)) {
        return fail(tokenizer, "Metaspace with a replacement other than U+2581");
    }
    tokenizer->escape_whitespaces = true;
    tokenizer->add_dummy_prefix = scheme
                                      ? strcmp(scheme, "never") != 0
                                      : !json_is_false(json_object_get(step, "add_prefix_space"));
    return HT_OK;
}

typedef ht_status (*read_step)(ht_tokenizer *tokenizer, const json_t *step);

// One step, or a Sequence of them under `list`. Sequences within sequences do not occur.
static ht_status read_steps(ht_tokenizer *tokenizer, const json_t *stage, const char *list,
                            read_step read) {
    if (!stage || json_is_null(stage)) {
        return HT_OK;
    }
    if (!is_type(json_string_value(json_object_get(stage, "type")), "Sequence")) {
        return read(tokenizer, stage);
    }
    const json_t *steps = json_object_get(stage, list);
    ht_status status = HT_OK;
    for (size_t i = 0; i < json_array_size(steps) && status == HT_OK; i++) {
        status = read(tokenizer, json_array_get(steps, i));
    }
    return status;
}

// Copy the vocabulary's strings into one block and list the pieces.
static ht_status read_vocab(ht_tokenizer *tokenizer, const json_t *vocab) {
    const size_t count = json_array_size(vocab);
    size_t total = 1;
    for (size_t i = 0; i < count; i++) {
        total += json_string_length(json_array_get(json_array_get(vocab, i), 0));
    }
    tokenizer->storage = ht_alloc(tokenizer->context, total);
    if (!tokenizer->storage) {
        return HT_ERR_NO_MEMORY;
    }
    char *at = tokenizer->storage;
    ht_status status = HT_OK;
    for (size_t i = 0; i < count && status == HT_OK; i++) {
        const json_t *row = json_array_get(vocab, i);
        const json_t *text = json_array_get(row, 0), *score = json_array_get(row, 1);
        if (json_array_size(row) != 2 || !json_is_string(text) || !json_is_number(score)) {
            return ht_fail(tokenizer->context, HT_ERR_IO,
                           "tokenizer '%s': vocab entry %zu is not [piece, score]", tokenizer->path,
                           i);
        }
        const double value = json_number_value(score);
        const ht_piece piece = {
            .text = at,
            .bytes = (uint32_t)json_string_length(text),
            .score = fabs(value) <= HT_UNIGRAM_MAX_SCORE ? (float)value : INFINITY,
            .type = HT_PIECE_NORMAL,
        };
        memcpy(at, json_string_value(text), piece.bytes);
        at += piece.bytes;
        status = ht_unigram_add_piece(tokenizer, &piece);
    }
    return status;
}

// Special tokens never come out of text; other added tokens always do, whole.
static ht_status read_added_token(ht_tokenizer *tokenizer, const json_t *token) {
    const json_t *id = json_object_get(token, "id"), *content = json_object_get(token, "content");
    if (!json_is_integer(id) || !json_is_string(content) || json_integer_value(id) < 0) {
        return fail(tokenizer, "added token without id and content");
    }
    if (json_integer_value(id) >= (json_int_t)tokenizer->n_pieces) {
        return HT_OK; // beyond the vocabulary: text cannot reach it
    }
    ht_piece *piece = &tokenizer->pieces[json_integer_value(id)];
    if (piece->bytes != json_string_length(content) ||
        memcmp(piece->text, json_string_value(content), piece->bytes) != 0) {
        return ht_fail(tokenizer->context, HT_ERR_IO,
                       "tokenizer '%s': added token '%s' has the id of piece '%.*s'",
                       tokenizer->path, json_string_value(content), (int)piece->bytes, piece->text);
    }
    if (piece->type == HT_PIECE_NORMAL) {
        piece->type = json_is_true(json_object_get(token, "special")) ? HT_PIECE_CONTROL
                                                                      : HT_PIECE_USER_DEFINED;
    }
    return HT_OK;
}

// Pieces "<0x00>" to "<0xFF>" stand for bytes when the model says so, or has all of them and says
// nothing.
static void mark_byte_pieces(ht_tokenizer *tokenizer, const json_t *flag) {
    uint32_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < tokenizer->n_pieces; i++) {
            ht_piece *piece = &tokenizer->pieces[i];
            if (piece->bytes == 6 && memcmp(piece->text, "<0x", 3) == 0 &&
                strspn(piece->text + 3, "0123456789ABCDEF") >= 2 && piece->text[5] == '>') {
                count += pass == 0;
                piece->type = pass == 1 ? HT_PIECE_BYTE : piece->type;
            }
        }
        tokenizer->info.byte_fallback = json_is_boolean(flag) ? json_is_true(flag) : count == 256;
        if (!tokenizer->info.byte_fallback) {
            return;
        }
    }
}

static ht_status read_model(ht_tokenizer *tokenizer, const json_t *model) {
    const char *type = json_string_value(json_object_get(model, "type"));
    const json_t *unk = json_object_get(model, "unk_id");
    const json_t *vocab = json_object_get(model, "vocab");
    // Old files leave the type out; only Unigram has a list for a vocabulary.
    if ((type && strcmp(type, "Unigram") != 0) || !json_is_array(vocab)) {
        return fail_step(tokenizer, "model", type);
    }
    const ht_status status = read_vocab(tokenizer, vocab);
    if (status != HT_OK) {
        return status;
    }
    if (!json_is_integer(unk) || json_integer_value(unk) < 0 ||
        json_integer_value(unk) >= (json_int_t)tokenizer->n_pieces) {
        return fail(tokenizer, "unk_id is not in the vocabulary");
    }
    tokenizer->pieces[json_integer_value(unk)].type = HT_PIECE_UNKNOWN;
    mark_byte_pieces(tokenizer, json_object_get(model, "byte_fallback"));
    return HT_OK;
}

static ht_status read_document(ht_tokenizer *tokenizer, const json_t *root) {
    tokenizer->eos_id = tokenizer->pad_id = -1;
    tokenizer->add_dummy_prefix = tokenizer->remove_extra_whitespaces = false;
    tokenizer->escape_whitespaces = false;
    ht_status status = read_model(tokenizer, json_object_get(root, "model"));
    const json_t *added = json_object_get(root, "added_tokens");
    for (size_t i = 0; i < json_array_size(added) && status == HT_OK; i++) {
        status = read_added_token(tokenizer, json_array_get(added, i));
    }
    if (status == HT_OK) {
        status = read_steps(tokenizer, json_object_get(root, "normalizer"), "normalizers",
                            read_normalizer_step);
    }
    if (status == HT_OK) {
        status = read_steps(tokenizer, json_object_get(root, "pre_tokenizer"), "pretokenizers",
                            read_pre_tokenizer_step);
    }
    return status;
}

// At most one value follows each comma, so this bounds the memory that parsing takes (a value of two
// bytes in the file takes about 40).
static ht_status check_values(const ht_tokenizer *tokenizer) {
    uint32_t commas = 0;
    for (size_t i = 0; i < tokenizer->file_bytes; i++) {
        commas += tokenizer->file[i] == ',';
    }
    return commas <= HT_UNIGRAM_MAX_JSON_VALUES ? HT_OK : fail(tokenizer, "too many values");
}

ht_status ht_tokenizer_json_read(ht_tokenizer *tokenizer) {
    json_error_t error;
    ht_status status = check_values(tokenizer);
    if (status != HT_OK) {
        return status;
    }
    json_t *root = json_loadb((const char *)tokenizer->file, tokenizer->file_bytes,
                              JSON_REJECT_DUPLICATES, &error);
    if (!root) {
        return ht_fail(tokenizer->context, HT_ERR_IO, "tokenizer '%s': line %d: %s",
                       tokenizer->path, error.line, error.text);
    }
    status = read_document(tokenizer, root);
    json_decref(root);
    return status;
}
