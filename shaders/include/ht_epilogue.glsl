// What the gemm kernels do to a sum before they store it. Include after gemm.shared.h.
//   y = act(sum + bias);  y *= gate;  y += residual
#ifndef HT_EPILOGUE_GLSL
#define HT_EPILOGUE_GLSL

#include "ht_math.glsl"
#include "ht_operands.glsl"
#include "ht_packed.glsl"

layout(constant_id = 3) const uint FORMAT_RESULT = 2;
layout(constant_id = 4) const uint FORMAT_GATE = 2;
layout(constant_id = 5) const uint FORMAT_RESIDUAL = 2;
layout(constant_id = 6) const uint ACT = 0;
layout(constant_id = 7) const bool PACKED_K = true; // x and w can be loaded four values at a time
layout(constant_id = 8) const bool PACKED_N = true; // result, bias, gate and residual likewise

// Up to four values of a row of `columns`, from `column` on; `index` is that of the first.
vec4 ht_load_columns(uvec2 address, uint format, uint index, uint column, uint count) {
    if (PACKED_N) {
        return ht_load4(address, format, index / 4u);
    }
    vec4 y = vec4(0.0);
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        if (i < count && column + i < push.columns) {
            y[i] = ht_load(address, format, index + i);
        }
    }
    return y;
}

vec4 ht_load_bias(uint column, uint count) {
    vec4 bias = vec4(0.0);
    if (ht_present(push.bias) && column < push.columns) {
        bias = ht_load_columns(push.bias, HT_FORMAT_F32, column, column, count);
    }
    return bias;
}

// Finish and store `count` (1 or 4) neighbouring results; those beyond the result are dropped.
void ht_finish(uint row, uint column, uint count, uint gate_row, vec4 sum, vec4 bias) {
    if (row >= push.rows || column >= push.columns) {
        return;
    }
    uint index = row * push.columns + column;
    vec4 y = sum + bias;
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        if (i < count) {
            y[i] = ht_activate(y[i], ACT);
        }
    }
    if (ht_present(push.gate)) {
        y *= ht_load_columns(push.gate, FORMAT_GATE, gate_row * push.columns + column, column,
                             count);
    }
    if (ht_present(push.residual)) {
        y += ht_load_columns(push.residual, FORMAT_RESIDUAL, index, column, count);
    }
    if (PACKED_N) {
        ht_store4(push.result, FORMAT_RESULT, index / 4u, y);
        return;
    }
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        if (i < count && column + i < push.columns) {
            ht_store(push.result, FORMAT_RESULT, index + i, y[i]);
        }
    }
}

#endif
