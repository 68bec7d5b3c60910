// Formats of the operands of a gemm, specialization constants.
#ifndef HT_OPERANDS_GLSL
#define HT_OPERANDS_GLSL

layout(constant_id = 1) const uint FORMAT_X = 2;
layout(constant_id = 2) const uint FORMAT_W = 2;

#endif
