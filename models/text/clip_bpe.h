// CLIP's tokenizer: byte-level BPE with an end-of-word mark (Radford et al. 2021), read from
// vocab.json and merges.txt or from tokenizer.json. Text is composed (NFC), runs of white space are
// one space, letters are made small, as the "fast" tokenizers of the reference do it.
#ifndef HT_TEXT_CLIP_BPE_H
#define HT_TEXT_CLIP_BPE_H

#include <halftone/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ht_clip_tokenizer ht_clip_tokenizer;

typedef struct ht_clip_tokenizer_info {
    uint32_t vocab;          // every id is below it
    int32_t start, end, pad; // of text
    uint32_t max_length; // ids of a full row, start and end included; 0: the folder does not say
} ht_clip_tokenizer_info;

// `folder` holds vocab.json and merges.txt, or tokenizer.json, or the merges alone as OpenAI
// published them (bpe_simple_vocab_16e6.txt.gz or .txt). The context must outlive the
// tokenizer.
HT_API ht_status ht_clip_tokenizer_open(ht_context *context, const char *folder,
                                        ht_clip_tokenizer **out);
HT_API void ht_clip_tokenizer_destroy(ht_clip_tokenizer **tokenizer);
HT_API const ht_clip_tokenizer_info *ht_clip_tokenizer_get_info(const ht_clip_tokenizer *tokenizer);

// Fill rows with this entry of the vocabulary instead of what the files say.
HT_API ht_status ht_clip_tokenizer_pad_with(ht_clip_tokenizer *tokenizer, const char *entry);

// Ids of `bytes` bytes of text (UTF-8; anything else becomes U+FFFD), without start and end of text.
// The first `capacity` are stored, *count is how many there are. Text above 64 KiB is refused.
HT_API ht_status ht_clip_tokenizer_encode(ht_clip_tokenizer *tokenizer, const char *text,
                                          size_t bytes, int32_t *ids, size_t capacity,
                                          size_t *count);

#ifdef __cplusplus
}
#endif
#endif
