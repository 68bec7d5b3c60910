// What is measured: shapes of published networks at their usual picture sizes.
#include "bench.h"

#include <string.h>

#define CASE(text, which, in_quick, ...)                                                           \
    { .name = text, .op = which, .n = {__VA_ARGS__}, .quick = in_quick }
// Packed operands at the shape of target/gemm: activations, then weights.
#define PACKED(text, of_x, of_w, in_quick)                                                         \
    {                                                                                              \
        .name = text, .op = BENCH_LINEAR, .n = {1024, 1024, 1024}, .quick = in_quick, .x = of_x,   \
        .w = of_w                                                                                  \
    }
// A result in a packed format.
#define PACK(text, which, format, ...)                                                             \
    { .name = text, .op = which, .n = {__VA_ARGS__}, .x = format }

const bench_case bench_cases[] = {
    CASE("target/gemm", BENCH_LINEAR, true, 1024, 1024, 1024),
    CASE("target/conv", BENCH_CONV2D, true, 64, 64, 320, 320, 3, 1, 1),
    CASE("target/attention", BENCH_ATTENTION, true, 1024, 1024, 8, 64),

    // Low bits.
    PACKED("low-bit/int8 x int8", HT_FORMAT_INT8, HT_FORMAT_INT8, true),
    PACKED("low-bit/int8 x fp4", HT_FORMAT_INT8, HT_FORMAT_FP4, true),
    PACKED("low-bit/int8 x fp4-i8", HT_FORMAT_INT8, HT_FORMAT_FP4_I8, true),
    PACKED("low-bit/int8 x int4", HT_FORMAT_INT8, HT_FORMAT_INT4, false),
    PACKED("low-bit/fp8 x fp8", HT_FORMAT_E4M3, HT_FORMAT_E4M3, false),
    PACKED("low-bit/fp8 x fp4", HT_FORMAT_E4M3, HT_FORMAT_FP4, false),
    PACKED("low-bit/int4 x int4", HT_FORMAT_INT4, HT_FORMAT_INT4, false),
    PACKED("low-bit/nvfp4 x nvfp4", HT_FORMAT_NVFP4, HT_FORMAT_NVFP4, false),
    PACKED("low-bit/float x int8", HT_FORMAT_NONE, HT_FORMAT_INT8, false),
    PACKED("low-bit/float x fp8", HT_FORMAT_NONE, HT_FORMAT_E4M3, false),
    PACKED("low-bit/float x fp4", HT_FORMAT_NONE, HT_FORMAT_FP4, false),
    PACKED("low-bit/float x int4", HT_FORMAT_NONE, HT_FORMAT_INT4, false),
    PACKED("low-bit/float x nvfp4", HT_FORMAT_NONE, HT_FORMAT_NVFP4, false),
    PACKED("low-bit/float x mxfp4", HT_FORMAT_NONE, HT_FORMAT_MXFP4, false),
    PACKED("low-bit/float x mxfp8", HT_FORMAT_NONE, HT_FORMAT_MXFP8, false),
    PACKED("low-bit/float x int4z", HT_FORMAT_NONE, HT_FORMAT_INT4Z, false),
    PACKED("low-bit/mxfp8 x mxfp8", HT_FORMAT_MXFP8, HT_FORMAT_MXFP8, false),
    PACKED("low-bit/mxfp8 x mxfp4", HT_FORMAT_MXFP8, HT_FORMAT_MXFP4, false),
    PACKED("low-bit/int8 x int4z", HT_FORMAT_INT8, HT_FORMAT_INT4Z, false),
    PACKED("low-bit/int8-planes x bin1", HT_FORMAT_INT8_PLANES, HT_FORMAT_BIN1, false),
    PACKED("low-bit/int8-planes x bin2", HT_FORMAT_INT8_PLANES, HT_FORMAT_BIN2, false),
    PACKED("low-bit/int8-planes x ternary", HT_FORMAT_INT8_PLANES, HT_FORMAT_TERNARY, false),
    PACKED("low-bit/int4-planes x bin1", HT_FORMAT_INT4_PLANES, HT_FORMAT_BIN1, false),
    PACKED("low-bit/bin1 x bin1", HT_FORMAT_BIN1, HT_FORMAT_BIN1, false),
    PACKED("low-bit/int8 x bin1", HT_FORMAT_INT8, HT_FORMAT_BIN1, false),
    {.name = "low-bit/conv int8 x int8",
     .op = BENCH_CONV2D,
     .n = {64, 64, 320, 320, 3, 1, 1},
     .x = HT_FORMAT_INT8,
     .w = HT_FORMAT_INT8},
    {.name = "low-bit/conv int8 x fp4",
     .op = BENCH_CONV2D,
     .n = {64, 64, 320, 320, 3, 1, 1},
     .x = HT_FORMAT_INT8,
     .w = HT_FORMAT_FP4},
    {.name = "low-bit/conv float x fp4",
     .op = BENCH_CONV2D,
     .n = {64, 64, 320, 320, 3, 1, 1},
     .w = HT_FORMAT_FP4},

    // Packing activations: of one mlp of scenes-dit, and behind a norm.
    PACK("pack/int8", BENCH_QUANTIZE, HT_FORMAT_INT8, 128, 768),
    PACK("pack/int8-g32", BENCH_QUANTIZE, HT_FORMAT_INT8_G32, 128, 768),
    PACK("pack/fp8", BENCH_QUANTIZE, HT_FORMAT_E4M3, 128, 768),
    PACK("pack/nvfp4", BENCH_QUANTIZE, HT_FORMAT_NVFP4, 128, 768),
    PACK("pack/norm", BENCH_LAYER_NORM, HT_FORMAT_NONE, 128, 192),
    PACK("pack/norm int8", BENCH_LAYER_NORM, HT_FORMAT_INT8, 128, 192),
    PACK("pack/group norm", BENCH_GROUP_NORM, HT_FORMAT_NONE, 256, 160, 32),
    PACK("pack/group norm int8", BENCH_GROUP_NORM, HT_FORMAT_INT8, 256, 160, 32),
    PACK("pack/thin group norm", BENCH_GROUP_NORM, HT_FORMAT_NONE, 2048, 64, 32),
    PACK("pack/thin group norm int8", BENCH_GROUP_NORM, HT_FORMAT_INT8, 2048, 64, 32),
    PACK("pack/large group norm", BENCH_GROUP_NORM, HT_FORMAT_NONE, 1024, 640, 32),
    PACK("pack/large group norm int8", BENCH_GROUP_NORM, HT_FORMAT_INT8, 1024, 640, 32),

    // Kept blocks of 64 x 64: the price of a list, and what skipping saves.
    CASE("sparse/8k dense", BENCH_ATTENTION, false, 8192, 8192, 2, 64),
    CASE("sparse/8k 100 %", BENCH_ATTENTION, false, 8192, 8192, 2, 64, 100),
    CASE("sparse/8k 50 %", BENCH_ATTENTION, false, 8192, 8192, 2, 64, 50),
    CASE("sparse/8k 25 %", BENCH_ATTENTION, false, 8192, 8192, 2, 64, 25),
    CASE("sparse/8k 12.5 %", BENCH_ATTENTION, false, 8192, 8192, 2, 64, 12),
    CASE("sparse/8k 25 % int8", BENCH_ATTENTION, false, 8192, 8192, 2, 64, 25, 8),
    CASE("sparse/1k dense", BENCH_ATTENTION, true, 1024, 1024, 2, 64),
    CASE("sparse/1k 25 %", BENCH_ATTENTION, true, 1024, 1024, 2, 64, 25),
    CASE("sage/1k int8", BENCH_ATTENTION, true, 1024, 1024, 2, 64, 0, 8),
    CASE("sage/1k int4", BENCH_ATTENTION, true, 1024, 1024, 2, 64, 0, 4),
    CASE("sage/1k int8 fp8", BENCH_ATTENTION, false, 1024, 1024, 2, 64, 0, 8, 1),
    CASE("sage/4k x 40", BENCH_ATTENTION, false, 4096, 4096, 2, 40),
    CASE("sage/4k x 40 int8", BENCH_ATTENTION, false, 4096, 4096, 2, 40, 0, 8),
    CASE("sage/4k x 64", BENCH_ATTENTION, false, 4096, 4096, 2, 64),
    CASE("sage/4k x 64 int8", BENCH_ATTENTION, false, 4096, 4096, 2, 64, 0, 8),
    CASE("sage/4k x 64 int4", BENCH_ATTENTION, false, 4096, 4096, 2, 64, 0, 4),
    CASE("sparge/1k predict", BENCH_PREDICT, true, 1024, 1024, 2, 64),
    CASE("sparge/8k predict", BENCH_PREDICT, false, 8192, 8192, 2, 64),
    CASE("tokens/1k", BENCH_ATTENTION, false, 1024, 1024, 1, 64),
    CASE("tokens/2k", BENCH_ATTENTION, false, 2048, 2048, 1, 64),
    CASE("tokens/4k", BENCH_ATTENTION, false, 4096, 4096, 1, 64),
    CASE("tokens/8k", BENCH_ATTENTION, false, 8192, 8192, 1, 64),
    CASE("tokens/16k", BENCH_ATTENTION, false, 16384, 16384, 1, 64),
    CASE("tokens/32k", BENCH_ATTENTION, false, 32768, 32768, 1, 64),
    CASE("tokens/64k", BENCH_ATTENTION, false, 65536, 65536, 1, 64),
    CASE("tokens/16k 25 %", BENCH_ATTENTION, false, 16384, 16384, 1, 64, 25),
    CASE("tokens/32k 25 %", BENCH_ATTENTION, false, 32768, 32768, 1, 64, 25),
    CASE("tokens/64k 12.5 %", BENCH_ATTENTION, false, 65536, 65536, 1, 64, 12),
    CASE("sparse/64k 2 %", BENCH_ATTENTION, false, 65536, 65536, 8, 64, 2),

    // The models that come along, 128 x 128, with guidance.
    CASE("scenes-dit/to_q", BENCH_LINEAR, false, 128, 192, 192),
    CASE("scenes-dit/mlp", BENCH_LINEAR, false, 128, 768, 192),
    CASE("scenes-dit/mlp out", BENCH_LINEAR, false, 128, 192, 768),
    CASE("scenes-unet/conv", BENCH_CONV2D, false, 16, 16, 160, 160, 3, 1, 1),

    // Stable Diffusion 1.5, 512 x 512: latents of 64 x 64.
    CASE("sd15/conv_in", BENCH_CONV2D, false, 64, 64, 4, 320, 3, 1, 1),
    CASE("sd15/conv 32", BENCH_CONV2D, false, 32, 32, 640, 640, 3, 1, 1),
    CASE("sd15/conv 16", BENCH_CONV2D, false, 16, 16, 1280, 1280, 3, 1, 1),
    CASE("sd15/conv 8", BENCH_CONV2D, true, 8, 8, 1280, 1280, 3, 1, 1),
    CASE("sd15/down", BENCH_CONV2D, false, 64, 64, 320, 320, 3, 2, 1),
    CASE("sd15/up", BENCH_CONV2D, false, 32, 32, 640, 640, 3, 1, 2),
    CASE("sd15/conv_out", BENCH_CONV2D, true, 64, 64, 320, 4, 3, 1, 1),
    CASE("sd15/to_q", BENCH_LINEAR, true, 4096, 320, 320),
    CASE("sd15/geglu", BENCH_LINEAR, false, 4096, 2560, 320),
    CASE("sd15/time", BENCH_LINEAR, true, 1, 1280, 1280),
    CASE("sd15/text k", BENCH_LINEAR, false, 77, 320, 768),
    CASE("sd15/self attention", BENCH_ATTENTION, false, 4096, 4096, 8, 40),
    CASE("sd15/cross attention", BENCH_ATTENTION, true, 4096, 77, 8, 40),
    CASE("sd15/group_norm", BENCH_GROUP_NORM, true, 4096, 320, 32),
    CASE("sd15/add", BENCH_ADD, true, 4096 * 320),
    CASE("vae/conv 512", BENCH_CONV2D, false, 512, 512, 128, 128, 3, 1, 1),
    CASE("vae/conv 128", BENCH_CONV2D, false, 128, 128, 512, 512, 3, 1, 1),
    CASE("vae/conv_out", BENCH_CONV2D, false, 512, 512, 128, 3, 3, 1, 1),
    CASE("vae/attention", BENCH_ATTENTION, false, 4096, 4096, 1, 512),

    // Stable Diffusion XL, 1024 x 1024: latents of 128 x 128.
    CASE("sdxl/conv 128", BENCH_CONV2D, false, 128, 128, 320, 320, 3, 1, 1),
    CASE("sdxl/conv 32", BENCH_CONV2D, false, 32, 32, 1280, 1280, 3, 1, 1),
    CASE("sdxl/to_q", BENCH_LINEAR, false, 1024, 1280, 1280),
    CASE("sdxl/geglu", BENCH_LINEAR, false, 1024, 10240, 1280),
    CASE("sdxl/self attention", BENCH_ATTENTION, false, 4096, 4096, 10, 64),
    CASE("sdxl/self attention 32", BENCH_ATTENTION, false, 1024, 1024, 10, 64),
    CASE("sdxl/cross attention", BENCH_ATTENTION, false, 4096, 77, 10, 64),

    // PixArt-Sigma, 1024 x 1024: 4096 tokens, prompts of up to 300.
    CASE("pixart/to_q", BENCH_LINEAR, false, 4096, 1152, 1152),
    CASE("pixart/mlp", BENCH_LINEAR, false, 4096, 4608, 1152),
    CASE("pixart/self attention", BENCH_ATTENTION, false, 4096, 4096, 16, 72),
    CASE("pixart/cross attention", BENCH_ATTENTION, false, 4096, 300, 16, 72),
    CASE("pixart/layer_norm", BENCH_LAYER_NORM, true, 4096, 1152),
};
const size_t bench_case_count = sizeof bench_cases / sizeof bench_cases[0];

