// Weights of a block of keys as codes, and what a block counts beside the others. Needs E4M3; include
// after ht_bytes.glsl and ht_attention.glsl.
#ifndef HT_WEIGHT_CODES_GLSL
#define HT_WEIGHT_CODES_GLSL

layout(constant_id = 12) const uint NEGLIGIBLE = 0; // 0: nothing is

// Four weights, the largest of the block being 1, rounded: numbers of 0 to 127, or of E4M3.
vec4 rounded(vec4 w) {
    return E4M3 ? ht_e4m3_bytes(ht_e4m3_encode4(w * float(HT_CODES_TOP_E4M3)))
                : roundEven(w * float(HT_CODES_TOP_WEIGHT));
}

// The same as codes; adds them to `sum`.
uint weight_codes(vec4 w, inout float sum) {
    uint word = 0u;
    if (E4M3) {
        word = ht_e4m3_encode4(w * float(HT_CODES_TOP_E4M3));
        sum += dot(ht_e4m3_bytes(word), vec4(1.0));
    } else {
        vec4 r = rounded(w);
        uvec4 codes = uvec4(r);
        word = codes.x | codes.y << 8 | codes.z << 16 | codes.w << 24;
        sum += (r.x + r.y) + (r.z + r.w);
    }
    return word;
}

// What multiplies the codes of a block whose highest score is `top`, the highest so far being
// `high`: 0 where all its weights are negligible (Zhang et al. 2025, SpargeAttn).
float block_factor(float top, float high) {
    bool matters = NEGLIGIBLE == 0u || top - high >= -float(NEGLIGIBLE);
    return matters ? exp2(top - high) : 0.0;
}

#endif
