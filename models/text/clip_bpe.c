// CLIP's tokenizer: merging the symbols of each piece.
#include "clip_bpe_internal.h"

#include <string.h>

// A symbol while it is merged: a part of the piece's text.
typedef struct symbol {
    uint32_t begin, bytes;
    uint32_t rank; // of merging it with the next one; UINT32_MAX: never
} symbol;

// A piece as byte symbols, the last one with </w>.
typedef struct piece {
    char *text;
    symbol *symbols;
    size_t count;
} piece;

// Where ids go.
typedef struct sink {
    int32_t *ids;
    size_t capacity, count;
} sink;

// Printable bytes stand for themselves, the others for code points from 256 on.
static void fill_byte_symbols(ht_clip_tokenizer *t) {
    uint32_t shifted = 256;
    for (uint32_t b = 0; b < 256; ++b) {
        bool plain = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        uint32_t code = plain ? b : shifted++;
        if (code < 0x80) {
            t->byte_symbols[b][0] = (char)code;
            t->byte_symbols[b][1] = 0;
        } else {
            t->byte_symbols[b][0] = (char)(0xc0 | code >> 6);
            t->byte_symbols[b][1] = (char)(0x80 | (code & 0x3f));
            t->byte_symbols[b][2] = 0;
        }
    }
}

ht_status ht_clip_tokenizer_open(ht_context *context, const char *folder, ht_clip_tokenizer **out) {
    ht_clip_tokenizer *t = ht_alloc(context, sizeof(*t));
    *out = NULL;
    if (!t) {
        return HT_ERR_NO_MEMORY;
    }
    *t = (ht_clip_tokenizer){.context = context};
    fill_byte_symbols(t);
    ht_status status = ht_clip_files_read(t, folder);
    if (status != HT_OK) {
        ht_clip_tokenizer_destroy(&t);
    }
    *out = t;
    return status;
}

void ht_clip_tokenizer_destroy(ht_clip_tokenizer **tokenizer) {
    ht_clip_tokenizer *t = *tokenizer;
    if (t) {
        json_decref(t->vocab);
        json_decref(t->ranks);
        ht_free(t->context, t->path);
        ht_free(t->context, t);
        *tokenizer = NULL;
    }
}

const ht_clip_tokenizer_info *ht_clip_tokenizer_get_info(const ht_clip_tokenizer *tokenizer) {
    return &tokenizer->info;
}

static uint32_t rank_of(const ht_clip_tokenizer *t, const piece *p, const symbol *left) {
    char key[2 * HT_CLIP_SYMBOL_BYTES + 2];
    const symbol *right = left + 1;
    if (left->bytes > HT_CLIP_SYMBOL_BYTES || right->bytes > HT_CLIP_SYMBOL_BYTES) {
        return UINT32_MAX;
    }
    memcpy(key, p->text + left->begin, left->bytes);
    key[left->bytes] = ' ';
    memcpy(key + left->bytes + 1, p->text + right->begin, right->bytes);
    key[left->bytes + 1 + right->bytes] = 0;
    const json_t *rank = json_object_get(t->ranks, key);
    return rank ? (uint32_t)json_integer_value(rank) : UINT32_MAX;
}

// `p` has room for 2 bytes per byte and the mark, and a symbol per byte.
static void split(const ht_clip_tokenizer *t, const char *text, size_t bytes, piece *p) {
    uint32_t at = 0;
    p->count = bytes;
    for (size_t i = 0; i < bytes; ++i) {
        const char *s = t->byte_symbols[(uint8_t)text[i]];
        uint32_t length = (uint32_t)strlen(s);
        memcpy(p->text + at, s, length);
        if (i + 1 == bytes) {
            memcpy(p->text + at + length, "</w>", 4);
            length += 4;
        }
        p->symbols[i] = (symbol){.begin = at, .bytes = length, .rank = UINT32_MAX};
        at += length;
    }
    for (size_t i = 0; i + 1 < bytes; ++i) {
        p->symbols[i].rank = rank_of(t, p, &p->symbols[i]);
    }
}

