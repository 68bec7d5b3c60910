// The table of containers and codecs.
#include "video_codecs.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const ht_video_codec codecs[] = {
    {"h264",
     HT_VIDEO_YUV420,
     {{"libx264", "crf", 14, true, {{"preset", "slow"}}},
      {"libopenh264", NULL, 0, true, {{"allow_skip_frames", "0"}}}}},
    {"vp9",
     HT_VIDEO_YUV420,
     {{"libvpx-vp9", "crf", 15, false, {{"deadline", "good"}, {"cpu-used", "2"}}}}},
    {"av1",
     HT_VIDEO_YUV420,
     {{"libaom-av1", "crf", 15, false, {{"cpu-used", "6"}, {"row-mt", "1"}}},
      {"libsvtav1", "crf", 18, true, {{"preset", "6"}}}}},
    {"gif", HT_VIDEO_PALETTE, {{"gif", NULL, 0, false, {{NULL, NULL}}}}},
    {"webp", HT_VIDEO_YUV420_601, {{"libwebp_anim", "quality", 92, false, {{"loop", "0"}}}}},
};

static const ht_video_container containers[] = {
    {"mp4", "mp4", {"h264", "av1", "vp9"}, {{"movflags", "+faststart"}}},
    {"webm", "webm", {"vp9", "av1"}, {{NULL, NULL}}},
    {"gif", "gif", {"gif"}, {{"loop", "0"}}},
    {"webp", "webp", {"webp"}, {{"loop", "0"}}},
};

const char *ht_video_endings(void) {
    return ".mp4, .webm, .gif, .webp";
}

const ht_video_container *ht_video_container_of(const char *path) {
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    for (size_t i = 0; dot && i < sizeof(containers) / sizeof(*containers); ++i) {
        if (strcasecmp(dot + 1, containers[i].ending) == 0) {
            return &containers[i];
        }
    }
    return NULL;
}

static const ht_video_codec *find_codec(const char *name) {
    for (size_t i = 0; i < sizeof(codecs) / sizeof(*codecs); ++i) {
        if (strcmp(codecs[i].name, name) == 0) {
            return &codecs[i];
        }
    }
    return NULL;
}

const ht_video_codec *ht_video_codec_of(const ht_video_container *container, const char *name) {
    for (uint32_t i = 0; i < 4 && container->codecs[i]; ++i) {
        if (!name || strcmp(container->codecs[i], name) == 0) {
            return find_codec(container->codecs[i]);
        }
    }
    return NULL;
}

bool ht_video_is(const char *path) {
    return ht_video_container_of(path) != NULL;
}

void ht_video_clip_free(ht_video_clip *clip) {
    for (size_t i = 0; i < clip->count; ++i) {
        free(clip->frames[i].rgb);
    }
    free(clip->frames);
    *clip = (ht_video_clip){.count = 0};
}
