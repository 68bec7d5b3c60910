// Clips in a build without libavcodec: every request is refused.
#include "video.h"

#include <stdio.h>

bool ht_video_check(const char *path, const char *codec, char *why, size_t why_bytes) {
    (void)codec;
    snprintf(why, why_bytes,
             "'%s': this program was built without libavcodec (packages libavcodec-dev, "
             "libavformat-dev, libswscale-dev); clips can be written as pictures (%%04d.png)",
             path);
    return false;
}

bool ht_video_encode(const char *path, const ht_image *frames, size_t count,
                     const ht_video_desc *desc, ht_bytes *out, char *why, size_t why_bytes) {
    (void)frames;
    (void)count;
    *out = (ht_bytes){0};
    return ht_video_check(path, desc->codec, why, why_bytes);
}

bool ht_video_decode(const char *path, uint64_t max_bytes, bool (*go_on)(void *user), void *user,
                     ht_video_clip *out, char *why, size_t why_bytes) {
    (void)max_bytes;
    (void)go_on;
    (void)user;
    *out = (ht_video_clip){.count = 0};
    snprintf(why, why_bytes,
             "'%s' cannot be played here: this program was built without libavcodec", path);
    return false;
}
