// GGUF files.
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fuzz_weights(fuzz_file("raw.gguf", data, bytes, NULL, 0));
    return 0;
}
