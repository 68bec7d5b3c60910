// PNG files in memory, with text chunks before the picture data.
#ifndef HT_APP_PNG_H
#define HT_APP_PNG_H

#include <image.h>

typedef struct ht_png_text {
    const char *key;  // Latin-1, 1 to 79 characters
    const char *text; // UTF-8; tEXt when it fits Latin-1, else iTXt
} ht_png_text;

typedef struct ht_bytes {
    uint8_t *data; // free()
    size_t count;
    bool failed; // memory ran out
} ht_bytes;

// Encode; false when memory runs out. The result is the caller's to free().
bool ht_png_encode(const ht_image *image, const ht_png_text *texts, size_t n_texts, ht_bytes *out);
// JPEG of high quality, without texts.
bool ht_jpeg_encode(const ht_image *image, ht_bytes *out);
// Read PNG, JPEG, BMP, ...; pixels are malloc'ed (free them). NULL with *why on failure.
uint8_t *ht_picture_read(const char *path, uint32_t *width, uint32_t *height, const char **why);
// The same of a mask: where the file has transparent pixels, these are white and the others black.
uint8_t *ht_mask_read(const char *path, uint32_t *width, uint32_t *height, const char **why);

#endif
