// Clips in memory: mp4, webm, gif and animated webp through libavcodec and libavformat.
#ifndef HT_APP_VIDEO_H
#define HT_APP_VIDEO_H

#include "png.h"

typedef struct ht_video_desc {
    double fps; // 1 to 240
    int crf;    // constant rate factor: lower is better and larger; negative: the codec's usual
    const char *codec;        // "h264", "vp9", "av1", ..; NULL: the container's usual
    const ht_png_text *texts; // into the container's metadata, where it has such; keys as
    size_t n_texts;           // libavformat knows them: "comment", "description", ..
} ht_video_desc;

// Does the name end like one of a clip? Whatever the case.
bool ht_video_is(const char *path);
// Could a clip of that name be written: its ending, and the codec (NULL: the usual) with an encoder
// for it in the libavcodec that is there? The sentence in `why` names those that are.
bool ht_video_check(const char *path, const char *codec, char *why, size_t why_bytes);

// Encode frames of one size for a file of that name. On success *out is the caller's to free(); else
// false and the sentence in `why`.
bool ht_video_encode(const char *path, const ht_image *frames, size_t count,
                     const ht_video_desc *desc, ht_bytes *out, char *why, size_t why_bytes);

// A clip as pictures, to be played.
typedef struct ht_video_clip {
    ht_image *frames; // of one size
    size_t count;
    double fps;
} ht_video_clip;
// Decode a file of that ending; so that all frames take at most so many bytes they are made smaller, down to
// a quarter of each edge. `go_on` (or NULL) is asked now and then; false stops. On success to be freed; else
// false and the sentence in `why`. Moving WebP cannot be read.
bool ht_video_decode(const char *path, uint64_t max_bytes, bool (*go_on)(void *user), void *user,
                     ht_video_clip *out, char *why, size_t why_bytes);
void ht_video_clip_free(ht_video_clip *clip);

// Endings that can be written, e.g. ".mp4, .webm, .gif, .webp".
const char *ht_video_endings(void);

#endif
