// What the cooperative matrix kernels multiply: HT_ELEMENT_F16 (sums in f32), HT_ELEMENT_S8 (sums in
// int) or HT_ELEMENT_E4M3 (sums in f32). Matrices are TM x TK times TK x TN, a shape that the device
// lists.
#ifndef HT_MATRIX_GLSL
#define HT_MATRIX_GLSL

#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_control_flow_attributes : require

#if defined HT_ELEMENT_S8
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#define HT_ELEMENT int8_t
#define HT_ELEMENT4 i8vec4
#define HT_SUM int
#elif defined HT_ELEMENT_E4M3
#extension GL_EXT_float_e4m3 : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#define HT_ELEMENT floate4m3_t
#define HT_ELEMENT4 fe4m3vec4
#define HT_SUM float
#else
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#define HT_ELEMENT float16_t
#define HT_ELEMENT4 f16vec4
#define HT_SUM float
#endif

layout(constant_id = 10) const uint TM = 16;
layout(constant_id = 12) const uint TN = 16;
layout(constant_id = 13) const uint TK = 16;

#define HT_MATRIX_A coopmat<HT_ELEMENT, gl_ScopeSubgroup, TM, TK, gl_MatrixUseA>
#define HT_MATRIX_B coopmat<HT_ELEMENT, gl_ScopeSubgroup, TK, TN, gl_MatrixUseB>
#define HT_MATRIX_SUM coopmat<HT_SUM, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator>
#define HT_MATRIX_F32 coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator>

#endif
