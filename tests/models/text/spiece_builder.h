// Builds spiece.model files for tests, field by field.
#ifndef HT_TEST_SPIECE_BUILDER_H
#define HT_TEST_SPIECE_BUILDER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct spiece {
    uint8_t bytes[8192];
    size_t count;
} spiece;

static inline void spiece_raw(spiece *s, const void *data, size_t bytes) {
    memcpy(s->bytes + s->count, data, bytes);
    s->count += bytes;
}

static inline void spiece_varint(spiece *s, uint64_t value) {
    while (value >= 0x80) {
        s->bytes[s->count++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    s->bytes[s->count++] = (uint8_t)value;
}

static inline void spiece_number(spiece *s, uint32_t field, uint64_t value) {
    spiece_varint(s, (uint64_t)field << 3);
    spiece_varint(s, value);
}

static inline void spiece_bytes(spiece *s, uint32_t field, const void *data, size_t bytes) {
    spiece_varint(s, (uint64_t)field << 3 | 2);
    spiece_varint(s, bytes);
    spiece_raw(s, data, bytes);
}

// A piece; type 0 leaves the field out (normal).
static inline void spiece_piece(spiece *s, const char *text, float score, uint32_t type) {
    spiece piece = {.count = 0};
    spiece_bytes(&piece, 1, text, strlen(text));
    spiece_varint(&piece, 2 << 3 | 5);
    spiece_raw(&piece, &score, sizeof score);
    if (type > 0) {
        spiece_number(&piece, 3, type);
    }
    spiece_bytes(s, 1, piece.bytes, piece.count);
}

// <pad> </s> <unk>, in this order.
static inline void spiece_specials(spiece *s) {
    spiece_piece(s, "<pad>", 0, 3);
    spiece_piece(s, "</s>", 0, 3);
    spiece_piece(s, "<unk>", 0, 2);
}

#endif
