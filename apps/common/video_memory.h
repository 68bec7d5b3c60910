// A file in memory that libavformat can write, seek in, and read again.
#ifndef HT_APP_VIDEO_MEMORY_H
#define HT_APP_VIDEO_MEMORY_H

#include "png.h"

#include <libavformat/avformat.h>

typedef struct ht_video_memory {
    ht_bytes bytes;
    size_t capacity;
} ht_video_memory;

// Give a muxer that has no file yet this one; the muxers that read what they wrote (to move the
// index of an mp4 to its front) are given it again. False when memory runs out.
bool ht_video_memory_attach(AVFormatContext *muxer, ht_video_memory *memory);
// The bytes stay the memory's.
void ht_video_memory_detach(AVFormatContext *muxer);

#endif
