// Index files of sharded checkpoints, beside two good shards.
#include "fuzz.h"

#include <string.h>

static void write_shard(const char *name, const char *header) {
    uint8_t length[8] = {(uint8_t)strlen(header)};
    char rest[256] = {0};
    strcpy(rest, header);
    fuzz_file(name, length, sizeof length, rest, strlen(header) + 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static int ready;
    if (!ready) {
        write_shard("m-1.safetensors",
                    "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}");
        write_shard("m-2.safetensors",
                    "{\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}");
        ready = 1;
    }
    fuzz_weights(fuzz_file("model.safetensors.index.json", data, bytes, NULL, 0));
    return 0;
}
