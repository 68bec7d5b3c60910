// Checkpoints: memory-mapped safetensors, single or sharded, and GGUF. Every file is treated as
// hostile: the table of tensors is validated whole before anything of its claimed size is touched.
#ifndef HALFTONE_WEIGHTS_H
#define HALFTONE_WEIGHTS_H

#include <halftone/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ht_weights ht_weights;

typedef struct ht_weights_desc {
    // A .safetensors or GGUF file, a .safetensors.index.json, or a folder that holds one of
    // diffusion_pytorch_model.* / model.* (with .safetensors or .safetensors.index.json).
    const char *path;
    // Format of matrices, convolutions and embedding tables on the device. HT_FORMAT_NONE keeps
    // the file's. Vectors are always f32 there.
    ht_format format;
} ht_weights_desc;

// One tensor of the file, borrowed until ht_weights_destroy.
typedef struct ht_weight_info {
    const char *name;
    // Shape, and format: NONE when the file's dtype is one we do not compute with, a packed format
    // when the file has the tensor packed.
    ht_tensor_desc desc;
    const char *dtype;  // as the file says, e.g. "F16"; of packed tensors the format's name
    const void *data;   // mapped bytes, any alignment; of packed tensors the codes
    uint64_t bytes;     // in the file, with scales
    const char *file;   // path of the file that holds it
    const char *source; // its name in the file when a view renamed it, else NULL
    uint32_t stack_rank; // of residual stacks; else 0
} ht_weight_info;

HT_API ht_status ht_weights_open(ht_context *context, const ht_weights_desc *desc,
                                 ht_weights **out);
// Unmaps the files and frees what was uploaded from them. Graphs made with them must be gone.
HT_API void ht_weights_destroy(ht_weights **weights);

HT_API size_t ht_weights_count(const ht_weights *weights);
HT_API const ht_weight_info *ht_weights_get(const ht_weights *weights, size_t index);
// NULL when there is none; not a failure.
HT_API const ht_weight_info *ht_weights_find(const ht_weights *weights, const char *name);
HT_API const char *ht_weights_path(const ht_weights *weights);
// Value of a __metadata__ key of the (first) file, or NULL.
HT_API const char *ht_weights_metadata(const ht_weights *weights, const char *key);

// A tensor under another name: whole, one of `parts` equal parts of its first dimension (the
// queries, keys and values that some files stack), or, of rank 2, transposed.
typedef struct ht_weight_view {
    const char *name, *source; // here and in the file; copied
    uint32_t part, parts;      // 0, 0: whole
    bool transposed;           // copied to the host's memory
} ht_weight_view;

// From now on the weights have these tensors and no others. Before anything is uploaded, and once.
HT_API ht_status ht_weights_view(ht_weights *weights, const ht_weight_view *views, size_t count);

// From now on, matrices and convolutions stay in the file (those that the device cannot read there): each
// graph copies them to the device while it runs, piece by piece, into one of two buffers of bytes / 2
// while it computes with the other. Tensors that are larger are uploaded as ever. Before any graph is
// made with them.
HT_API ht_status ht_weights_stream(ht_weights *weights, uint64_t bytes);

// Residual stacks (format `stack`): from now on as many blocks are on the device, in the order of the
// file, as `bytes` have room for beside all else that the weights hold there. Called again, it copies
// or frees the difference alone, and graphs made before go on with what is there. Without it all are.
// Refused: fewer bytes than every layer's first block needs. No graph may be running.
HT_API ht_status ht_weights_budget(ht_weights *weights, uint64_t bytes);

typedef struct ht_stack_state {
    uint32_t blocks, loaded;   // of the file; on the device
    uint64_t bytes;            // of those on the device
    uint64_t read;             // bytes of blocks copied from the file since it was opened
    uint64_t least, most;      // budgets: every layer's first block; all blocks
} ht_stack_state;
// Zeros where no weight is a stack.
HT_API ht_status ht_weights_stack_state(ht_weights *weights, ht_stack_state *out);

// LAYER of a tensor called LAYER.weight into `layer`; false for other names and too long ones.
HT_API bool ht_weight_layer(const char *name, char *layer, size_t bytes);

// Under this key gen-quantize keeps the recipe of a packed file, as JSON text.
#define HT_WEIGHTS_RECIPE_KEY "halftone.recipe"

// Behind the name of a layer that reads the text: what it gives for a token that is the same in every
// text, [N] f32. The token itself, [K].
#define HT_FIRST_TOKEN ".first_token"
#define HT_FIRST_TOKEN_TEXT "text.first_token"

// Behind a layer's name: the factors of the low-rank branch beside its packed weight, y += up (down x).
#define HT_LOW_RANK_DOWN ".low_rank.down" // [R, K], or of a convolution [R, I, kh, kw]
#define HT_LOW_RANK_UP ".low_rank.up"     // [N, R]

// A layer some of whose inputs, the salient ones, are kept apart in a better format: in place of ".weight".
#define HT_SALIENT_WEIGHT ".salient.weight"   // [N, S], or of a convolution [O, S, kh, kw]
#define HT_SALIENT_REST ".rest.weight"        // the same of the K - S others
#define HT_SALIENT_COLUMNS ".salient.columns" // U8 [K / 8, up]: bit k % 8 of byte k / 8 is 1 for a salient one

// Bytes on the device by now, and how many of them are the mapped file itself (zero copy).
HT_API void ht_weights_device_bytes(const ht_weights *weights, uint64_t *total, uint64_t *imported);
// Those of one format, scales included.
HT_API uint64_t ht_weights_format_bytes(const ht_weights *weights, ht_format format);

// How a weight lies on the device.
typedef enum ht_weight_layout {
    HT_WEIGHT_MATRIX, // [N, K] as in the file, desc.format; a [N, K, 1, 1] file tensor is accepted
    HT_WEIGHT_CONV,   // file [O, I, kh, kw] -> device [O, kh, kw, I], desc.format
    HT_WEIGHT_TABLE,  // rows to be gathered, [rows, width], desc.format
    HT_WEIGHT_VECTOR, // any shape, always f32
    // One moment of a convolution over time: file [O, I, kt, kh, kw] -> device [O, kh, kw, I] of
    // time 0, 1 or 2 (below kt), desc.format
    HT_WEIGHT_TIME_0,
    HT_WEIGHT_TIME_1,
    HT_WEIGHT_TIME_2,
} ht_weight_layout;

// Read a small tensor to the host as f32 (count values must match its size).
HT_API ht_status ht_weights_read_f32(ht_weights *weights, const char *name, float *values,
                                     size_t count);

#ifdef __cplusplus
}
#endif
#endif
