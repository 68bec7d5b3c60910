// Elementwise functions with the same, known accuracy on every driver: built from +, *, / and bit
// operations only, because Vulkan lets exp and tanh be off by many units in the last place.
#ifndef HT_MATH_GLSL
#define HT_MATH_GLSL

// ht_activation of halftone/ops.h
const uint HT_ACT_NONE = 0u;
const uint HT_ACT_SILU = 1u;
const uint HT_ACT_GELU_TANH = 2u;
const uint HT_ACT_GELU_ERF = 3u;
const uint HT_ACT_QUICK_GELU = 4u;
const uint HT_ACT_RELU = 5u;

// e^x within 4e-7 relative for x in -87..88; beyond, as at the end of the range.
float ht_exp(float x) {
    float y = clamp(x, -87.0, 88.0);
    float n = floor(y * 1.44269502 + 0.5);
    // ln 2 in two parts; the first has 9 bits, so that n * part is exact.
    float r = (y - n * 0.693359375) + n * 2.12194440e-4;
    float q = 8.31205118e-3;
    q = q * r + 4.18945029e-2;
    q = q * r + 1.66671336e-1;
    q = q * r + 4.99992013e-1;
    return (1.0 + (r + r * r * q)) * uintBitsToFloat(uint(int(n) + 127) << 23);
}

// x / (1 + e^-u), for u of the sign of x and not small beside it. Below u = -87 the quotient would
// stop falling, while x may not: it becomes 0, which it is within 1e-35.
float ht_gate(float x, float u) {
    float y = x / (1.0 + ht_exp(-u));
    return u < -87.0 ? 0.0 : y;
}

// The share of a unit normal below x, (1 + erf(x / sqrt 2)) / 2, within 4e-7 absolute and, down to
// x = -5, 2e-6 relative: erfc(z) = exp(-z^2) p(1 / (1 + z / 2)), p fitted on z in 0..6.
float ht_normal_cdf(float x) {
    float z = abs(x) * 0.707106781;
    float t = 1.0 / (1.0 + 0.5 * z);
    float p = 9.53015015e-2;
    p = p * t - 3.82056803e-1;
    p = p * t + 4.25328463e-1;
    p = p * t + 1.16707208e-2;
    p = p * t + 2.91685194e-1;
    p = p * t + 2.75585860e-1;
    p = p * t + 2.82485396e-1;
    float tail = 0.5 * p * t * ht_exp(-z * z);
    return x < 0.0 ? tail : 1.0 - tail;
}

// A NaN is never hidden.
float ht_activate(float x, uint act) {
    if (act == HT_ACT_SILU) {
        return ht_gate(x, x);
    }
    if (act == HT_ACT_GELU_TANH) { // (1 + tanh u) / 2 = 1 / (1 + e^-2u)
        return ht_gate(x, x * (1.59576912 + 7.13548163e-2 * x * x));
    }
    if (act == HT_ACT_GELU_ERF) {
        return x * ht_normal_cdf(x);
    }
    if (act == HT_ACT_QUICK_GELU) {
        return ht_gate(x, 1.702 * x);
    }
    if (act == HT_ACT_RELU) {
        return x < 0.0 ? 0.0 : x;
    }
    return x;
}

#endif
