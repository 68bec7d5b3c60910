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

// e^x within 3e-7 relative; 0 below -87, e^88 above 88, so never infinite.
float ht_exp(float x) {
    float y = clamp(x, -87.0, 88.0);
    float n = floor(y * 1.44269502 + 0.5);
    // ln 2 in two parts; the first has 9 bits, so that n * part is exact.
    float r = (y - n * 0.693359375) + n * 2.12194440e-4;
    float q = 1.38131424e-3;
    q = q * r + 8.36941879e-3;
    q = q * r + 4.16684560e-2;
    q = q * r + 1.66665152e-1;
    q = q * r + 4.99999940e-1;
    float e = 1.0 + (r + r * r * q);
    return x < -87.0 ? 0.0 : e * uintBitsToFloat(uint(int(n) + 127) << 23);
}

float ht_sigmoid(float x) {
    float e = ht_exp(-abs(x));
    float s = 1.0 / (1.0 + e);
    return x < 0.0 ? e * s : s;
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

// Every branch multiplies by x or keeps it, so that a NaN is never hidden.
float ht_activate(float x, uint act) {
    if (act == HT_ACT_SILU) {
        return x * ht_sigmoid(x);
    }
    if (act == HT_ACT_GELU_TANH) { // (1 + tanh u) / 2 = sigmoid(2u)
        return x * ht_sigmoid(x * (1.59576912 + 7.13548163e-2 * x * x));
    }
    if (act == HT_ACT_GELU_ERF) {
        return x * ht_normal_cdf(x);
    }
    if (act == HT_ACT_QUICK_GELU) {
        return x * ht_sigmoid(1.702 * x);
    }
    if (act == HT_ACT_RELU) {
        return x < 0.0 ? 0.0 : x;
    }
    return x;
}

#endif
