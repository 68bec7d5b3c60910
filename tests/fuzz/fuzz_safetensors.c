// safetensors files. An input that starts with '{' is only the header: it gets its length in front
// and 64 bytes of data behind, so that mutations need not repair the length.
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static uint8_t file[8 + (1 << 16) + 64];
    if (bytes == 0 || data[0] != '{' || bytes > 1 << 16) {
        fuzz_weights(fuzz_file("raw.safetensors", data, bytes, NULL, 0));
        return 0;
    }
    for (int i = 0; i < 8; i++) {
        file[i] = (uint8_t)((uint64_t)bytes >> (8 * i));
    }
    for (size_t i = 0; i < bytes; i++) {
        file[8 + i] = data[i];
    }
    static const uint8_t zeros[64];
    fuzz_weights(fuzz_file("header.safetensors", file, 8 + bytes, zeros, sizeof zeros));
    return 0;
}
