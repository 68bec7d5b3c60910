// The ceilings of a device, measured: what kernels are compared with.
#ifndef HALFTONE_BENCH_H
#define HALFTONE_BENCH_H

#include <halftone/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ht_bench_ceilings {
    double copy_bytes_per_s; // a copy of buffers larger than the caches, read and written bytes
    double f32_flops_per_s;  // multiplies and adds between registers, nothing else
} ht_bench_ceilings;

// Best of a few runs; takes about a second on a CPU and 192 MiB of device memory.
HT_API ht_status ht_bench_measure(ht_context *context, ht_bench_ceilings *ceilings);

#ifdef __cplusplus
}
#endif
#endif
