// Clips: every container is read back by libavformat and compared with the frames that were given.
#include "support.h"

#include "common/files.h"
#include "common/video_codecs.h"
#include "files.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { FRAMES = 9, MAX_FRAMES = 32 };

static const ht_png_text texts[] = {{"comment", "a red disc\nSteps: 4, Seed: 7"},
                                    {"description", "{\"seed\":7}"}};

// A disc with soft edges that moves over a gradient.
static void draw(ht_image *image, uint32_t width, uint32_t height, int frame) {
    *image =
        (ht_image){.width = width, .height = height, .rgb = malloc((size_t)width * height * 3)};
    assert_non_null(image->rgb);
    double cx = 12.0 + 4.0 * frame, cy = height / 2.0, radius = height / 4.0;
    for (uint32_t y = 0; y < height; ++y) {
        for (uint32_t x = 0; x < width; ++x) {
            double edge = (radius - hypot(x - cx, y - cy)) / 4 + 0.5;
            double inside = edge < 0 ? 0 : edge > 1 ? 1 : edge;
            double ground[3] = {60.0 + 2.0 * x, 90.0 + y, 160.0 - x};
            const double disc[3] = {200, 60, 50};
            for (int c = 0; c < 3; ++c) {
                double v = ground[c] + (disc[c] - ground[c]) * inside;
                image->rgb[3 * ((size_t)y * width + x) + (size_t)c] =
                    (uint8_t)(v < 0     ? 0
                              : v > 255 ? 255
                                        : v + 0.5);
            }
        }
    }
}

static void draw_all(ht_image frames[FRAMES], uint32_t width, uint32_t height) {
    for (int i = 0; i < FRAMES; ++i) {
        draw(&frames[i], width, height, i);
    }
}

static void free_all(ht_image frames[FRAMES]) {
    for (int i = 0; i < FRAMES; ++i) {
        free(frames[i].rgb);
    }
}

// A clip that was read back.
typedef struct clip {
    uint8_t *frames[MAX_FRAMES];
    int count, width, height;
    AVCodecParameters *parameters;
    AVRational rate;
    double seconds;
    char comment[256], description[256];
} clip;

static void keep(clip *c, const AVFrame *frame) {
    assert_true(c->count < MAX_FRAMES);
    c->width = frame->width;
    c->height = frame->height;
    struct SwsContext *scaler = sws_getContext(
        frame->width, frame->height, frame->format, frame->width, frame->height, AV_PIX_FMT_RGB24,
        SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT, NULL, NULL, NULL);
    assert_non_null(scaler);
    bool bt709 = frame->colorspace == AVCOL_SPC_BT709;
    const int *matrix = sws_getCoefficients(bt709 ? SWS_CS_ITU709 : SWS_CS_ITU601);
    sws_setColorspaceDetails(scaler, matrix, frame->color_range == AVCOL_RANGE_JPEG, matrix, 1, 0,
                             1 << 16, 1 << 16);
    uint8_t *rgb = malloc((size_t)frame->width * (size_t)frame->height * 3);
    uint8_t *planes[4] = {rgb};
    const int strides[4] = {frame->width * 3};
    sws_scale(scaler, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height,
              planes, strides);
    sws_freeContext(scaler);
    c->frames[c->count++] = rgb;
}

static void take_frames(clip *c, AVCodecContext *decoder, AVFrame *frame) {
    while (avcodec_receive_frame(decoder, frame) == 0) {
        keep(c, frame);
    }
}

static void take_text(const AVFormatContext *input, const char *key, char out[256]) {
    const AVDictionaryEntry *entry = av_dict_get(input->metadata, key, NULL, 0);
    snprintf(out, 256, "%s", entry ? entry->value : "");
}