// Merge every occurrence of the pair of lowest rank, from the left. False when there is none.
static bool merge_lowest(const ht_clip_tokenizer *t, piece *p) {
    uint32_t lowest = UINT32_MAX;
    for (size_t i = 0; i < p->count; ++i) {
        lowest = p->symbols[i].rank < lowest ? p->symbols[i].rank : lowest;
    }
    if (lowest == UINT32_MAX) {
        return false;
    }
    size_t kept = 0;
    for (size_t i = 0; i < p->count; ++i) {
        symbol s = p->symbols[i];
        if (s.rank == lowest && i + 1 < p->count) {
            s.bytes += p->symbols[++i].bytes;
        }
        p->symbols[kept++] = s;
    }
    p->count = kept;
    for (size_t i = 0; i < kept; ++i) {
        p->symbols[i].rank = i + 1 < kept ? rank_of(t, p, &p->symbols[i]) : UINT32_MAX;
    }
    return true;
}

static void emit(const ht_clip_tokenizer *t, const piece *p, sink *out) {
    for (size_t i = 0; i < p->count; ++i) {
        char entry[HT_CLIP_SYMBOL_BYTES + 1] = "";
        const symbol *s = &p->symbols[i];
        if (s->bytes <= HT_CLIP_SYMBOL_BYTES) {
            memcpy(entry, p->text + s->begin, s->bytes);
            entry[s->bytes] = 0;
        }
        // Only a broken vocabulary lacks a symbol that its merges make.
        const json_t *id = json_object_get(t->vocab, entry);
        if (out->count < out->capacity) {
            out->ids[out->count] = id ? (int32_t)json_integer_value(id) : t->info.end;
        }
        ++out->count;
    }
}

static ht_status encode_clean(ht_clip_tokenizer *t, const char *text, size_t bytes, sink *out) {
    piece p = {.text = ht_alloc(t->context, 2 * bytes + 8),
               .symbols = ht_alloc(t->context, (bytes + 1) * sizeof(*p.symbols))};
    ht_status status = p.text && p.symbols ? HT_OK : HT_ERR_NO_MEMORY;
    for (size_t at = 0, skip; status == HT_OK && at < bytes;) {
        size_t length = ht_clip_piece(text + at, bytes - at, &skip);
        if (length > 0) {
            split(t, text + at, length, &p);
            while (merge_lowest(t, &p)) {
            }
            emit(t, &p, out);
        }
        at += length + skip;
    }
    ht_free(t->context, p.text);
    ht_free(t->context, p.symbols);
    return status;
}

// Text up to the next special entry typed out; *special is its id, or -1 at the end.
static size_t up_to_special(const ht_clip_tokenizer *t, const char *text, size_t left,
                            int32_t *special, size_t *special_bytes) {
    static const char start[] = "<|startoftext|>", end[] = "<|endoftext|>";
    *special = -1;
    *special_bytes = 0;
    for (size_t at = 0; at < left; ++at) {
        const bool starts =
            left - at >= sizeof(start) - 1 && memcmp(text + at, start, sizeof(start) - 1) == 0;
        if (starts ||
            (left - at >= sizeof(end) - 1 && memcmp(text + at, end, sizeof(end) - 1) == 0)) {
            *special = starts ? t->info.start : t->info.end;
            *special_bytes = (starts ? sizeof(start) : sizeof(end)) - 1;
            return at;
        }
    }
    return left;
}

ht_status ht_clip_tokenizer_encode(ht_clip_tokenizer *t, const char *text, size_t bytes,
                                   int32_t *ids, size_t capacity, size_t *count) {
    sink out = {.ids = ids, .capacity = capacity};
    ht_status status = HT_OK;
    *count = 0;
    if (bytes > HT_CLIP_MAX_TEXT) {
        return ht_fail(t->context, HT_ERR_INVALID, "a text of %zu bytes, expected at most %d",
                       bytes, HT_CLIP_MAX_TEXT);
    }
    for (size_t at = 0; at < bytes && status == HT_OK;) {
        int32_t special;
        size_t special_bytes, part, clean_bytes;
        char *clean;
        part = up_to_special(t, text + at, bytes - at, &special, &special_bytes);
        status = ht_clip_clean(t->context, text + at, part, &clean, &clean_bytes);
        if (status == HT_OK) {
            status = encode_clean(t, clean, clean_bytes, &out);
        }
        ht_free(t->context, clean);
        if (special >= 0) {
            if (out.count < capacity) {
                ids[out.count] = special;
            }
            ++out.count;
        }
        at += part + special_bytes;
    }
    *count = out.count;
    return status;
}
