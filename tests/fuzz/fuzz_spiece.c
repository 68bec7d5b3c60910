// SentencePiece models.
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fuzz_tokenizer(fuzz_file("spiece.model", data, bytes, NULL, 0));
    return 0;
}
