// Golden files, read through the engine's own reader on a context without a device.
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ht_test_golden_open(ht_test_golden *golden, const char *name) {
    const ht_context_desc host = {.host_only = true};
    char path[512];
    *golden = (ht_test_golden){.name = name};
    const char *folder = strchr(name, '/') != NULL ? "" : "tests/data/golden/";
    snprintf(path, sizeof path, "%s%s.safetensors", folder, name);
    const ht_weights_desc desc = {.path = path};
    assert_int_equal(ht_context_create(&host, &golden->context), HT_OK);
    if (ht_weights_open(golden->context, &desc, &golden->weights) != HT_OK) {
        fail_msg("%s", ht_context_message(golden->context));
    }
}

void ht_test_golden_close(ht_test_golden *golden) {
    ht_weights_destroy(&golden->weights);
    ht_context_destroy(&golden->context);
}

bool ht_test_golden_has(const ht_test_golden *golden, const char *tensor) {
    return ht_weights_find(golden->weights, tensor) != NULL;
}

float *ht_test_golden_read(const ht_test_golden *golden, const char *tensor, ht_tensor_desc *desc) {
    const ht_weight_info *info = ht_weights_find(golden->weights, tensor);
    if (info == NULL) {
        fail_msg("%s.safetensors has no '%s'", golden->name, tensor);
        return NULL;
    }
    const size_t count = ht_desc_count(&info->desc);
    float *values = malloc((count + 1) * sizeof *values);
    assert_non_null(values);
    assert_int_equal(ht_weights_read_f32(golden->weights, tensor, values, count), HT_OK);
    if (desc != NULL) {
        *desc = info->desc;
        desc->label = NULL;
    }
    return values;
}

float *ht_test_golden_read_nhwc(const ht_test_golden *golden, const char *tensor,
                                ht_tensor_desc *desc) {
    ht_tensor_desc from;
    float *x = ht_test_golden_read(golden, tensor, &from);
    assert_int_equal(from.rank, 4);
    const size_t channels = from.dims[1];
    const size_t area = (size_t)from.dims[2] * from.dims[3];
    float *out = malloc(ht_desc_count(&from) * sizeof *out);
    assert_non_null(out);
    for (size_t b = 0; b < from.dims[0]; b++) {
        for (size_t c = 0; c < channels; c++) {
            for (size_t p = 0; p < area; p++) {
                out[(b * area + p) * channels + c] = x[(b * channels + c) * area + p];
            }
        }
    }
    free(x);
    *desc = (ht_tensor_desc){.format = from.format,
                             .rank = 4,
                             .dims = {from.dims[0], from.dims[2], from.dims[3], from.dims[1]}};
    return out;
}
