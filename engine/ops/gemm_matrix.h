// The choices that gemm_matrix.comp is specialized with.
#ifndef HT_OP_GEMM_MATRIX_H
#define HT_OP_GEMM_MATRIX_H

#include "formats.h"
#include "gemm.h"

typedef struct ht_gemm_matrix {
    ht_vk_element element;
    ht_vk_kernel kernel;
    ht_vk_matrix shape;
    uint32_t tile; // results a side of a workgroup, of 2 * tile invocations
    uint32_t subgroups_m, subgroups_n;
    uint32_t fetches; // 32 values of k each that pass through shared memory at a time
} ht_gemm_matrix;

// False where cooperative matrices do not do: another tier, or no shape for these formats.
bool ht_op_cut_gemm_matrix(const ht_op_call *call, const ht_push_gemm *push, ht_gemm_matrix *cut);

// Does gemm_dot_tiles.comp multiply these formats?
bool ht_op_use_dot_kernel(const ht_op_call *call);
// Are the codes, or twice the codes, integers of a byte?
bool ht_op_has_integer_codes(const ht_fmt_row *row);

#endif