static void read_clip(const char *path, clip *c) {
    AVFormatContext *input = NULL;
    *c = (clip){.parameters = avcodec_parameters_alloc()};
    assert_int_equal(avformat_open_input(&input, path, NULL, NULL), 0);
    assert_true(avformat_find_stream_info(input, NULL) >= 0);
    assert_int_equal(input->nb_streams, 1);
    AVStream *stream = input->streams[0];
    avcodec_parameters_copy(c->parameters, stream->codecpar);
    c->rate = stream->avg_frame_rate;
    c->seconds = (double)input->duration / AV_TIME_BASE;
    take_text(input, "comment", c->comment);
    take_text(input, "description", c->description);
    AVCodecContext *decoder =
        avcodec_alloc_context3(avcodec_find_decoder(stream->codecpar->codec_id));
    avcodec_parameters_to_context(decoder, stream->codecpar);
    assert_int_equal(avcodec_open2(decoder, decoder->codec, NULL), 0);
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    while (av_read_frame(input, packet) >= 0) {
        assert_int_equal(avcodec_send_packet(decoder, packet), 0);
        av_packet_unref(packet);
        take_frames(c, decoder, frame);
    }
    avcodec_send_packet(decoder, NULL);
    take_frames(c, decoder, frame);
    av_frame_free(&frame);
    av_packet_free(&packet);
    avcodec_free_context(&decoder);
    avformat_close_input(&input);
}

static void free_clip(clip *c) {
    for (int i = 0; i < c->count; ++i) {
        free(c->frames[i]);
    }
    avcodec_parameters_free(&c->parameters);
}

// Decibels over all frames, of the part both have.
static double psnr(const clip *c, const ht_image *frames) {
    double squares = 0, values = 0;
    for (int f = 0; f < c->count; ++f) {
        for (uint32_t y = 0; y < frames[f].height; ++y) {
            const uint8_t *want = frames[f].rgb + (size_t)y * frames[f].width * 3;
            const uint8_t *got = c->frames[f] + (size_t)y * (size_t)c->width * 3;
            for (uint32_t x = 0; x < frames[f].width * 3; ++x) {
                double d = (double)want[x] - got[x];
                squares += d * d;
                values += 1;
            }
        }
    }
    return 10 * log10(255.0 * 255.0 * values / squares);
}

typedef struct row {
    const char *name, *codec;
    uint32_t width, height, stored_width, stored_height;
    double fps;
    enum AVCodecID id;
    bool yuv, texts;
    double decibels;
} row;

// 38 dB is what users are promised at the default quality; a palette of 256 colours gives less.
static const row rows[] = {
    {"a.mp4", NULL, 64, 48, 64, 48, 16, AV_CODEC_ID_H264, true, true, 38},
    {"odd.mp4", NULL, 65, 47, 66, 48, 24, AV_CODEC_ID_H264, true, true, 38},
    {"ntsc.mp4", NULL, 64, 48, 64, 48, 23.976, AV_CODEC_ID_H264, true, true, 38},
    {"b.mp4", "av1", 64, 48, 64, 48, 16, AV_CODEC_ID_AV1, true, true, 38},
    {"c.webm", NULL, 64, 48, 64, 48, 16, AV_CODEC_ID_VP9, true, true, 38},
    {"odd.webm", NULL, 65, 47, 65, 47, 16, AV_CODEC_ID_VP9, true, true, 38},
    {"d.webm", "av1", 64, 48, 64, 48, 16, AV_CODEC_ID_AV1, true, true, 38},
    {"e.gif", NULL, 64, 48, 64, 48, 10, AV_CODEC_ID_GIF, false, false, 36},
};

static const char *write_row(ht_test_folder *folder, const row *r, const ht_image *frames) {
    char why[512] = "";
    ht_bytes bytes;
    const ht_video_desc desc = {
        .fps = r->fps, .crf = -1, .codec = r->codec, .texts = texts, .n_texts = 2};
    if (!ht_video_encode(r->name, frames, FRAMES, &desc, &bytes, why, sizeof(why))) {
        fail_msg("%s: %s", r->name, why);
    }
    const char *path = ht_test_folder_file(folder, r->name);
    assert_true(ht_file_write(path, bytes.data, bytes.count, false, why, sizeof(why)));
    free(bytes.data);
    return path;
}

