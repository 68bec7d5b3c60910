// What the files of CLIP's tokenizer share.
#ifndef HT_TEXT_CLIP_BPE_INTERNAL_H
#define HT_TEXT_CLIP_BPE_INTERNAL_H

#include "clip_bpe.h"

#include <jansson.h>

enum {
    HT_CLIP_MAX_FILE = 64 << 20,
    HT_CLIP_MAX_MERGES = 1 << 20,
    HT_CLIP_MERGES = 48894, // of the published list that CLIP uses
    HT_CLIP_MAX_TEXT = 64 << 10,
    HT_CLIP_SYMBOL_BYTES = 256, // longest entry of a vocabulary that text can reach
};

struct ht_clip_tokenizer {
    ht_context *context;
    char *path;
    ht_clip_tokenizer_info info;
    json_t *vocab;             // entry -> id
    json_t *ranks;             // "left right" -> rank
    char byte_symbols[256][3]; // UTF-8 of each byte's symbol
};

// clip_files.c: fill vocab, ranks and info from the folder's files.
ht_status ht_clip_files_read(ht_clip_tokenizer *tokenizer, const char *folder);

// clip_text.c: clean text as the reference does. *out is the caller's to free with ht_free.
ht_status ht_clip_clean(ht_context *context, const char *text, size_t bytes, char **out,
                        size_t *out_bytes);
// Bytes of the piece that starts at `text` (left >= 1), or 0 where white space is skipped; then
// *skip is its length.
size_t ht_clip_piece(const char *text, size_t left, size_t *skip);

#endif
