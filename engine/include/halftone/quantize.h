// A float checkpoint into a file with packed tensors, layer by layer: host memory stays within a few
// MiB however large the checkpoint is. Works on a host_only context. docs/checkpoint.md describes
// the file; opened again, its tensors are used as they are.
#ifndef HALFTONE_QUANTIZE_H
#define HALFTONE_QUANTIZE_H

#include <halftone/weights.h>

#ifdef __cplusplus
extern "C" {
#endif

// One tensor that was written.
typedef struct ht_quantized {
    const char *name;      // of the tensor
    ht_format format;      // packed, or NONE: copied as it was
    uint64_t from, bytes;  // in the checkpoint, and now with its scales
    double sqnr_db;        // signal to quantization noise; infinite when nothing was lost
    ht_format salient;     // of columns kept apart, or NONE
    uint32_t n_salient;
    uint64_t salient_bytes; // of `bytes`
    uint32_t index, count; // this one of so many
} ht_quantized;

// A layer to be packed by the caller.
typedef struct ht_quantize_layer {
    const char *name;    // without ".weight"
    ht_tensor_desc desc; // as on the device: [N, K], or [O, kh, kw, I] of a convolution
    const float *values; // of desc
    // Where columns are kept apart: the layer has but these of its K inputs; NULL: all. It comes twice
    // then, first with the others, then with the salient ones.
    const uint32_t *columns;
    uint32_t n_inputs; // K
    bool salient;
    const float *whole; // all its values, [N, taps, K]
    const float *lost;  // what packing the others has changed in them; 0 elsewhere
    void *packed;        // to be filled: ht_desc_bytes(&desc)
    uint32_t rank;       // of the branch beside it; 0: none
    float *up, *down;    // to be filled: [N, rank], [rank, K] or [rank, kh, kw, I]
} ht_quantize_layer;

// A vector of floats that is written beside the checkpoint's tensors.
typedef struct ht_quantize_extra {
    const char *name;
    const float *values;
    uint32_t count;
} ht_quantize_extra;

// Inputs of a layer (of a convolution its channels) that are kept apart in a format of their own: those
// in which the layer's format would lose most.
typedef struct ht_quantize_salient {
    ht_format format; // packed, or NONE: there are none
    uint32_t count;   // 1..K-1; other numbers are none too
    const float *energy; // [K] mean squares of the inputs, by which losses are weighted; NULL: 1. Used
                         // until the next call.
} ht_quantize_salient;

typedef struct ht_quantize_desc {
    const char *path;   // the file to be made
    bool replace;       // when it is there
    const char *recipe; // kept in the file under "halftone.recipe"; NULL: nothing
    const char *activations; // the same under "halftone.activations": a table of static scales
    const char *attention;   // the same under "halftone.attention": orders and masses of blocks
    const ht_quantize_extra *extra; // [n_extra]
    uint32_t n_extra;
    // Of the layers' formats take the one with the least squared error among those of equal bits,
    // groups and scales.
    bool search;
    // Packed format of a matrix [N, K] or convolution [O, I, kh, kw] called LAYER.weight, or NONE.
    ht_format (*format)(void *user, const char *layer);
    // Packs a layer by a rule of its own; NULL, or *done left false: scales are searched, codes are the
    // nearest.
    ht_status (*pack)(void *user, const ht_quantize_layer *layer, bool *done);
    // Rank of the low-rank branch that `pack` makes for a layer, y += up (down x), kept as half
    // floats; NULL: none.
    uint32_t (*rank)(void *user, const char *layer, const ht_tensor_desc *desc);
    // Columns to keep apart; comes in as none, and is asked for twice. NULL: none.
    void (*salient)(void *user, const char *layer, const ht_tensor_desc *desc,
                    ht_quantize_salient *out);
    // Factors of a tensor before anything else is done with it: of its inputs (a convolution's
    // channels) and of its outputs (a vector's values). Both come in as NULL, 1 everywhere.
    void (*factors)(void *user, const char *tensor, const float **inputs, const float **outputs);
    // After each tensor; false stops with HT_ERR_CANCELLED. May be NULL.
    bool (*done)(void *user, const ht_quantized *tensor);
    void *user;
} ht_quantize_desc;

// Nothing is left under desc->path when it fails. Refused: NaN and infinity in a tensor that is to
// be packed, and checkpoints that are packed already.
HT_API ht_status ht_weights_quantize(ht_weights *weights, const ht_quantize_desc *desc);

#ifdef __cplusplus
}
#endif
#endif
