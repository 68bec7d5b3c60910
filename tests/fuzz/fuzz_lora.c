// Files of LoRA for a network of two layers, named in all manners. An input that starts with '{' is
// only the header, as for safetensors.
#include "fuzz.h"

#include "common/lora_internal.h"

#include <stdlib.h>
#include <string.h>

enum { ONE, IN, OUT, SIDE, SIZES };

static const char *file_of(const uint8_t *data, size_t bytes) {
    static uint8_t file[8 + (1 << 16)];
    static uint8_t values[1 << 12];
    if (bytes == 0 || data[0] != '{' || bytes > 1 << 16) {
        return fuzz_file("raw.safetensors", data, bytes, NULL, 0);
    }
    for (int i = 0; i < 8; i++) {
        file[i] = (uint8_t)((uint64_t)bytes >> (8 * i));
    }
    memcpy(file + 8, data, bytes);
    memset(values, 0x3c, sizeof values);
    return fuzz_file("header.safetensors", file, 8 + bytes, values, sizeof values);
}

// Every pair that was accepted must be one.
static void read_pairs(ht_context *context, const ht_lora_layers *layers) {
    for (uint32_t i = 0; layers && i < layers->n_layers; i++) {
        const ht_lora_layer *layer = &layers->layers[i];
        const size_t inputs = (size_t)layer->dims[1] * layer->dims[2] * layer->dims[3];
        for (const ht_lora_change *c = layer->changes; c; c = c->next) {
            fuzz_require(c->rank > 0 && c->rank <= HT_LORA_MAX_RANK, "a rank within limits");
            float *down = malloc(c->rank * inputs * sizeof(float));
            float *up = malloc((size_t)layer->dims[0] * c->rank * sizeof(float));
            (void)ht_lora_pair(context, layer, c, down, up, c->rank);
            free(down);
            free(up);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const ht_weight_row rows[] = {{"mid_block.a.to_q.weight", NULL, ONE, 2, {OUT, IN}},
                                         {"mid_block.a.conv1.weight", NULL, ONE, 4,
                                          {OUT, IN, SIDE, SIDE}}};
    const uint32_t sizes[SIZES] = {[ONE] = 1, [IN] = 8, [OUT] = 4, [SIDE] = 3};
    const float scales[HT_LORA_NETWORKS] = {1, 1, 1};
    const char *path = file_of(data, bytes);
    ht_context *context = fuzz_context();
    ht_weight_map map = {.context = context};
    ht_lora *lora = NULL;
    ht_weight_map_add(&map, "", rows, 2, sizes);
    const ht_lora_desc desc = {.maps = {&map}, .format = HT_FORMAT_F32};
    fuzz_require(ht_lora_create(context, &desc, &lora) == HT_OK, "a LoRA without files");
    if (ht_lora_add(lora, path, scales) == HT_OK) {
        read_pairs(context, ht_lora_of(lora, HT_LORA_DENOISER));
    } else {
        fuzz_require(strstr(ht_context_message(context), path) != NULL, "a sentence with the path");
    }
    ht_lora_destroy(&lora);
    ht_weight_map_clear(&map);
    ht_context_destroy(&context);
    return 0;
}
