// Decoding a clip for a player: through the demuxer of its ending and the decoder, to RGB.
#include "video.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_EDGE = 16384, MAX_DIVISOR = 4 };

typedef struct reader {
    const char *path;
    AVFormatContext *input;
    AVCodecContext *decoder;
    AVFrame *frame;
    AVPacket *packet;
    struct SwsContext *scaler;
    int stream, divisor;
    uint64_t bytes, max_bytes;
    size_t room;
    ht_video_clip clip;
    char *why;
    size_t why_bytes;
} reader;

static bool refuse(reader *r, const char *what) {
    snprintf(r->why, r->why_bytes, "'%s' cannot be played here: %s", r->path, what);
    return false;
}

// The ending says what it is, so that nothing else is guessed from what it holds, playlists of other
// places among it.
static bool open_input(reader *r) {
    static const char *const rows[][2] = {{".mp4", "mov"}, {".webm", "matroska"}, {".gif", "gif"}};
    const char *ending = strrchr(r->path, '.');
    const AVInputFormat *format = NULL;
    for (size_t i = 0; ending && i < sizeof(rows) / sizeof(*rows); ++i) {
        format = strcasecmp(ending, rows[i][0]) == 0 ? av_find_input_format(rows[i][1]) : format;
    }
    if (!format) {
        return refuse(r, "libavformat has no reader of this kind");
    }
    const size_t bytes = strlen(r->path) + sizeof("file:");
    char *url = malloc(bytes);
    AVDictionary *options = NULL;
    av_dict_set(&options, "protocol_whitelist", "file", 0);
    if (url) {
        snprintf(url, bytes, "file:%s", r->path);
    }
    const int error = url ? avformat_open_input(&r->input, url, format, &options) : AVERROR(ENOMEM);
    av_dict_free(&options);
    free(url);
    if (error < 0 || avformat_find_stream_info(r->input, NULL) < 0) {
        return refuse(r, "it is damaged, or another kind of file than its name says");
    }
    return true;
}

// Estimated from the container's words; the frames themselves are counted when they come.
static int choose_divisor(const reader *r, double seconds, double fps) {
    const double pixels = (double)r->decoder->width * r->decoder->height;
    const double frames = seconds > 0 ? ceil(seconds * fps) : 1;
    int divisor = 1;
    while (divisor < MAX_DIVISOR &&
           pixels * 3 * frames / (divisor * divisor) > (double)r->max_bytes) {
        ++divisor;
    }
    return divisor;
}

static bool open_decoder(reader *r) {
    r->stream = av_find_best_stream(r->input, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    if (r->stream < 0) {
        return refuse(r, "it holds no pictures");
    }
    const AVStream *stream = r->input->streams[r->stream];
    const AVCodec *codec = avcodec_find_decoder(stream->codecpar->codec_id);
    r->decoder = codec ? avcodec_alloc_context3(codec) : NULL;
    r->frame = av_frame_alloc();
    r->packet = av_packet_alloc();
    if (!r->decoder || !r->frame || !r->packet ||
        avcodec_parameters_to_context(r->decoder, stream->codecpar) < 0 ||
        avcodec_open2(r->decoder, codec, NULL) < 0) {
        return refuse(r, "libavcodec has no decoder for it");
    }
    if (r->decoder->width < 1 || r->decoder->height < 1 || r->decoder->width > MAX_EDGE ||
        r->decoder->height > MAX_EDGE) {
        return refuse(r, "its pictures have no size that could be shown");
    }
    const double fps = av_q2d(stream->avg_frame_rate);
    r->clip.fps = isfinite(fps) && fps >= 1 && fps <= 240 ? fps : 16;
    r->divisor = choose_divisor(r, (double)r->input->duration / AV_TIME_BASE, r->clip.fps);
    return true;
}

static bool keep_frame(reader *r) {
    const int width = (r->decoder->width + r->divisor - 1) / r->divisor;
    const int height = (r->decoder->height + r->divisor - 1) / r->divisor;
    const size_t bytes = (size_t)width * (size_t)height * 3;
    r->bytes += bytes;
    if (r->bytes > r->max_bytes) {
        return refuse(r, "it is too long; another program can play it");
    }
    if (r->clip.count == r->room) {
        const size_t room = r->room ? 2 * r->room : 64;
        ht_image *frames = realloc(r->clip.frames, room * sizeof(*frames));
        if (!frames) {
            return refuse(r, "memory is short");
        }
        r->clip.frames = frames;
        r->room = room;
    }
    r->scaler = sws_getCachedContext(
        r->scaler, r->frame->width, r->frame->height, r->frame->format, width, height,
        AV_PIX_FMT_RGB24, SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT, NULL, NULL, NULL);
    if (r->scaler) { // as the clip says, else as most are
        const int matrix =
            r->frame->colorspace == AVCOL_SPC_UNSPECIFIED ? SWS_CS_ITU709 : r->frame->colorspace;
        const int *coefficients = sws_getCoefficients(matrix);
        sws_setColorspaceDetails(r->scaler, coefficients, r->frame->color_range == AVCOL_RANGE_JPEG,
                                 coefficients, 1, 0, 1 << 16, 1 << 16);
    }
    // The scaler writes a little more than a row.
    uint8_t *rgb = r->scaler ? malloc(bytes + 64) : NULL;
    if (!rgb) {
        return refuse(r, "memory is short");
    }
    uint8_t *planes[4] = {rgb};
    const int strides[4] = {width * 3};
    sws_scale(r->scaler, (const uint8_t *const *)r->frame->data, r->frame->linesize, 0,
              r->frame->height, planes, strides);
    r->clip.frames[r->clip.count++] = (ht_image){(uint32_t)width, (uint32_t)height, rgb};
    return true;
}

// A packet, or NULL at the end. What cannot be decoded is passed over, as players do.
static bool decode(reader *r, const AVPacket *packet) {
    bool good = true;
    if (avcodec_send_packet(r->decoder, packet) < 0) {
        return true;
    }
    while (good && avcodec_receive_frame(r->decoder, r->frame) == 0) {
        good = keep_frame(r);
        av_frame_unref(r->frame);
    }
    return good;
}

static bool read_all(reader *r, bool (*go_on)(void *user), void *user) {
    bool good = true;
    while (good && av_read_frame(r->input, r->packet) >= 0) {
        if (go_on && !go_on(user)) {
            good = refuse(r, "stopped");
        } else if (r->packet->stream_index == r->stream) {
            good = decode(r, r->packet);
        }
        av_packet_unref(r->packet);
    }
    good = good && decode(r, NULL);
    return good && (r->clip.count > 0 || refuse(r, "it holds no pictures"));
}

bool ht_video_decode(const char *path, uint64_t max_bytes, bool (*go_on)(void *user), void *user,
                     ht_video_clip *out, char *why, size_t why_bytes) {
    reader r = {.path = path, .max_bytes = max_bytes, .why = why, .why_bytes = why_bytes};
    const int level = av_log_get_level();
    av_log_set_level(AV_LOG_QUIET);
    const bool good = open_input(&r) && open_decoder(&r) && read_all(&r, go_on, user);
    av_log_set_level(level);
    sws_freeContext(r.scaler);
    av_packet_free(&r.packet);
    av_frame_free(&r.frame);
    avcodec_free_context(&r.decoder);
    avformat_close_input(&r.input);
    if (!good) {
        ht_video_clip_free(&r.clip);
    }
    *out = r.clip;
    return good;
}
