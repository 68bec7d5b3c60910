// Opening a tokenizer, and finding the best sequence of pieces for a text.
#include "unigram_internal.h"
#include "utf8.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

// Best way to reach the end of a prefix of the normalised text.
typedef struct best_end {
    float score;
    int32_t id;     // of the last piece
    uint32_t start; // where it starts; UINT32_MAX: not reached
    uint32_t next;  // end of the piece after it, once the best path is known
} best_end;

// Where ids go.
typedef struct id_sink {
    int32_t *ids;
    size_t room; // without eos
    size_t count;
    uint32_t cut; // position in the normalised text of the first piece without room
} id_sink;

static bool ends_with(const char *text, const char *suffix) {
    const size_t length = strlen(text), tail = strlen(suffix);
    return length >= tail && strcmp(text + length - tail, suffix) == 0;
}

// Settle `path` on a regular file: itself, or one of the two names in a folder.
static ht_status find_file(ht_tokenizer *tokenizer, const char *path) {
    static const char *const names[] = {"spiece.model", "tokenizer.json"};
    ht_context *context = tokenizer->context;
    struct stat info;
    const size_t capacity = strlen(path) + 32;
    tokenizer->path = ht_alloc(context, capacity);
    if (!tokenizer->path) {
        return HT_ERR_NO_MEMORY;
    }
    strcpy(tokenizer->path, path);
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            snprintf(tokenizer->path, capacity, "%s/%s", path, names[i]);
            if (stat(tokenizer->path, &info) == 0 && S_ISREG(info.st_mode)) {
                return HT_OK;
            }
        }
        return ht_fail(context, HT_ERR_IO, "tokenizer '%s': neither %s nor %s in this folder", path,
                       names[0], names[1]);
    }
    return HT_OK;
}

static ht_status read_file(ht_tokenizer *tokenizer) {
    ht_context *context = tokenizer->context;
    const char *path = tokenizer->path;
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode)) {
        return ht_fail(context, HT_ERR_IO, "tokenizer '%s': no such file", path);
    }
    if (info.st_size <= 0 || info.st_size > HT_UNIGRAM_MAX_FILE) {
        return ht_fail(context, HT_ERR_IO, "tokenizer '%s': %lld bytes, expected 1 to %d", path,
                       (long long)info.st_size, HT_UNIGRAM_MAX_FILE);
    }
    tokenizer->file_bytes = (size_t)info.st_size;
    tokenizer->file = ht_alloc(context, tokenizer->file_bytes);
    if (!tokenizer->file) {
        return HT_ERR_NO_MEMORY;
    }
    FILE *file = fopen(path, "rb");
    if (!file) {
        return ht_fail(context, HT_ERR_IO, "tokenizer '%s': cannot be opened", path);
    }
    const size_t got = fread(tokenizer->file, 1, tokenizer->file_bytes, file);
    fclose(file);
    if (got != tokenizer->file_bytes) {
        return ht_fail(context, HT_ERR_IO, "tokenizer '%s': read %zu of %zu bytes", path, got,
                       tokenizer->file_bytes);
    }
    return HT_OK;
}

ht_status ht_unigram_add_piece(ht_tokenizer *tokenizer, const ht_piece *piece) {
    ht_context *context = tokenizer->context;
    const uint32_t id = tokenizer->n_pieces;
    if (piece->bytes == 0 || piece->bytes > HT_UNIGRAM_MAX_PIECE_BYTES ||
        !ht_utf8_valid(piece->text, piece->bytes) ||
        !(fabsf(piece->score) <= HT_UNIGRAM_MAX_SCORE)) {
        return ht_fail(context, HT_ERR_IO,
                       "tokenizer '%s': piece %u has %u bytes and score %g, expected UTF-8 of 1 to "
                       "%d bytes and a score within 1e9",
                       tokenizer->path, id, piece->bytes, (double)piece->score,
                       HT_UNIGRAM_MAX_PIECE_BYTES);
    }
    if (id == HT_UNIGRAM_MAX_PIECES) {
        return ht_fail(context, HT_ERR_IO, "tokenizer '%s': more than %d pieces", tokenizer->path,
                       HT_UNIGRAM_MAX_PIECES);
    }
    if (id == tokenizer->piece_capacity) {
        const uint32_t wanted = id ? 2 * id : 1024;
        ht_piece *larger = ht_realloc(context, tokenizer->pieces, wanted * sizeof *larger);
        if (!larger) {
            return HT_ERR_NO_MEMORY;
        }
        tokenizer->pieces = larger;
        tokenizer->piece_capacity = wanted;
    }
    tokenizer->pieces[tokenizer->n_pieces++] = *piece;
    return HT_OK;
}

static bool piece_is(const ht_piece *piece, const char *text) {
    return piece->bytes == strlen(text) && memcmp(piece->text, text, piece->bytes) == 0;
}

