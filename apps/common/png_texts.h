// Text chunks of PNG files, as other programs and ours keep settings in them. Files are hostile.
#ifndef HT_APP_PNG_TEXTS_H
#define HT_APP_PNG_TEXTS_H

#include <stdbool.h>
#include <stddef.h>

enum { HT_PNG_TEXTS = 64, HT_PNG_TEXT_BYTES = 16 << 20 }; // more are left out, longer ones too

typedef struct ht_png_texts {
    char *keys[HT_PNG_TEXTS];
    char *texts[HT_PNG_TEXTS]; // UTF-8
    size_t count;
} ht_png_texts;

// Every tEXt, zTXt and iTXt chunk, wherever it stands. What is in a tEXt chunk counts as UTF-8 when it
// is, else as Latin-1. False with a sentence in `why` when the file is no PNG, or damaged.
bool ht_png_texts_read(const char *path, ht_png_texts *out, char *why, size_t why_bytes);
void ht_png_texts_free(ht_png_texts *texts);
// The first of that key, or NULL.
const char *ht_png_texts_find(const ht_png_texts *texts, const char *key);

#endif
