// The callbacks of libavformat over a growing block of memory.
#include "video_memory.h"

#include <stdlib.h>
#include <string.h>

enum { BUFFER_BYTES = 1 << 16 };

// One open view of the memory.
typedef struct cursor {
    ht_video_memory *memory;
    size_t at;
} cursor;

#if LIBAVFORMAT_VERSION_MAJOR >= 61
typedef const uint8_t *given_bytes;
#else
typedef uint8_t *given_bytes;
#endif

static int write_bytes(void *opaque, given_bytes data, int count) {
    cursor *c = opaque;
    ht_video_memory *m = c->memory;
    size_t end = c->at + (size_t)count;
    if (end > m->capacity) {
        size_t capacity = end > 2 * m->capacity ? end : 2 * m->capacity;
        uint8_t *larger = realloc(m->bytes.data, capacity);
        if (!larger) {
            return AVERROR(ENOMEM);
        }
        memset(larger + m->capacity, 0, capacity - m->capacity);
        m->bytes.data = larger;
        m->capacity = capacity;
    }
    memcpy(m->bytes.data + c->at, data, (size_t)count);
    c->at = end;
    m->bytes.count = end > m->bytes.count ? end : m->bytes.count;
    return count;
}

static int read_bytes(void *opaque, uint8_t *data, int count) {
    cursor *c = opaque;
    size_t left = c->at < c->memory->bytes.count ? c->memory->bytes.count - c->at : 0;
    size_t now = (size_t)count < left ? (size_t)count : left;
    if (now == 0) {
        return AVERROR_EOF;
    }
    memcpy(data, c->memory->bytes.data + c->at, now);
    c->at += now;
    return (int)now;
}

static int64_t seek_to(void *opaque, int64_t offset, int whence) {
    cursor *c = opaque;
    int64_t size = (int64_t)c->memory->bytes.count;
    if (whence & AVSEEK_SIZE) {
        return size;
    }
    whence &= ~AVSEEK_FORCE;
    int64_t from = whence == SEEK_CUR ? (int64_t)c->at : whence == SEEK_END ? size : 0;
    if (from + offset < 0) {
        return AVERROR(EINVAL);
    }
    c->at = (size_t)(from + offset);
    return from + offset;
}

static AVIOContext *open_view(ht_video_memory *memory, bool writing) {
    cursor *c = malloc(sizeof(*c));
    uint8_t *buffer = av_malloc(BUFFER_BYTES);
    AVIOContext *io = NULL;
    if (c && buffer) {
        *c = (cursor){.memory = memory};
        io = avio_alloc_context(buffer, BUFFER_BYTES, writing, c, read_bytes,
                                writing ? write_bytes : NULL, seek_to);
    }
    if (!io) {
        av_free(buffer);
        free(c);
    }
    return io;
}

static int close_view(AVIOContext **io) {
    if (!*io) {
        return 0;
    }
    avio_flush(*io);
    int error = (*io)->error;
    free((*io)->opaque);
    av_freep(&(*io)->buffer);
    avio_context_free(io);
    return error;
}

static int open_again(AVFormatContext *muxer, AVIOContext **io, const char *url, int flags,
                      AVDictionary **options) {
    (void)url;
    (void)options;
    *io = open_view(muxer->opaque, (flags & AVIO_FLAG_WRITE) != 0);
    return *io ? 0 : AVERROR(ENOMEM);
}

static int close_again(AVFormatContext *muxer, AVIOContext *io) {
    (void)muxer;
    return close_view(&io);
}

bool ht_video_memory_attach(AVFormatContext *muxer, ht_video_memory *memory) {
    muxer->opaque = memory;
    muxer->io_open = open_again;
    muxer->io_close2 = close_again;
    muxer->pb = open_view(memory, true);
    return muxer->pb != NULL;
}

void ht_video_memory_detach(AVFormatContext *muxer) {
    close_view(&muxer->pb);
}