// Special ids: by their usual names, else as the file says.
static ht_status find_special(ht_tokenizer *tokenizer) {
    ht_tokenizer_info *info = &tokenizer->info;
    const int64_t n_pieces = tokenizer->n_pieces;
    uint32_t n_unknown = 0;
    info->eos = tokenizer->eos_id;
    info->pad = tokenizer->pad_id;
    for (uint32_t i = 0; i < tokenizer->n_pieces; i++) {
        const ht_piece *piece = &tokenizer->pieces[i];
        if (piece->type == HT_PIECE_UNKNOWN) {
            info->unk = (int32_t)i;
            n_unknown++;
        } else if (piece->type == HT_PIECE_CONTROL && piece_is(piece, "</s>")) {
            info->eos = (int32_t)i;
        } else if (piece->type == HT_PIECE_CONTROL && piece_is(piece, "<pad>")) {
            info->pad = (int32_t)i;
        }
    }
    if (n_unknown != 1 || info->eos < 0 || info->eos >= n_pieces || info->pad < 0 ||
        info->pad >= n_pieces) {
        return ht_fail(tokenizer->context, HT_ERR_IO,
                       "tokenizer '%s': of %u pieces %u are unknown, </s> is %d and <pad> is %d; "
                       "expected one of each",
                       tokenizer->path, tokenizer->n_pieces, n_unknown, info->eos, info->pad);
    }
    info->vocab = tokenizer->n_pieces;
    return HT_OK;
}

static int32_t byte_of_piece(const ht_piece *piece) {
    unsigned value;
    char text[8] = {0};
    if (piece->bytes != 6) {
        return -1;
    }
    memcpy(text, piece->text, 6);
    return sscanf(text, "<0x%2X>", &value) == 1 ? (int32_t)value : -1;
}

static void derive_scores(ht_tokenizer *tokenizer) {
    // Starting values as in SentencePiece, whose highest score is at least FLT_MIN.
    float lowest = FLT_MAX, highest = FLT_MIN;
    for (int i = 0; i < 256; i++) {
        tokenizer->byte_ids[i] = -1;
    }
    for (uint32_t i = 0; i < tokenizer->n_pieces; i++) {
        const ht_piece *piece = &tokenizer->pieces[i];
        if (piece->type == HT_PIECE_NORMAL) {
            lowest = piece->score < lowest ? piece->score : lowest;
            highest = piece->score > highest ? piece->score : highest;
        } else if (piece->type == HT_PIECE_BYTE && byte_of_piece(piece) >= 0) {
            tokenizer->byte_ids[byte_of_piece(piece)] = (int32_t)i;
        }
        tokenizer->has_user_defined |= piece->type == HT_PIECE_USER_DEFINED;
    }
    tokenizer->unk_score = lowest - 10.0f;
    tokenizer->max_score = highest;
}

ht_status ht_tokenizer_open(ht_context *context, const char *path, ht_tokenizer **out) {
    *out = NULL;
    if (!path || path[0] == '\0') {
        return ht_fail(context, HT_ERR_INVALID, "tokenizer: no path given");
    }
    ht_tokenizer *tokenizer = ht_alloc(context, sizeof *tokenizer);
    if (!tokenizer) {
        return HT_ERR_NO_MEMORY;
    }
    tokenizer->context = context;
    tokenizer->add_dummy_prefix = true; // defaults of spiece.model
    tokenizer->remove_extra_whitespaces = true;
    tokenizer->escape_whitespaces = true;
    ht_status status = find_file(tokenizer, path);
    if (status == HT_OK) {
        status = read_file(tokenizer);
    }
    if (status == HT_OK) {
        status = ends_with(tokenizer->path, ".json") ? ht_tokenizer_json_read(tokenizer)
                                                     : ht_spiece_read(tokenizer);
    }
    if (status == HT_OK) {
        status = find_special(tokenizer);
    }
    if (status == HT_OK) {
        status = ht_piece_index_build(tokenizer);
    }
    if (status != HT_OK) {
        ht_tokenizer_destroy(&tokenizer);
        return status;
    }
    derive_scores(tokenizer);
    *out = tokenizer;
    return HT_OK;
}

void ht_tokenizer_destroy(ht_tokenizer **tokenizer) {
    ht_tokenizer *t = *tokenizer;
    if (!t) {
        return;
    }
    ht_free(t->context, t->index);
    ht_free(t->context, t->pieces);
    ht_free(t->context, t->storage);
    ht_free(t->context, t->charsmap_storage);
    ht_free(t->context, t->file);
    ht_free(t->context, t->path);
    ht_free(t->context, t);
    *tokenizer = NULL;
}

const ht_tokenizer_info *ht_tokenizer_get_info(const ht_tokenizer *tokenizer) {
    return &tokenizer->info;
}

// Bytes of the character that starts with `lead`, as its bits say, and no more than are left.
static uint32_t character_bytes(char lead, uint32_t left) {
    const uint8_t byte = (uint8_t)lead;
    const uint32_t bytes = byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    return bytes < left ? bytes : left;
}

static void offer(best_end *end, float score, int32_t id, uint32_t start) {
    if (end->start == UINT32_MAX || score > end->score) {
        *end = (best_end){.score = score, .id = id, .start = start};
    }
}

