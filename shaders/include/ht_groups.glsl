// Rows, groups and scales of the operands of the packed gemm kernels. `step` counts HT_STEP values
// of a row. Include after gemm.shared.h, ht_epilogue.glsl and ht_formats.glsl.
#ifndef HT_GROUPS_GLSL
#define HT_GROUPS_GLSL

// Whole rows of integers that are longer than MAX_EXACT: their sums go on as int.
layout(constant_id = 11) const bool LONG_SUMS = false;

const uint MAX_EXACT = 1024u; // products of 8-bit integers whose sum is exact in f32

// Steps that are summed before scales are applied: the shorter group, or all `steps` of a row.
uint ht_steps_per_group(uint steps) {
    uint x = ht_group_of(FORMAT_X);
    uint w = ht_group_of(FORMAT_W);
    uint group = x == 0u ? w : w == 0u ? x : min(x, w);
    return LONG_SUMS ? MAX_EXACT / HT_STEP : group == 0u ? steps : group / HT_STEP;
}

uint64_t ht_x_row(uint row) {
    return packUint2x32(push.x) + uint64_t(row) * ht_row_bytes(FORMAT_X, push.depth);
}

uint64_t ht_w_row(uint row) {
    return packUint2x32(push.w) + uint64_t(row) * ht_row_bytes(FORMAT_W, push.depth);
}

uint ht_group_at(uint format, uint row, uint step) {
    uint group = ht_format_row(format).group;
    return group == 0u ? row * ht_terms(format) + (ht_terms(format) > 1u ? ht_term : 0u)
                       : row * ht_groups(format, push.depth) + step * HT_STEP / group;
}

#ifdef HT_INTEGERS_WHERE_POSSIBLE
bool ht_are_integers(); // ht_integer_steps.glsl
#endif

// What the number 1 in the kernel's sums stands for, without the scale.
float ht_sum_unit(uint format) {
    if (ht_has_times(format)) { // ht_w_times makes integers of the codes
        return ht_is_e2m1(ht_format_row(format)) ? 0.5 : 1.0;
    }
#if defined HT_INTEGER_CODES // codes of E2M1 count halves
    return ht_format_row(format).kind == HT_KIND_MINIFLOAT ? 0.5 : 1.0;
#elif defined HT_ELEMENT_E4M3 // fields moved to those of E4M3
    return uintBitsToFloat(uint(127 + 7 - ht_exponent_bias(ht_format_row(format))) << 23);
#elif defined HT_ELEMENT_F16
    return 1.0;
#elif defined HT_INTEGERS_WHERE_POSSIBLE // on the CPU: both operands' codes, or neither's
    return ht_are_integers() ? (ht_is_e2m1(ht_format_row(format)) ? 0.5 : 1.0)
                             : ht_code_unit(format);
#else
    return ht_code_unit(format);
#endif
}

// Scales with the units of the decoded codes in them.
float ht_x_scale(uint row, uint step) {
    if (!ht_is_packed(FORMAT_X)) {
        return 1.0;
    }
    return ht_load_scale(packUint2x32(push.x) + push.x_scales, FORMAT_X,
                         ht_group_at(FORMAT_X, row, step)) *
           ht_sum_unit(FORMAT_X);
}

float ht_w_scale(uint row, uint step) {
    if (ht_has_times(FORMAT_W)) {
        return HtF32(packUint2x32(push.w) + push.w_extra).v[row] * ht_sum_unit(FORMAT_W);
    }
    float scale = ht_load_scale(packUint2x32(push.w) + push.w_scales, FORMAT_W,
                                ht_group_at(FORMAT_W, row, step)) *
                  ht_sum_unit(FORMAT_W);
    if (ht_format_row(FORMAT_W).scale == HT_SCALE_E4M3) {
        scale *= HtF32(packUint2x32(push.w) + push.w_extra).v[0];
    }
    return scale;
}

// What makes integers of a step's codes of w, where those are to be multiplied; else 1.
uint ht_w_times(uint row, uint step) {
    if (!ht_has_times(FORMAT_W)) {
        return 1u;
    }
    uint at = ht_group_at(FORMAT_W, row, step); // a driver gathers words at once, bytes one by one
    return (HtU32(packUint2x32(push.w) + push.w_scales).v[at / 8u] >> (at % 8u * 4u)) & 0xfu;
}

// Four codes of w as numbers, `times` being that of the step; zero points are not subtracted.
vec4 ht_decode_w(uvec4 codes, uint quad, uint times) {
    vec4 values = ht_decode_codes(codes, quad, FORMAT_W);
    if (ht_has_times(FORMAT_W)) {
        values *= float(times) * (ht_code_unit(FORMAT_W) / ht_sum_unit(FORMAT_W));
    }
    return values;
}

// In the units of the codes; 0 for formats that have none.
float ht_w_zero(uint row, uint step) {
    if (!ht_has_zeros(FORMAT_W)) {
        return 0.0;
    }
    return float(HtBytes(packUint2x32(push.w) + push.w_extra)
                     .v[ht_group_at(FORMAT_W, row, step)]);
}

// The order of operations that integers are compared in, bit by bit.
float ht_add_group(float total, float x_scale, float w_scale, float sum) {
    precise float scale = x_scale * w_scale;
    precise float part = scale * sum;
    precise float result = total + part;
    return result;
}

#endif