static void check_row(const row *r, const clip *c, const ht_image *frames) {
    assert_int_equal(c->count, FRAMES);
    assert_int_equal(c->width, r->stored_width);
    assert_int_equal(c->height, r->stored_height);
    assert_int_equal(c->parameters->codec_id, r->id);
    assert_true(fabs(av_q2d(c->rate) - r->fps) < 0.01 * r->fps);
    // GIF counts hundredths of a second, webm thousandths.
    assert_true(fabs(c->seconds - FRAMES / r->fps) < 0.02);
    if (r->yuv) {
        assert_int_equal(c->parameters->format, AV_PIX_FMT_YUV420P);
        assert_int_equal(c->parameters->color_range, AVCOL_RANGE_MPEG);
        assert_int_equal(c->parameters->color_primaries, AVCOL_PRI_BT709);
        assert_int_equal(c->parameters->color_space, AVCOL_SPC_BT709);
        assert_int_equal(c->parameters->color_trc, AVCOL_TRC_IEC61966_2_1);
    }
    if (r->texts) {
        assert_string_equal(c->comment, texts[0].text);
        assert_string_equal(c->description, texts[1].text);
    }
    double decibels = psnr(c, frames);
    print_message("%s: %.1f dB\n", r->name, decibels);
    assert_true(decibels >= r->decibels);
}

static void refuse_to_play(const char *path, uint64_t most, const char *part) {
    ht_video_clip played;
    char why[1024] = "";
    assert_false(ht_video_decode(path, most, NULL, NULL, &played, why, sizeof(why)));
    assert_null(played.frames);
    if (!strstr(why, part)) {
        fail_msg("%s", why);
    }
}

// As the window plays it: the same pictures, smaller ones when there is less room, or a refusal.
static void play_row(const row *r, const char *path, const clip *c, const ht_image *frames) {
    const uint64_t whole = (uint64_t)FRAMES * r->stored_width * r->stored_height * 3;
    ht_video_clip played;
    clip as_read = {.width = c->width, .height = c->height};
    char why[1024] = "";
    if (!ht_video_decode(path, 2 * whole, NULL, NULL, &played, why, sizeof(why))) {
        fail_msg("%s", why);
    }
    assert_int_equal(played.count, FRAMES);
    assert_true(fabs(played.fps - r->fps) < 0.01 * r->fps);
    for (size_t i = 0; i < played.count; ++i) {
        assert_int_equal(played.frames[i].width, r->stored_width);
        assert_int_equal(played.frames[i].height, r->stored_height);
        as_read.frames[as_read.count++] = played.frames[i].rgb;
    }
    assert_true(psnr(&as_read, frames) >= r->decibels);
    ht_video_clip_free(&played);
    if (!ht_video_decode(path, whole / 3, NULL, NULL, &played, why, sizeof(why))) {
        fail_msg("%s", why);
    }
    assert_int_equal(played.frames[0].width, (r->stored_width + 1) / 2);
    ht_video_clip_free(&played);
    refuse_to_play(path, whole / 40, "too long");
}

static bool has_encoder(const row *r) {
    char why[512];
    if (ht_video_check(r->name, r->codec, why, sizeof(why))) {
        return true;
    }
    print_message("skipped: %s\n", why);
    return false;
}

static void test_containers(void **state) {
    (void)state;
    ht_test_folder folder;
    ht_test_folder_open(&folder);
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        const row *r = &rows[i];
        ht_image frames[FRAMES];
        clip c;
        if (!has_encoder(r)) {
            continue;
        }
        draw_all(frames, r->width, r->height);
        char path[1024];
        snprintf(path, sizeof(path), "%s", write_row(&folder, r, frames));
        read_clip(path, &c);
        check_row(r, &c, frames);
        play_row(r, path, &c, frames);
        free_clip(&c);
        free_all(frames);
    }
    ht_test_folder_close(&folder);
}

