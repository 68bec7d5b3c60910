// Tokenizer of the T5 family: SentencePiece Unigram, read from spiece.model or tokenizer.json.
//
// Ids are those of SentencePiece itself, the definition of these models. Special tokens typed into
// a prompt ("</s>", "<pad>", "<extra_id_0>") are ordinary text here, as they are there: a prompt
// cannot end itself. The "fast" tokenizers of other programs cut them out first, and differ in a
// few combining-character sequences (docs/checkpoint.md).
#ifndef HT_TEXT_UNIGRAM_H
#define HT_TEXT_UNIGRAM_H

#include <halftone/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ht_tokenizer ht_tokenizer;

typedef struct ht_tokenizer_info {
    uint32_t vocab; // every id is below it
    int32_t pad, eos, unk;
    bool byte_fallback; // unknown characters become their bytes instead of unk
} ht_tokenizer_info;

typedef struct ht_tokenized {
    size_t count;      // ids in use, with the closing eos; the rest of the array is padding
    size_t full_count; // ids the whole text would take, with eos; above `count` when cut
    size_t kept_bytes; // of the text; what follows did not fit
} ht_tokenized;

// `path` is a spiece.model, a tokenizer.json, or a folder that holds one of them (spiece.model is
// preferred). The context must outlive the tokenizer.
HT_API ht_status ht_tokenizer_open(ht_context *context, const char *path, ht_tokenizer **out);
HT_API void ht_tokenizer_destroy(ht_tokenizer **tokenizer);
HT_API const ht_tokenizer_info *ht_tokenizer_get_info(const ht_tokenizer *tokenizer);

// Encode `bytes` bytes of text (UTF-8; anything else becomes U+FFFD) into exactly `capacity` ids:
// at most capacity - 1 pieces, eos, then pad. capacity >= 1. Cutting is not a failure: compare
// out->full_count with out->count. Text above 1 MiB is refused. `out` may be NULL.
HT_API ht_status ht_tokenizer_encode(ht_tokenizer *tokenizer, const char *text, size_t bytes,
                                     int32_t *ids, size_t capacity, ht_tokenized *out);

#ifdef __cplusplus
}
#endif
#endif
