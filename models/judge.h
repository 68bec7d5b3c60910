// The judge: a small network that reads a scene (layout, ground, sky, shapes and colours) off a picture,
// or off some frames of a clip. Convolutions make cells of it; these are read by a hidden layer, or, where
// the file says "layers", by a transformer with tokens of its own beside them, each of which some of the
// attributes are read from. It scores pictures; nothing is generated with it.
#ifndef HALFTONE_MODELS_JUDGE_H
#define HALFTONE_MODELS_JUDGE_H

#include <halftone/ops.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    HT_JUDGE_MAX_CONVS = 16,
    HT_JUDGE_MAX_HEADS = 16,
    HT_JUDGE_MAX_CLASSES = 16,
    HT_JUDGE_NAME = 24,
    HT_JUDGE_MAX_FRAMES = 16,
    HT_JUDGE_EDGE = 128, // pixels of the pictures it knows, unless its file says others
};

typedef struct ht_judge_conv {
    uint32_t in, out, stride;
} ht_judge_conv;

// An attribute and its classes, one output each.
typedef struct ht_judge_head {
    char name[HT_JUDGE_NAME];
    uint32_t count, first; // classes, and the index of the first in the list of all outputs
    uint32_t token;        // that it is read from, where there is a transformer
    bool judged;           // read with confidence; the others are reported by nobody
    char classes[HT_JUDGE_MAX_CLASSES][HT_JUDGE_NAME];
} ht_judge_head;

typedef struct ht_judge_config {
    uint32_t convs, groups, heads;
    uint32_t outputs; // classes of all heads together
    uint32_t hidden;  // width of the layer before the heads; 0 until ht_judge_config_weights
    uint32_t layers, attention_heads; // of the transformer; 0 layers: a hidden layer instead
    uint32_t tokens;                  // of its own
    uint32_t edge;    // pixels
    uint32_t frames, frame[HT_JUDGE_MAX_FRAMES]; // of a clip, that it looks at; 0: of a picture
    ht_judge_conv conv[HT_JUDGE_MAX_CONVS];
    ht_judge_head head[HT_JUDGE_MAX_HEADS];
} ht_judge_config;

// Channels of what it is shown: three of a picture, or of each frame.
HT_API uint32_t ht_judge_channels(const ht_judge_config *config);

// Read the .json beside the weights. HT_ERR_IO with file and key when it cannot be one.
HT_API ht_status ht_judge_config_read(ht_context *context, const char *path, ht_judge_config *out);
// What only the weights know: the width of the hidden layer, or of the transformer's.
HT_API ht_status ht_judge_config_weights(ht_context *context, const ht_weights *weights,
                                         ht_judge_config *config);
// Head of that name, or NULL; class of that name, or UINT32_MAX.
HT_API const ht_judge_head *ht_judge_find(const ht_judge_config *config, const char *name);
HT_API uint32_t ht_judge_class(const ht_judge_head *head, const char *name);

// picture [B, edge, edge, channels] in -1..1 -> logits [B, outputs], the heads one after another.
HT_API ht_value ht_judge_logits(ht_graph *graph, const ht_judge_config *config, ht_weights *weights,
                                ht_value picture);

#ifdef __cplusplus
}
#endif
#endif
