// The ceilings of a device, measured: what kernels are compared with.
#ifndef HALFTONE_BENCH_H
#define HALFTONE_BENCH_H

#include <halftone/context.h>
#include <halftone/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

// What multiplies.
typedef enum ht_bench_unit {
    HT_BENCH_F32,
    HT_BENCH_DOT,        // the integer dot product of four bytes
    HT_BENCH_MATRIX_F16, // cooperative matrices
    HT_BENCH_MATRIX_S8,
    HT_BENCH_MATRIX_E4M3,
    HT_BENCH_UNITS,
} ht_bench_unit;
HT_API const char *ht_bench_unit_name(ht_bench_unit unit); // "f32", "dot", "matrix f16", ..

typedef struct ht_bench_ceilings {
    double copy_bytes_per_s; // a copy of buffers larger than the caches, read and written bytes
    // Multiplies and adds between registers, nothing else; 0: the device has none of these units.
    double ops_per_s[HT_BENCH_UNITS];
} ht_bench_ceilings;

// Best of a few runs; takes about a second on a CPU and 192 MiB of device memory.
HT_API ht_status ht_bench_measure(ht_context *context, ht_bench_ceilings *ceilings);

// The unit that linear or conv2d takes in this context for these formats of x and w, with `rows` rows
// of the result and `depth` values along k: what its rate is to be compared with.
HT_API ht_bench_unit ht_bench_unit_of(ht_context *context, ht_format x, ht_format w, uint32_t rows,
                                      uint32_t depth);

#ifdef __cplusplus
}
#endif
#endif
