// Encoding a clip: pictures to the codec's pixels, through the encoder, into the container.
#include "video_codecs.h"
#include "video_memory.h"

#include <libavcodec/avcodec.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Everything of one clip.
typedef struct writer {
    const ht_video_container *container;
    const ht_video_codec *codec;
    const ht_video_encoder *row;
    const ht_video_desc *desc;
    const ht_image *frames;
    size_t count;
    ht_video_memory memory;
    AVFormatContext *muxer;
    AVCodecContext *encoder;
    AVStream *stream;
    AVFrame *frame;
    AVPacket *packet;
    struct SwsContext *scaler;
    uint32_t palette[256];
    uint8_t *map;
    char *why;
    size_t why_bytes;
} writer;

static bool fail(writer *w, const char *what, int error) {
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    av_strerror(error, text, sizeof(text));
    snprintf(w->why, w->why_bytes, "no clip: %s: %s", what, text);
    return false;
}

// Of a codec: the first encoder that libavcodec has.
static const ht_video_encoder *find_encoder(const ht_video_codec *codec) {
    for (uint32_t i = 0; i < HT_VIDEO_ENCODERS && codec->encoders[i].name; ++i) {
        if (avcodec_find_encoder_by_name(codec->encoders[i].name)) {
            return &codec->encoders[i];
        }
    }
    return NULL;
}

static void append(char *text, size_t bytes, const char *more) {
    size_t used = strlen(text);
    snprintf(text + used, bytes - used, "%s%s", used ? ", " : "", more);
}

// What can be written with the encoders that are there: "mp4 (h264, av1), webm (vp9)".
static void list_possible(char *text, size_t bytes) {
    static const char *const names[] = {"x.mp4", "x.webm", "x.gif", "x.webp"};
    *text = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); ++i) {
        const ht_video_container *container = ht_video_container_of(names[i]);
        char codecs[64] = "", row[96];
        for (uint32_t k = 0; k < 4 && container->codecs[k]; ++k) {
            const ht_video_codec *codec = ht_video_codec_of(container, container->codecs[k]);
            if (find_encoder(codec)) {
                append(codecs, sizeof(codecs), codec->name);
            }
        }
        if (*codecs) {
            snprintf(row, sizeof(row), "%s (%s)", container->ending, codecs);
            append(text, bytes, row);
        }
    }
    append(text, bytes, "pictures (%04d.png)");
}

static bool choose_encoder(const ht_video_codec *codec, const ht_video_encoder **row, char *why,
                           size_t why_bytes) {
    char known[256], names[128] = "";
    *row = find_encoder(codec);
    if (!*row) {
        for (uint32_t i = 0; i < HT_VIDEO_ENCODERS && codec->encoders[i].name; ++i) {
            append(names, sizeof(names), codec->encoders[i].name);
        }
        list_possible(known, sizeof(known));
        snprintf(why, why_bytes,
                 "this libavcodec has no encoder for %s (%s); clips can be written as %s",
                 codec->name, names, known);
    }
    return *row != NULL;
}

bool ht_video_check(const char *path, const char *codec_name, char *why, size_t why_bytes) {
    const ht_video_container *container = ht_video_container_of(path);
    char known[256];
    list_possible(known, sizeof(known));
    if (!container) {
        snprintf(why, why_bytes, "'%s': clips can be written as %s", path, known);
        return false;
    }
    const ht_video_codec *codec = ht_video_codec_of(container, codec_name);
    if (!codec) {
        snprintf(why, why_bytes, "there is no codec '%s' for .%s; clips can be written as %s",
                 codec_name, container->ending, known);
        return false;
    }
    const ht_video_encoder *row;
    return choose_encoder(codec, &row, why, why_bytes);
}

// Width or height as the encoder takes it.
static int side(const writer *w, uint32_t pixels) {
    return (int)(w->row->even ? (pixels + 1) / 2 * 2 : pixels);
}

static enum AVPixelFormat pixel_format(const writer *w) {
    return w->codec->pixels == HT_VIDEO_PALETTE ? AV_PIX_FMT_PAL8 : AV_PIX_FMT_YUV420P;
}

// The pictures are sRGB: primaries and matrix of BT.709, values 16..235.
static void describe_colours(const writer *w, AVCodecContext *c) {
    if (w->codec->pixels == HT_VIDEO_YUV420) {
        c->color_range = AVCOL_RANGE_MPEG;
        c->color_primaries = AVCOL_PRI_BT709;
        c->color_trc = AVCOL_TRC_IEC61966_2_1;
        c->colorspace = AVCOL_SPC_BT709;
        c->chroma_sample_location = AVCHROMA_LOC_LEFT;
    }
}

static AVDictionary *encoder_options(const writer *w) {
    AVDictionary *options = NULL;
    for (int i = 0; i < HT_VIDEO_OPTIONS && w->row->options[i].key; ++i) {
        av_dict_set(&options, w->row->options[i].key, w->row->options[i].value, 0);
    }
    if (w->row->quality) {
        int crf = w->desc->crf;
        if (crf >= 0 && strcmp(w->row->quality, "quality") == 0) { // of 100, better is more
            crf = crf < 50 ? 100 - 2 * crf : 0;
        }
        av_dict_set_int(&options, w->row->quality, crf >= 0 ? crf : w->row->usual, 0);
    }
    return options;
}

