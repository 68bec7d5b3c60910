// Compiles where the compiler knows the extensions of the kernels in this folder.
#version 460
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_float_e4m3 : require

layout(local_size_x = 32) in;

shared floate4m3_t values[256];

void main() {
    coopmat<floate4m3_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA> a;
    coopMatLoad(a, values, 0, 16, gl_CooperativeMatrixLayoutRowMajor);
    coopMatStore(a, values, 0, 16, gl_CooperativeMatrixLayoutRowMajor);
}