const char *bench_op_name(bench_op op) {
    static const char *const names[] = {"linear",     "conv2d",     "attention", "predict",
                                        "layer_norm", "group_norm", "add",       "quantize"};
    return names[op];
}

uint32_t bench_kept_blocks(const bench_case *c) {
    const uint32_t columns = ht_attention_block_count(c->n[1]);
    const uint32_t kept = c->n[4] != 0 ? (columns * c->n[4] + 50) / 100 : columns;
    return kept > 0 ? kept : 1;
}

double bench_density(const bench_case *c) {
    return (double)bench_kept_blocks(c) / ht_attention_block_count(c->n[1]);
}

const char *bench_shape(const bench_case *c, char *text, size_t bytes) {
    const uint32_t *n = c->n;
    switch (c->op) {
    case BENCH_LINEAR: snprintf(text, bytes, "%u x %u x %u", n[0], n[1], n[2]); break;
    case BENCH_CONV2D:
        snprintf(text, bytes, "%u x %u, %u -> %u, %u x %u%s%s", n[0], n[1], n[2], n[3], n[4], n[4],
                 n[5] == 2 ? ", /2" : "", n[6] == 2 ? ", x2" : "");
        break;
    case BENCH_ATTENTION:
        snprintf(text, bytes, "%u x %u, %u x %u", n[0], n[1], n[2], n[3]);
        if (n[4] != 0) {
            const size_t length = strlen(text);
            snprintf(text + length, bytes - length, ", %.3g %%", 100.0 * bench_density(c));
        }
        if (n[5] != 0) {
            const size_t length = strlen(text);
            snprintf(text + length, bytes - length, ", int%u%s", n[5], n[6] != 0 ? ", fp8" : "");
        }
        break;
    case BENCH_PREDICT: snprintf(text, bytes, "%u x %u, %u x %u", n[0], n[1], n[2], n[3]); break;
    case BENCH_LAYER_NORM:
    case BENCH_QUANTIZE:
    case BENCH_GROUP_NORM: snprintf(text, bytes, "%u x %u", n[0], n[1]); break;
    case BENCH_ADD: snprintf(text, bytes, "%u", n[0]); break;
    }
    return text;
}