static bool open_encoder(writer *w) {
    const AVCodec *codec = avcodec_find_encoder_by_name(w->row->name);
    AVCodecContext *c = w->encoder = avcodec_alloc_context3(codec);
    if (!c) {
        return fail(w, w->row->name, AVERROR(ENOMEM));
    }
    c->width = side(w, w->frames[0].width);
    c->height = side(w, w->frames[0].height);
    c->pix_fmt = pixel_format(w);
    c->framerate = av_d2q(w->desc->fps, 1001000);
    c->time_base = av_inv_q(c->framerate);
    c->bit_rate = 0;
    describe_colours(w, c);
    if (w->muxer->oformat->flags & AVFMT_GLOBALHEADER) {
        c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    }
    AVDictionary *options = encoder_options(w);
    int error = avcodec_open2(c, codec, &options);
    av_dict_free(&options);
    return error >= 0 || fail(w, w->row->name, error);
}

static bool open_container(writer *w) {
    int error = avformat_alloc_output_context2(&w->muxer, NULL, w->container->muxer, NULL);
    if (error < 0) {
        return fail(w, w->container->muxer, error);
    }
    w->muxer->flags |= AVFMT_FLAG_BITEXACT; // no date, no version: the same bytes every time
    w->stream = avformat_new_stream(w->muxer, NULL);
    if (!w->stream || !ht_video_memory_attach(w->muxer, &w->memory)) {
        return fail(w, w->container->muxer, AVERROR(ENOMEM));
    }
    return true;
}

static bool write_header(writer *w) {
    AVDictionary *options = NULL;
    avcodec_parameters_from_context(w->stream->codecpar, w->encoder);
    w->stream->time_base = w->encoder->time_base;
    w->stream->avg_frame_rate = w->encoder->framerate;
    for (size_t i = 0; i < w->desc->n_texts; ++i) {
        av_dict_set(&w->muxer->metadata, w->desc->texts[i].key, w->desc->texts[i].text, 0);
    }
    for (int i = 0; i < 2 && w->container->options[i].key; ++i) {
        av_dict_set(&options, w->container->options[i].key, w->container->options[i].value, 0);
    }
    int error = avformat_write_header(w->muxer, &options);
    av_dict_free(&options);
    return error >= 0 || fail(w, w->container->muxer, error);
}

static bool prepare_pixels(writer *w) {
    AVFrame *f = w->frame = av_frame_alloc();
    int width = w->encoder->width, height = w->encoder->height;
    w->packet = av_packet_alloc();
    if (!f || !w->packet) {
        return fail(w, "pictures", AVERROR(ENOMEM));
    }
    f->format = pixel_format(w);
    f->width = width;
    f->height = height;
    f->color_range = w->encoder->color_range;
    f->colorspace = w->encoder->colorspace;
    f->color_primaries = w->encoder->color_primaries;
    f->color_trc = w->encoder->color_trc;
    int error = av_frame_get_buffer(f, 0);
    if (error < 0) {
        return fail(w, "pictures", error);
    }
    if (w->codec->pixels == HT_VIDEO_PALETTE) {
        w->map = malloc(32768);
        return (w->map && ht_video_palette(w->frames, w->count, w->palette, w->map)) ||
               fail(w, "palette", AVERROR(ENOMEM));
    }
    w->scaler = sws_getContext(width, height, AV_PIX_FMT_RGB24, width, height, f->format,
                               SWS_BICUBIC | SWS_BITEXACT | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP |
                                   SWS_FULL_CHR_H_INT,
                               NULL, NULL, NULL);
    if (!w->scaler) {
        return fail(w, "pictures", AVERROR(EINVAL));
    }
    bool hd = w->codec->pixels == HT_VIDEO_YUV420;
    const int *matrix = sws_getCoefficients(hd ? SWS_CS_ITU709 : SWS_CS_ITU601);
    sws_setColorspaceDetails(w->scaler, matrix, 1, matrix, 0, 0, 1 << 16, 1 << 16);
    return true;
}

static void fill_palette_frame(writer *w, const ht_image *image) {
    memcpy(w->frame->data[1], w->palette, sizeof(w->palette));
    for (uint32_t y = 0; y < image->height; ++y) {
        uint8_t *row = w->frame->data[0] + (size_t)y * (size_t)w->frame->linesize[0];
        for (uint32_t x = 0; x < image->width; ++x) {
            const uint8_t *rgb = image->rgb + 3 * ((size_t)y * image->width + x);
            row[x] = ht_video_palette_find(w->palette, w->map, rgb);
        }
    }
}

