// Text chunks of PNG files.
#include "png_texts.h"

#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { HEAD = 8, TAIL = 4 }; // of a chunk: length and kind; checksum

static bool is_utf8(const char *text, size_t bytes) {
    json_t *string = json_stringn(text, bytes);
    json_decref(string);
    return string != NULL;
}

static char *from_latin1(const uint8_t *text, size_t bytes) {
    char *out = malloc(2 * bytes + 1), *at = out;
    for (size_t i = 0; out && i < bytes; ++i) {
        if (text[i] < 0x80) {
            *at++ = (char)text[i];
        } else {
            *at++ = (char)(0xc0 | text[i] >> 6);
            *at++ = (char)(0x80 | (text[i] & 0x3f));
        }
    }
    if (out) {
        *at = 0;
    }
    return out;
}

// Terminated UTF-8, or NULL: out of memory.
static char *to_text(const uint8_t *data, size_t bytes) {
    if (!is_utf8((const char *)data, bytes)) {
        return from_latin1(data, bytes);
    }
    char *out = malloc(bytes + 1);
    if (out) {
        memcpy(out, data, bytes);
        out[bytes] = 0;
    }
    return out;
}

// zlib's stream as text; NULL when it is damaged or too long.
static char *inflate_text(const uint8_t *data, size_t bytes) {
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)bytes};
    size_t room = 4096, used = 0;
    uint8_t *out = NULL;
    int status = inflateInit(&stream);
    if (status != Z_OK) {
        return NULL;
    }
    while (status == Z_OK && room <= HT_PNG_TEXT_BYTES) {
        room *= 2;
        uint8_t *larger = realloc(out, room);
        if (!larger) {
            break;
        }
        out = larger;
        stream.next_out = out + used;
        stream.avail_out = (uInt)(room - used);
        status = inflate(&stream, Z_NO_FLUSH);
        used = room - stream.avail_out;
    }
    inflateEnd(&stream);
    char *text = status == Z_STREAM_END ? to_text(out, used) : NULL;
    free(out);
    return text;
}

// Length of a terminated string within `bytes`, its terminator included; 0: none.
static size_t string_bytes(const uint8_t *data, size_t bytes) {
    const uint8_t *end = memchr(data, 0, bytes);
    return end ? (size_t)(end - data) + 1 : 0;
}

// The text behind the key of an iTXt chunk: flag, method, language, translated key, text.
static char *international(const uint8_t *data, size_t bytes) {
    if (bytes < 2) {
        return NULL;
    }
    bool packed = data[0] == 1;
    data += 2;
    bytes -= 2;
    for (int skip = 0; skip < 2; ++skip) {
        size_t length = string_bytes(data, bytes);
        if (length == 0) {
            return NULL;
        }
        data += length;
        bytes -= length;
    }
    return packed ? inflate_text(data, bytes) : to_text(data, bytes);
}

static void add_chunk(ht_png_texts *out, const char *kind, const uint8_t *data, size_t bytes) {
    size_t key = string_bytes(data, bytes);
    if (key < 2 || key > 80 || out->count == HT_PNG_TEXTS) {
        return;
    }
    const uint8_t *body = data + key;
    size_t left = bytes - key;
    char *text = NULL;
    if (strcmp(kind, "tEXt") == 0) {
        text = to_text(body, left);
    } else if (strcmp(kind, "iTXt") == 0) {
        text = international(body, left);
    } else if (left > 0) { // zTXt: a byte of the method
        text = inflate_text(body + 1, left - 1);
    }
    char *name = text ? from_latin1(data, key - 1) : NULL;
    if (!name) {
        free(text);
        return;
    }
    out->keys[out->count] = name;
    out->texts[out->count++] = text;
}

static uint32_t big_endian(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

// One chunk; false at the end of the file or with damage. *last: it was IEND.
static bool read_chunk(FILE *stream, ht_png_texts *out, bool *last) {
    uint8_t head[HEAD];
    char kind[5] = "";
    if (fread(head, 1, HEAD, stream) != HEAD) {
        return false;
    }
    uint32_t bytes = big_endian(head);
    memcpy(kind, head + 4, 4);
    *last = strcmp(kind, "IEND") == 0;
    const bool is_text =
        strcmp(kind, "tEXt") == 0 || strcmp(kind, "zTXt") == 0 || strcmp(kind, "iTXt") == 0;
    if (bytes > INT32_MAX) {
        return false;
    }
    if (!is_text || bytes > HT_PNG_TEXT_BYTES) {
        return fseek(stream, (long)bytes + TAIL, SEEK_CUR) == 0;
    }
    uint8_t *data = malloc((size_t)bytes + 1);
    const bool good = data && fread(data, 1, bytes, stream) == bytes;
    if (good) {
        add_chunk(out, kind, data, bytes);
    }
    free(data);
    return good && fseek(stream, TAIL, SEEK_CUR) == 0;
}

bool ht_png_texts_read(const char *path, ht_png_texts *out, char *why, size_t why_bytes) {
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    uint8_t found[8];
    *out = (ht_png_texts){0};
    FILE *stream = fopen(path, "rb");
    if (!stream) {
        snprintf(why, why_bytes, "cannot read '%s': %s", path, strerror(errno));
        return false;
    }
    if (fread(found, 1, 8, stream) != 8 || memcmp(found, signature, 8) != 0) {
        snprintf(why, why_bytes, "'%s' is not a PNG file", path);
        fclose(stream);
        return false;
    }
    bool last = false;
    while (!last && read_chunk(stream, out, &last)) {
    }
    fclose(stream);
    if (!last) {
        snprintf(why, why_bytes, "'%s' is a PNG file that ends too early", path);
        ht_png_texts_free(out);
    }
    return last;
}

void ht_png_texts_free(ht_png_texts *texts) {
    for (size_t i = 0; i < texts->count; ++i) {
        free(texts->keys[i]);
        free(texts->texts[i]);
    }
    *texts = (ht_png_texts){0};
}

const char *ht_png_texts_find(const ht_png_texts *texts, const char *key) {
    for (size_t i = 0; i < texts->count; ++i) {
        if (strcmp(texts->keys[i], key) == 0) {
            return texts->texts[i];
        }
    }
    return NULL;
}
