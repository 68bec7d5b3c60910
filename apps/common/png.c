// PNG and JPEG through stb_image_write; text chunks by hand.
#include "png.h"

#include <stb_image.h>
#include <stb_image_write.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_BYTES = 8 + 25, MAX_EDGE = 16384 }; // signature and IHDR

static void append(ht_bytes *bytes, const void *data, size_t count) {
    uint8_t *grown = bytes->failed ? NULL : realloc(bytes->data, bytes->count + count + 1);
    if (!grown) {
        bytes->failed = true;
        return;
    }
    if (count > 0) {
        memcpy(grown + bytes->count, data, count);
    }
    bytes->data = grown;
    bytes->count += count;
}

static void collect(void *context, void *data, int size) {
    append(context, data, (size_t)size);
}

static uint32_t crc32(const uint8_t *data, size_t count) {
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < count; ++i) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}

static void append_u32(ht_bytes *bytes, uint32_t value) {
    uint8_t big[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                      (uint8_t)value};
    append(bytes, big, 4);
}

// UTF-8 to Latin-1 in place of `out`; false when a character has no place there.
static bool to_latin1(const char *text, ht_bytes *out) {
    for (const uint8_t *p = (const uint8_t *)text; *p; ++p) {
        uint8_t c = *p;
        if (c >= 0x80) {
            if ((c != 0xc2 && c != 0xc3) || (p[1] & 0xc0) != 0x80) {
                return false;
            }
            c = (uint8_t)((c & 3) << 6 | (*++p & 0x3f));
            if (c < 0xa0) {
                return false;
            }
        }
        append(out, &c, 1);
    }
    return true;
}

static void append_text(ht_bytes *png, const ht_png_text *text) {
    ht_bytes body = {0}, latin1 = {0};
    bool plain = to_latin1(text->text, &latin1);
    append(&body, plain ? "tEXt" : "iTXt", 4);
    append(&body, text->key, strlen(text->key) + 1);
    if (plain) {
        append(&body, latin1.data ? latin1.data : (uint8_t *)"", latin1.count);
    } else { // not compressed, no language, no translated key
        append(&body, "\0\0\0\0", 4);
        append(&body, text->text, strlen(text->text));
    }
    if (body.failed || latin1.failed) {
        png->failed = true;
    } else {
        append_u32(png, (uint32_t)(body.count - 4));
        append(png, body.data, body.count);
        append_u32(png, crc32(body.data, body.count));
    }
    free(body.data);
    free(latin1.data);
}

bool ht_png_encode(const ht_image *image, const ht_png_text *texts, size_t n_texts, ht_bytes *out) {
    ht_bytes plain = {0};
    *out = (ht_bytes){0};
    int width = (int)image->width, height = (int)image->height;
    if (!stbi_write_png_to_func(collect, &plain, width, height, 3, image->rgb, width * 3) ||
        plain.failed || plain.count < HEAD_BYTES) {
        free(plain.data);
        return false;
    }
    append(out, plain.data, HEAD_BYTES);
    for (size_t i = 0; i < n_texts; ++i) {
        append_text(out, &texts[i]);
    }
    append(out, plain.data + HEAD_BYTES, plain.count - HEAD_BYTES);
    free(plain.data);
    return !out->failed;
}

bool ht_jpeg_encode(const ht_image *image, ht_bytes *out) {
    *out = (ht_bytes){0};
    return stbi_write_jpg_to_func(collect, out, (int)image->width, (int)image->height, 3,
                                  image->rgb, 95) &&
           !out->failed;
}

// Pixels of `channels` bytes, or NULL.
static uint8_t *read_pixels(const char *path, int channels, uint32_t *width, uint32_t *height,
                            const char **why) {
    int w, h, found;
    if (!stbi_info(path, &w, &h, &found)) {
        *why = stbi_failure_reason();
        return NULL;
    }
    if (w < 1 || h < 1 || w > MAX_EDGE || h > MAX_EDGE) {
        *why = "it is larger than 16384 pixels along an edge";
        return NULL;
    }
    uint8_t *pixels = stbi_load(path, &w, &h, &found, channels);
    *why = pixels ? NULL : stbi_failure_reason();
    *width = (uint32_t)w;
    *height = (uint32_t)h;
    return pixels;
}

uint8_t *ht_picture_read(const char *path, uint32_t *width, uint32_t *height, const char **why) {
    return read_pixels(path, 3, width, height, why);
}

uint8_t *ht_mask_read(const char *path, uint32_t *width, uint32_t *height, const char **why) {
    uint8_t *pixels = read_pixels(path, 4, width, height, why), lowest = 255;
    size_t count = pixels ? (size_t)*width * *height : 0;
    for (size_t i = 0; i < count; ++i) {
        lowest = pixels[4 * i + 3] < lowest ? pixels[4 * i + 3] : lowest;
    }
    for (size_t i = 0; i < count; ++i) { // from four bytes to three, in place
        const uint8_t *in = pixels + 4 * i;
        uint8_t clear = (uint8_t)(255 - in[3]);
        uint8_t rgb[3] = {in[0], in[1], in[2]};
        for (int c = 0; c < 3; ++c) {
            pixels[3 * i + c] = lowest < 255 ? clear : rgb[c];
        }
    }
    return pixels;
}