// The picture with its last row and column again where the encoder needs even sizes. Rows end in
// zeros up to *stride, as libswscale reads beyond them.
static uint8_t *pad(const writer *w, const ht_image *image, size_t *stride) {
    uint32_t width = (uint32_t)w->frame->width, height = (uint32_t)w->frame->height;
    *stride = ((size_t)width * 3 + 127) / 64 * 64;
    uint8_t *out = calloc(height, *stride);
    for (uint32_t y = 0; out && y < height; ++y) {
        uint32_t from = y < image->height ? y : image->height - 1;
        const uint8_t *in = image->rgb + (size_t)from * image->width * 3;
        uint8_t *row = out + y * *stride;
        memcpy(row, in, (size_t)image->width * 3);
        if (width > image->width) {
            memcpy(row + (size_t)image->width * 3, in + (size_t)(image->width - 1) * 3, 3);
        }
    }
    return out;
}

static bool fill_frame(writer *w, const ht_image *image) {
    int error = av_frame_make_writable(w->frame);
    if (error < 0) {
        return fail(w, "pictures", error);
    }
    if (w->codec->pixels == HT_VIDEO_PALETTE) {
        fill_palette_frame(w, image);
        return true;
    }
    size_t stride;
    uint8_t *padded = pad(w, image, &stride);
    if (!padded) {
        return fail(w, "pictures", AVERROR(ENOMEM));
    }
    const uint8_t *planes[4] = {padded};
    const int strides[4] = {(int)stride};
    sws_scale(w->scaler, planes, strides, 0, w->frame->height, w->frame->data, w->frame->linesize);
    free(padded);
    return true;
}

// A frame, or NULL for the end, through the encoder; what it has ready into the container.
static bool encode(writer *w, AVFrame *frame) {
    int error = avcodec_send_frame(w->encoder, frame);
    while (error >= 0) {
        error = avcodec_receive_packet(w->encoder, w->packet);
        if (error < 0) {
            break;
        }
        if (w->packet->duration == 0) {
            w->packet->duration = 1;
        }
        av_packet_rescale_ts(w->packet, w->encoder->time_base, w->stream->time_base);
        w->packet->stream_index = w->stream->index;
        error = av_interleaved_write_frame(w->muxer, w->packet);
    }
    return error == AVERROR(EAGAIN) || error == AVERROR_EOF || fail(w, w->row->name, error);
}

static bool write_all(writer *w) {
    for (size_t i = 0; i < w->count; ++i) {
        if (!fill_frame(w, &w->frames[i])) {
            return false;
        }
        w->frame->pts = (int64_t)i;
        if (!encode(w, w->frame)) {
            return false;
        }
    }
    if (!encode(w, NULL)) {
        return false;
    }
    int error = av_write_trailer(w->muxer);
    avio_flush(w->muxer->pb);
    error = error < 0 ? error : w->muxer->pb->error;
    return error >= 0 || fail(w, w->container->muxer, error);
}

static void close_all(writer *w) {
    if (w->muxer) {
        ht_video_memory_detach(w->muxer);
    }
    avcodec_free_context(&w->encoder);
    avformat_free_context(w->muxer);
    av_frame_free(&w->frame);
    av_packet_free(&w->packet);
    sws_freeContext(w->scaler);
    free(w->map);
}

static bool check_frames(writer *w) {
    double fps = w->desc->fps;
    if (w->count == 0 || !(fps >= 1 && fps <= 240)) {
        snprintf(w->why, w->why_bytes, "no clip: %zu frames at %g a second", w->count, fps);
        return false;
    }
    for (size_t i = 0; i < w->count; ++i) {
        if (w->frames[i].width != w->frames[0].width ||
            w->frames[i].height != w->frames[0].height) {
            snprintf(w->why, w->why_bytes, "no clip: frame %zu has another size than the first",
                     i + 1);
            return false;
        }
    }
    return true;
}

bool ht_video_encode_as(const ht_video_container *container, const ht_video_codec *codec,
                        const ht_image *frames, size_t count, const ht_video_desc *desc,
                        ht_bytes *out, char *why, size_t why_bytes) {
    writer w = {.container = container,
                .codec = codec,
                .desc = desc,
                .frames = frames,
                .count = count,
                .why = why,
                .why_bytes = why_bytes};
    *out = (ht_bytes){0};
    av_log_set_level(AV_LOG_FATAL); // failures are told by our own sentence
    bool good = check_frames(&w) && choose_encoder(codec, &w.row, why, why_bytes) &&
                open_container(&w) && open_encoder(&w) && write_header(&w) && prepare_pixels(&w) &&
                write_all(&w);
    close_all(&w);
    if (good) {
        *out = w.memory.bytes;
    } else {
        free(w.memory.bytes.data);
    }
    return good;
}

bool ht_video_encode(const char *path, const ht_image *frames, size_t count,
                     const ht_video_desc *desc, ht_bytes *out, char *why, size_t why_bytes) {
    *out = (ht_bytes){0};
    if (!ht_video_check(path, desc->codec, why, why_bytes)) {
        return false;
    }
    const ht_video_container *container = ht_video_container_of(path);
    return ht_video_encode_as(container, ht_video_codec_of(container, desc->codec), frames, count,
                              desc, out, why, why_bytes);
}
