// What the files of the Unigram tokenizer share.
#ifndef HT_TEXT_UNIGRAM_INTERNAL_H
#define HT_TEXT_UNIGRAM_INTERNAL_H

#include "unigram.h"

enum {
    HT_UNIGRAM_MAX_FILE = 32 << 20,
    HT_UNIGRAM_MAX_PIECES = 1000000,
    HT_UNIGRAM_MAX_JSON_VALUES = 4 << 20, // a million pieces take 3 million
    HT_UNIGRAM_MAX_PIECE_BYTES = 1024,
    HT_UNIGRAM_MAX_TEXT = 1 << 20,
    HT_UNIGRAM_MAX_NORMALISED = 4 << 20,
};

// Sums of scores of a whole text stay far from overflow.
#define HT_UNIGRAM_MAX_SCORE 1e9f

// Numbers as in sentencepiece_model.proto.
typedef enum ht_piece_type {
    HT_PIECE_NORMAL = 1,
    HT_PIECE_UNKNOWN = 2,
    HT_PIECE_CONTROL = 3,
    HT_PIECE_USER_DEFINED = 4,
    HT_PIECE_UNUSED = 5,
    HT_PIECE_BYTE = 6,
} ht_piece_type;

typedef struct ht_piece {
    const char *text; // not terminated
    uint32_t bytes;
    float score;
    ht_piece_type type;
} ht_piece;

// Table of replacements: a double-array trie over bytes, and the strings its values point to.
// Zeroed means none.
typedef struct ht_charsmap {
    const uint8_t *units; // little-endian 32-bit words, any alignment
    uint32_t n_units;
    const char *strings; // ends with a NUL
    uint32_t string_bytes;
} ht_charsmap;

// A piece's text and id, for the sorted index.
typedef struct ht_piece_key {
    const char *text;
    uint32_t bytes;
    int32_t id;
} ht_piece_key;

struct ht_tokenizer {
    ht_context *context;
    ht_tokenizer_info info;
    char *path;
    // Filled by the readers of the two file kinds. Texts point into `storage` or `file`.
    uint8_t *file;
    size_t file_bytes;
    char *storage;
    uint8_t *charsmap_storage;
    ht_piece *pieces;
    uint32_t n_pieces, piece_capacity;
    ht_charsmap charsmap;
    bool add_dummy_prefix;
    bool remove_extra_whitespaces;
    bool escape_whitespaces;
    int32_t eos_id, pad_id; // used when no piece is named </s> or <pad>; -1: none
    // Derived once the file is read.
    ht_piece_key *index; // pieces that text can match, sorted by bytes
    uint32_t n_index;
    int32_t byte_ids[256]; // -1: no such byte piece
    float unk_score, max_score;
    bool has_user_defined;
};

// Text after normalisation; origin[i] is where byte i comes from in the original.
typedef struct ht_normalised {
    char *text;
    uint32_t *origin;
    uint32_t bytes, capacity;
} ht_normalised;

// Readers (spiece_model.c, tokenizer_json.c): parse tokenizer->file.
ht_status ht_spiece_read(ht_tokenizer *tokenizer);
ht_status ht_tokenizer_json_read(ht_tokenizer *tokenizer);

// For the readers (unigram.c).
ht_status ht_unigram_add_piece(ht_tokenizer *tokenizer, const ht_piece *piece);

// The index (piece_index.c). Keys [low, high) start with the `depth` bytes walked so far.
typedef struct ht_piece_walk {
    uint32_t low, high, depth;
} ht_piece_walk;
ht_status ht_piece_index_build(ht_tokenizer *tokenizer);
ht_piece_walk ht_piece_walk_start(const ht_tokenizer *tokenizer);
// Go on by one byte; false when no key continues with it. *id becomes the piece that ends here,
// -1 when there is none.
bool ht_piece_walk_step(const ht_tokenizer *tokenizer, ht_piece_walk *walk, char byte, int32_t *id);

// Normalisation (charsmap.c).
ht_status ht_charsmap_open(ht_tokenizer *tokenizer, const uint8_t *data, size_t bytes);
ht_status ht_normalise(ht_tokenizer *tokenizer, const char *text, size_t bytes, ht_normalised *out);
void ht_normalised_free(ht_tokenizer *tokenizer, ht_normalised *normalised);

#endif
