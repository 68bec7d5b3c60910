// The integer dot product, by its SPIR-V: Debian 12's compiler does not know it by name.
#ifndef HT_DOT_GLSL
#define HT_DOT_GLSL

#extension GL_EXT_spirv_intrinsics : require

// OpSDot with PackedVectorFormat4x8Bit.
spirv_instruction(capabilities = [6019, 6018], id = 4450)
int ht_dot(int a, int b, spirv_literal int packed_format);

#endif
