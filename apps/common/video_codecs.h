// Which containers and codecs clips have, and by which encoders of libavcodec they are made.
#ifndef HT_APP_VIDEO_CODECS_H
#define HT_APP_VIDEO_CODECS_H

#include "video.h"

enum { HT_VIDEO_ENCODERS = 4, HT_VIDEO_OPTIONS = 4 };

typedef struct ht_video_option {
    const char *key, *value;
} ht_video_option;

// An encoder and the options of its own that we set.
typedef struct ht_video_encoder {
    const char *name;    // as libavcodec has it
    const char *quality; // name of the option for the rate factor; NULL: none
    int usual;           // rate factor unless one is given
    bool even;           // takes even sizes only
    ht_video_option options[HT_VIDEO_OPTIONS];
} ht_video_encoder;

typedef enum ht_video_pixels {
    HT_VIDEO_YUV420,     // BT.709, limited range
    HT_VIDEO_YUV420_601, // BT.601, limited range: what WebP means by YUV
    HT_VIDEO_PALETTE,
} ht_video_pixels;

typedef struct ht_video_codec {
    const char *name;
    ht_video_pixels pixels;
    ht_video_encoder encoders[HT_VIDEO_ENCODERS]; // the first that is there is used
} ht_video_codec;

typedef struct ht_video_container {
    const char *ending, *muxer;
    const char *codecs[4]; // names; the first is the usual
    ht_video_option options[2];
} ht_video_container;

// By the ending of a name, or NULL.
const ht_video_container *ht_video_container_of(const char *path);
// By its name among the container's, or its usual one; NULL when it has no such.
const ht_video_codec *ht_video_codec_of(const ht_video_container *container, const char *name);
// The same encoding with a codec described by the caller.
bool ht_video_encode_as(const ht_video_container *container, const ht_video_codec *codec,
                        const ht_image *frames, size_t count, const ht_video_desc *desc,
                        ht_bytes *out, char *why, size_t why_bytes);

// 256 colours for all frames: by cutting the box of colours with the largest spread at its mean,
// again and again (Wu 1992 in outline). `palette` is 0xAARRGGBB; `map` [32768] gives the entry for
// the upper five bits of r, g and b.
bool ht_video_palette(const ht_image *frames, size_t count, uint32_t palette[256], uint8_t *map);
// The nearest entry of a colour; `map` says where to begin.
uint8_t ht_video_palette_find(const uint32_t palette[256], const uint8_t *map,
                              const uint8_t rgb[3]);

#endif