// Try every piece that starts at `start`. Sums are kept in float as in SentencePiece: rounding
// decides between sequences of equal score.
static void extend(const ht_tokenizer *tokenizer, const ht_normalised *text, uint32_t start,
                   best_end *ends) {
    const float so_far = ends[start].score;
    const uint32_t left = text->bytes - start;
    const uint32_t character = character_bytes(text->text[start], left);
    bool single = false;
    int32_t id = -1;
    ht_piece_walk walk = ht_piece_walk_start(tokenizer);
    for (uint32_t i = 0;
         i < left && ht_piece_walk_step(tokenizer, &walk, text->text[start + i], &id); i++) {
        if (id < 0 || tokenizer->pieces[id].type == HT_PIECE_UNUSED) {
            continue;
        }
        const ht_piece *piece = &tokenizer->pieces[id];
        const float score = piece->type == HT_PIECE_USER_DEFINED
                                ? (float)(i + 1) * tokenizer->max_score - 0.1f
                                : piece->score;
        offer(&ends[start + i + 1], score + so_far, id, start);
        single = single || i + 1 == character;
    }
    if (!single) {
        offer(&ends[start + character], tokenizer->unk_score + so_far, tokenizer->info.unk, start);
    }
}

static void emit(id_sink *sink, int32_t id, uint32_t start) {
    if (sink->count < sink->room) {
        sink->ids[sink->count] = id;
    } else if (sink->count == sink->room) {
        sink->cut = start;
    }
    sink->count++;
}

// The bytes of an unknown character; false when the model lacks one of them.
static bool emit_bytes(const ht_tokenizer *tokenizer, id_sink *sink, const char *text,
                       uint32_t start, uint32_t end) {
    for (uint32_t i = start; i < end; i++) {
        if (tokenizer->byte_ids[(uint8_t)text[i]] < 0) {
            return false;
        }
    }
    for (uint32_t i = start; i < end; i++) {
        emit(sink, tokenizer->byte_ids[(uint8_t)text[i]], start);
    }
    return true;
}

// Follow the best path from the front; neighbouring unknowns become one id.
static void collect(const ht_tokenizer *tokenizer, const ht_normalised *text, best_end *ends,
                    id_sink *sink) {
    for (uint32_t end = text->bytes; end > 0;) {
        const uint32_t start = ends[end].start;
        ends[start].next = end;
        end = start;
    }
    bool after_unknown = false;
    for (uint32_t start = 0; start < text->bytes; start = ends[start].next) {
        const uint32_t end = ends[start].next;
        bool unknown = ends[end].id == tokenizer->info.unk;
        if (unknown && tokenizer->info.byte_fallback &&
            emit_bytes(tokenizer, sink, text->text, start, end)) {
            unknown = false;
        } else if (!unknown || !after_unknown) {
            emit(sink, ends[end].id, start);
        }
        after_unknown = unknown;
    }
}

static ht_status segment(ht_tokenizer *tokenizer, const ht_normalised *text, id_sink *sink) {
    best_end *ends = ht_alloc(tokenizer->context, ((size_t)text->bytes + 1) * sizeof *ends);
    if (!ends) {
        return HT_ERR_NO_MEMORY;
    }
    for (uint32_t i = 1; i <= text->bytes; i++) {
        ends[i].start = UINT32_MAX;
    }
    for (uint32_t start = 0; start < text->bytes;
         start += character_bytes(text->text[start], text->bytes - start)) {
        extend(tokenizer, text, start, ends);
    }
    collect(tokenizer, text, ends, sink);
    ht_free(tokenizer->context, ends);
    return HT_OK;
}

ht_status ht_tokenizer_encode(ht_tokenizer *tokenizer, const char *text, size_t bytes, int32_t *ids,
                              size_t capacity, ht_tokenized *out) {
    const ht_tokenizer_info *info = &tokenizer->info;
    if (capacity == 0 || bytes > HT_UNIGRAM_MAX_TEXT) {
        return ht_fail(tokenizer->context, HT_ERR_INVALID,
                       "tokenizer '%s': text of %zu bytes into %zu ids, expected at most %d bytes "
                       "and room for one id",
                       tokenizer->path, bytes, capacity, HT_UNIGRAM_MAX_TEXT);
    }
    ht_normalised normalised = {0};
    id_sink sink = {.ids = ids, .room = capacity - 1};
    ht_status status = ht_normalise(tokenizer, text, bytes, &normalised);
    if (status == HT_OK && normalised.bytes > 0) {
        status = segment(tokenizer, &normalised, &sink);
    }
    if (status == HT_OK) {
        const bool cut = sink.count > sink.room;
        const size_t count = (cut ? sink.room : sink.count) + 1;
        ids[count - 1] = info->eos;
        for (size_t i = count; i < capacity; i++) {
            ids[i] = info->pad;
        }
        if (out) {
            *out = (ht_tokenized){
                .count = count,
                .full_count = sink.count + 1,
                .kept_bytes = cut ? normalised.origin[sink.cut] : bytes,
            };
        }
    }
    ht_normalised_free(tokenizer, &normalised);
    return status;
}
