// f16 and bf16 by bit operations, written without branches so that the loops vectorise.
#include "formats.h"

#include <string.h>

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// a where `yes`, else b. Masks, because compilers turn ?: around float sums into branches.
static uint32_t pick(bool yes, uint32_t a, uint32_t b) {
    const uint32_t mask = 0u - (uint32_t)yes;
    return (a & mask) | (b & ~mask);
}

uint16_t ht_fmt_f16_from_f32(float value) {
    const uint32_t bits = bits_of(value);
    const uint32_t sign = bits >> 16 & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    // Normal: drop 13 bits with rounding to even; a carry may reach the exponent, up to infinity.
    const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
    const uint32_t normal = (rounded - (112u << 23)) >> 13;
    // Subnormal: in [0.5, 1) one unit in the last place is 2^-24, the step of f16 subnormals, so
    // the addition does the rounding.
    const uint32_t subnormal = bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f);
    const uint32_t nan = 0x7e00u | (magnitude >> 13 & 0x3ffu);
    uint32_t half = pick(magnitude < 0x38800000u, subnormal, normal); // 2^-14
    half = pick(magnitude >= 0x47800000u, 0x7c00u, half);             // 2^16
    half = pick(magnitude > 0x7f800000u, nan, half);
    return (uint16_t)(sign | half);
}

float ht_fmt_f32_from_f16(uint16_t bits) {
    const uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;
    const uint32_t shifted = (uint32_t)(bits & 0x7fffu) << 13;
    const uint32_t exponent = bits & 0x7c00u;
    const uint32_t normal = shifted + (112u << 23);
    // As a float with exponent 2^-14 minus 2^-14: the subtraction normalises.
    const uint32_t subnormal = bits_of(float_of(shifted + (113u << 23)) - float_of(113u << 23));
    const uint32_t special = shifted + (224u << 23); // infinity and NaN
    uint32_t result = pick(exponent == 0, subnormal, normal);
    result = pick(exponent == 0x7c00u, special, result);
    return float_of(sign | result);
}

uint16_t ht_fmt_bf16_from_f32(float value) {
    const uint32_t bits = bits_of(value);
    const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    const uint32_t nan = bits >> 16 | 0x40u;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

float ht_fmt_f32_from_bf16(uint16_t bits) {
    return float_of((uint32_t)bits << 16);
}

void ht_fmt_f16_from_f32_array(const float *values, void *packed, size_t count) {
    uint8_t *bytes = packed;
    for (size_t i = 0; i < count; i++) {
        const uint16_t half = ht_fmt_f16_from_f32(values[i]);
        memcpy(bytes + 2 * i, &half, sizeof half);
    }
}

void ht_fmt_f32_from_f16_array(const void *packed, float *values, size_t count) {
    const uint8_t *bytes = packed;
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, bytes + 2 * i, sizeof half);
        values[i] = ht_fmt_f32_from_f16(half);
    }
}

void ht_fmt_bf16_from_f32_array(const float *values, void *packed, size_t count) {
    uint8_t *bytes = packed;
    for (size_t i = 0; i < count; i++) {
        const uint16_t half = ht_fmt_bf16_from_f32(values[i]);
        memcpy(bytes + 2 * i, &half, sizeof half);
    }
}

void ht_fmt_f32_from_bf16_array(const void *packed, float *values, size_t count) {
    const uint8_t *bytes = packed;
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, bytes + 2 * i, sizeof half);
        values[i] = ht_fmt_f32_from_bf16(half);
    }
}
