// Push constants of the bench kernels.
#ifndef BENCH_SHARED_H
#define BENCH_SHARED_H

#include "ht_shared.h"

// Operations of bench_peak and bench_dot per invocation and round: 16 independent chains, 8 multiply-adds each.
#define HT_BENCH_CHAINS 16
#define HT_BENCH_STEPS 8
// Sums of bench_matrix per subgroup.
#define HT_BENCH_MATRICES 8

HT_PUSH(bench) {
    HT_ADDRESS from;
    HT_ADDRESS to;
    HT_UINT count;  // bench_copy: invocations with 16 bytes each
    HT_UINT rounds; // of the others
    HT_FLOAT factor, addend;
}
HT_PUSH_END(bench);

#endif
