// SHA-256 (FIPS 180-4).
#include "sha256.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct hash {
    uint32_t state[8];
    uint8_t block[64];
    uint64_t bytes; // so far
} hash;

// First 32 bits of the fractions of the cube roots of the first 64 primes.
static const uint32_t rounds[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turn(uint32_t x, int bits) {
    return x >> bits | x << (32 - bits);
}

static void add_block(hash *h) {
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; ++i) {
        const uint8_t *b = h->block + 4 * i;
        w[i] = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    }
    for (int i = 16; i < 64; ++i) {
        const uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + w[i - 7] +
               (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
    }
    memcpy(s, h->state, sizeof(s));
    for (int i = 0; i < 64; ++i) {
        const uint32_t e = s[4], a = s[0];
        const uint32_t one = s[7] + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) +
                             ((e & s[5]) ^ (~e & s[6])) + rounds[i] + w[i];
        const uint32_t two =
            (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof(*s));
        s[4] += one;
        s[0] = one + two;
    }
    for (int i = 0; i < 8; ++i) {
        h->state[i] += s[i];
    }
}

static void begin(hash *h) {
    // First 32 bits of the fractions of the square roots of the first 8 primes.
    *h = (hash){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
                          0x1f83d9ab, 0x5be0cd19}};
}

static void add(hash *h, const uint8_t *data, size_t bytes) {
    while (bytes > 0) {
        const size_t at = h->bytes % 64, part = bytes < 64 - at ? bytes : 64 - at;
        memcpy(h->block + at, data, part);
        h->bytes += part;
        data += part;
        bytes -= part;
        if (h->bytes % 64 == 0) {
            add_block(h);
        }
    }
}

static void finish(hash *h, char text[HT_SHA256_TEXT]) {
    static const uint8_t padding[64] = {0x80};
    uint8_t length[8];
    for (int i = 0; i < 8; ++i) {
        length[i] = (uint8_t)(h->bytes * 8 >> (56 - 8 * i));
    }
    add(h, padding, 1 + (119 - h->bytes % 64) % 64);
    add(h, length, sizeof(length));
    for (int i = 0; i < 8; ++i) {
        snprintf(text + 8 * i, 9, "%08x", h->state[i]);
    }
}

void ht_sha256(const void *data, size_t bytes, char text[HT_SHA256_TEXT]) {
    hash h;
    begin(&h);
    add(&h, data, bytes);
    finish(&h, text);
}

bool ht_sha256_file(const char *path, char text[HT_SHA256_TEXT]) {
    uint8_t buffer[1 << 16];
    FILE *file = fopen(path, "rb");
    hash h;
    size_t count;
    begin(&h);
    while (file && (count = fread(buffer, 1, sizeof(buffer), file)) > 0) {
        add(&h, buffer, count);
    }
    const bool good = file && !ferror(file);
    finish(&h, text);
    if (file) {
        fclose(file);
    }
    return good;
}