static size_t find(const ht_bytes *bytes, const char *what) {
    for (size_t i = 0; i + 4 <= bytes->count; ++i) {
        if (memcmp(bytes->data + i, what, 4) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

static void encode(const char *name, int crf, ht_bytes *bytes) {
    char why[512] = "";
    ht_image frames[FRAMES];
    draw_all(frames, 64, 48);
    const ht_video_desc desc = {.fps = 16, .crf = crf};
    if (!ht_video_encode(name, frames, FRAMES, &desc, bytes, why, sizeof(why))) {
        fail_msg("%s: %s", name, why);
    }
    free_all(frames);
}

// The index lies before the pictures, so that a player need not have the whole file.
static void test_fast_start(void **state) {
    (void)state;
    ht_bytes bytes;
    char why[512];
    if (!ht_video_check("a.mp4", NULL, why, sizeof(why))) {
        skip();
    }
    encode("a.mp4", -1, &bytes);
    size_t index = find(&bytes, "moov"), pictures = find(&bytes, "mdat");
    assert_true(index < pictures && pictures < SIZE_MAX);
    free(bytes.data);
}

static void test_rate_factor(void **state) {
    (void)state;
    static const char *const names[] = {"a.mp4", "a.webm", "a.webp"};
    for (size_t i = 0; i < HT_COUNT(names); ++i) {
        ht_bytes fine, coarse, again;
        char why[512];
        if (!ht_video_check(names[i], NULL, why, sizeof(why))) {
            continue;
        }
        encode(names[i], 5, &fine);
        encode(names[i], 40, &coarse);
        assert_true(coarse.count < fine.count);
        encode(names[i], 40, &again); // the same bytes every time
        assert_int_equal(again.count, coarse.count);
        assert_memory_equal(again.data, coarse.data, coarse.count);
        free(fine.data);
        free(coarse.data);
        free(again.data);
    }
}

static uint32_t little(const uint8_t *p, int bytes) {
    uint32_t value = 0;
    for (int i = bytes; i-- > 0;) {
        value = value << 8 | p[i];
    }
    return value;
}

// libavcodec cannot read animated WebP: the file is taken apart by hand, and each frame that covers
// the whole canvas is read as a picture of its own.
static void test_webp(void **state) {
    (void)state;
    ht_bytes bytes;
    char why[512];
    if (!ht_video_check("a.webp", NULL, why, sizeof(why))) {
        print_message("skipped: %s\n", why);
        skip();
    }
    encode("a.webp", -1, &bytes);
    assert_memory_equal(bytes.data, "RIFF", 4);
    assert_memory_equal(bytes.data + 8, "WEBPVP8X", 8);
    assert_int_equal(little(bytes.data + 4, 4), bytes.count - 8);
    assert_int_equal(little(bytes.data + 24, 3) + 1, 64); // canvas
    assert_int_equal(little(bytes.data + 27, 3) + 1, 48);
    uint32_t frames = 0, milliseconds = 0, loops = 1;
    for (size_t at = 12; at + 8 <= bytes.count;) {
        const uint8_t *chunk = bytes.data + at;
        uint32_t size = little(chunk + 4, 4);
        if (memcmp(chunk, "ANIM", 4) == 0) {
            loops = little(chunk + 12, 2);
        } else if (memcmp(chunk, "ANMF", 4) == 0) {
            ++frames;
            milliseconds += little(chunk + 20, 3);
        }
        at += 8 + (size + 1) / 2 * 2;
    }
    assert_int_equal(frames, FRAMES);
    assert_int_equal(loops, 0); // for ever
    assert_true(fabs(milliseconds - 1000.0 * FRAMES / 16) < 10);
    free(bytes.data);
}

static void test_refusals(void **state) {
    (void)state;
    char why[512];
    ht_bytes bytes;
    ht_image frames[FRAMES];
    assert_false(ht_video_check("a.avi", NULL, why, sizeof(why)));
    assert_non_null(strstr(why, "'a.avi': clips can be written as mp4"));
    assert_false(ht_video_check("a.webm", "h264", why, sizeof(why)));
    assert_non_null(strstr(why, "no codec 'h264' for .webm"));
    assert_true(ht_video_is("x/A.MP4") && ht_video_is("a.WebP") && !ht_video_is("a.png") &&
                !ht_video_is("a.mp4/b"));
    // An encoder that this libavcodec has not: what there is, is named.
    const ht_video_codec codec = {
        "mpeg9", HT_VIDEO_YUV420, {{"libmpeg9", NULL, 0, true, {{NULL, NULL}}}}};
    draw_all(frames, 64, 48);
    ht_video_desc desc = {.fps = 16, .crf = -1};
    assert_false(ht_video_encode_as(ht_video_container_of("a.mp4"), &codec, frames, FRAMES, &desc,
                                    &bytes, why, sizeof(why)));
    assert_non_null(strstr(why, "no encoder for mpeg9 (libmpeg9); clips can be written as "));
    assert_non_null(strstr(why, "gif (gif)"));
    assert_null(bytes.data);
    // What no encoder takes.
    desc.fps = 0;
    assert_false(ht_video_encode("a.gif", frames, FRAMES, &desc, &bytes, why, sizeof(why)));
    desc.fps = 16;
    assert_false(ht_video_encode("a.gif", frames, 0, &desc, &bytes, why, sizeof(why)));
    frames[3].width = 32;
    assert_false(ht_video_encode("a.gif", frames, FRAMES, &desc, &bytes, why, sizeof(why)));
    assert_non_null(strstr(why, "frame 4 has another size"));
    free_all(frames);
}

// What is no clip, whatever its name: a playlist must not lead to other files.
static void test_unplayable(void **state) {
    (void)state;
    static const char list[] = "#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n";
    ht_test_folder folder;
    ht_test_folder_open(&folder);
    static const char *const names[] = {"a.mp4", "a.webm", "a.gif", "a.webp"};
    for (size_t i = 0; i < HT_COUNT(names); ++i) {
        char why[512];
        const char *path = ht_test_folder_file(&folder, names[i]);
        assert_true(ht_file_write(path, list, sizeof(list) - 1, false, why, sizeof(why)));
        refuse_to_play(path, 1 << 20, names[i]);
    }
    refuse_to_play("no/such.gif", 1 << 20, "'no/such.gif' cannot be played here");
    ht_test_folder_close(&folder);
}

// A full disk: the clip is encoded, the file cannot take it, and nothing is left.
static void test_full_disk(void **state) {
    (void)state;
    ht_test_folder folder;
    ht_bytes bytes;
    struct rlimit before, small;
    char why[512] = "", command[256], output[64];
    encode("a.gif", -1, &bytes);
    ht_test_folder_open(&folder);
    const char *path = ht_test_folder_file(&folder, "a.gif");
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = bytes.count / 2;
    setrlimit(RLIMIT_FSIZE, &small);
    const bool good = ht_file_write(path, bytes.data, bytes.count, false, why, sizeof(why));
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    assert_false(good);
    assert_non_null(strstr(why, "a.gif': File too large"));
    snprintf(command, sizeof(command), "ls -A '%s'", folder.path);
    assert_int_equal(ht_test_run(command, output, sizeof(output)), 0);
    assert_string_equal(output, "");
    free(bytes.data);
    ht_test_folder_close(&folder);
}

// Colours that the palette has stay as they are.
static void test_palette(void **state) {
    (void)state;
    uint8_t pixels[12] = {255, 0, 0, 0, 255, 0, 10, 20, 200, 255, 255, 255};
    const ht_image image = {.width = 4, .height = 1, .rgb = pixels};
    uint32_t palette[256];
    uint8_t *map = malloc(32768);
    assert_true(ht_video_palette(&image, 1, palette, map));
    for (int i = 0; i < 4; ++i) {
        const uint8_t *p = pixels + 3 * i;
        uint32_t want = 0xff000000u | (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        assert_int_equal(palette[ht_video_palette_find(palette, map, p)], want);
    }
    free(map);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_containers),  cmocka_unit_test(test_fast_start),
        cmocka_unit_test(test_rate_factor), cmocka_unit_test(test_webp),
        cmocka_unit_test(test_refusals),    cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_palette),     cmocka_unit_test(test_unplayable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
