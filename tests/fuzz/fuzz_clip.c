// CLIP's merges alone, as OpenAI published them, and texts for what they make.
#include "fuzz.h"

#include "text/clip_bpe.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const char text[] = "A red  ball\xe2\x96\x81 caf\xc3\xa9 don't 2024 \xff<|endoftext|>!!";
    char folder[256];
    const char *path = fuzz_file("bpe_simple_vocab_16e6.txt", data, bytes, NULL, 0);
    const size_t length = (size_t)(strrchr(path, '/') - path);
    fuzz_require(length < sizeof folder, "a short path");
    memcpy(folder, path, length);
    folder[length] = 0;
    ht_context *context = fuzz_context();
    ht_clip_tokenizer *tokenizer = NULL;
    if (ht_clip_tokenizer_open(context, folder, &tokenizer) == HT_OK) {
        int32_t ids[16];
        size_t count = 0;
        (void)ht_clip_tokenizer_encode(tokenizer, text, sizeof text - 1, ids, 16, &count);
        for (size_t i = 0; i < count && i < 16; i++) {
            fuzz_require(ids[i] >= 0 &&
                             (uint32_t)ids[i] < ht_clip_tokenizer_get_info(tokenizer)->vocab,
                         "ids below vocab");
        }
    } else {
        fuzz_require(strstr(ht_context_message(context), folder) != NULL,
                     "a sentence with the path");
    }
    ht_clip_tokenizer_destroy(&tokenizer);
    ht_context_destroy(&context);
    return 0;
}
