// Which format each layer gets when all together may take so many bytes: a multiple-choice knapsack.
#ifndef HT_OPTIMIZE_ALLOCATE_H
#define HT_OPTIMIZE_ALLOCATE_H

#include <halftone/context.h>

// What a layer could get.
typedef struct ht_choice {
    double loss;    // what is lost with it, to be minimised; additive over layers
    uint64_t bytes; // of its weights, scales included
    double work;    // a second cost, e.g. bits of activations times their number
} ht_choice;

typedef struct ht_allocation_layer {
    const ht_choice *choices;
    uint32_t count; // >= 1
} ht_allocation_layer;

typedef struct ht_allocation {
    const ht_allocation_layer *layers;
    uint32_t count;
    uint64_t bytes; // at most
    double work;    // at most; infinite: any
} ht_allocation;

// The solution and its sums.
typedef struct ht_allocated {
    double loss, work;
    uint64_t bytes;
    double bound; // of the loss: no solution is better
} ht_allocated;

// The best choice of each layer, by GLPK's branch and cut, started from ht_allocate_greedy.
// HT_ERR_UNSUPPORTED with a sentence when even the smallest choices are beyond the budget.
ht_status ht_allocate(ht_context *context, const ht_allocation *problem, uint32_t *choices,
                      ht_allocated *out);
// Steps along each layer's convex hull by falling gain per byte; what BAQ's equal-slope rule is for
// choices that are few. Ignores `work`. False when nothing fits.
bool ht_allocate_greedy(ht_context *context, const ht_allocation *problem, uint32_t *choices);
// Bits of each layer by BAQ's closed form (Li et al. 2025): bits[l] = mean + log2(loss[l] /
// geometric mean) / 2, weighted by the sizes, clipped to [least, most], the rest shared anew. loss[l]
// is per weight at equal bits.
void ht_allocate_baq(const double *loss, const double *sizes, uint32_t count, double mean,
                     double least, double most, double *bits);

#endif