// Rows of a convolution's result.
static double conv_rows(const uint32_t *n) {
    const double enlarged = (double)n[0] * n[6] * n[1] * n[6];
    return enlarged / ((double)n[5] * n[5]);
}

double bench_flops(const bench_case *c) {
    const uint32_t *n = c->n;
    switch (c->op) {
    case BENCH_LINEAR: return 2.0 * n[0] * n[1] * n[2];
    case BENCH_CONV2D: return 2.0 * conv_rows(n) * n[2] * n[3] * n[4] * n[4];
    case BENCH_ATTENTION: return 4.0 * n[0] * n[1] * n[2] * n[3] * bench_density(c);
    default: return 0.0;
    }
}

static double tensor_bytes(ht_format format, uint32_t rows, uint32_t width) {
    const ht_tensor_desc desc = {.format = format, .rank = 2, .dims = {rows, width}};
    return (double)ht_desc_bytes(&desc);
}

double bench_bytes(const bench_case *c, ht_format format) {
    const uint32_t *n = c->n;
    const double value = ht_format_bits(format) / 8.0;
    const ht_format x = c->x ? c->x : format, w = c->w ? c->w : HT_FORMAT_F16;
    switch (c->op) {
    case BENCH_LINEAR:
        return tensor_bytes(format, n[0], n[1]) + tensor_bytes(x, n[0], n[2]) +
               tensor_bytes(w, n[1], n[2]);
    case BENCH_CONV2D:
        return value * conv_rows(n) * n[3] + tensor_bytes(x, n[0] * n[1], n[2]) +
               tensor_bytes(w, n[3] * n[4] * n[4], n[2]);
    case BENCH_ATTENTION: return value * n[2] * n[3] * 2.0 * ((double)n[0] + n[1]);
    case BENCH_PREDICT: return value * n[2] * n[3] * ((double)n[0] + n[1]);
    case BENCH_LAYER_NORM:
    case BENCH_QUANTIZE:
    case BENCH_GROUP_NORM:
        return value * n[0] * n[1] + tensor_bytes(c->x ? c->x : format, n[0], n[1]);
    case BENCH_ADD: return value * 3.0 * n[0];
    }
    return 0.0;
}
