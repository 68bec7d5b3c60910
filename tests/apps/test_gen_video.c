// Clips by gen from the outside: containers, names, sequences, metadata, what is refused, and that
// nothing is left under the final name when it cannot be written whole.
#include "support.h"

#include "files.h"

#include <libavformat/avformat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ht_test_folder folder;
static char model[1024];

// Run "BEFORE gen ARGUMENTS" in the folder with the tiny model; returns the exit code.
static int gen(const char *before, const char *arguments, char *output, size_t bytes) {
    char command[4096];
    snprintf(command, sizeof(command),
             "cd '%s' && (%s '%s' -p 'a red disc' -m '%s' -W 32 -H 16 --steps 2 --seed 7 %s) "
             "</dev/null 2>&1",
             folder.path, before, HT_GEN_PATH, model, arguments);
    return ht_test_run(command, output, bytes);
}

static void must(const char *arguments) {
    char output[4096];
    if (gen("", arguments, output, sizeof(output)) != 0) {
        fail_msg("gen %s: %s", arguments, output);
    }
}

static void refuse(const char *before, const char *arguments, int code, const char *part) {
    char output[4096];
    int got = gen(before, arguments, output, sizeof(output));
    if (got != code || !strstr(output, part)) {
        fail_msg("gen %s: code %d, expected %d with '%s': %s", arguments, got, code, part, output);
    }
}

// How many entries the folder has, hidden ones too.
static int entries(void) {
    char command[512], output[64];
    snprintf(command, sizeof(command), "ls -A '%s' | wc -l", folder.path);
    assert_int_equal(ht_test_run(command, output, sizeof(output)), 0);
    return atoi(output);
}

static void expect_file(const char *name, bool there) {
    if ((access(ht_test_folder_file(&folder, name), F_OK) == 0) != there) {
        fail_msg("%s: expected %s", name, there ? "to be there" : "not to be there");
    }
}

static void clear(void) {
    char command[512], output[64];
    snprintf(command, sizeof(command), "rm -rf '%s'/* '%s'/.ht*", folder.path, folder.path);
    ht_test_run(command, output, sizeof(output));
}

static int set_up(void **state) {
    char here[512];
    (void)state;
    assert_non_null(getcwd(here, sizeof(here)));
    snprintf(model, sizeof(model), "%s/tests/data/models/tiny-wan", here);
    ht_test_folder_open(&folder);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    clear();
    ht_test_folder_close(&folder);
    return 0;
}

static void expect_clip(const char *name, int frames, double fps, const char *part) {
    AVFormatContext *input = NULL;
    assert_int_equal(avformat_open_input(&input, ht_test_folder_file(&folder, name), NULL, NULL),
                     0);
    assert_true(avformat_find_stream_info(input, NULL) >= 0);
    const AVStream *stream = input->streams[0];
    int packets = 0;
    AVPacket *packet = av_packet_alloc();
    while (av_read_frame(input, packet) >= 0) {
        ++packets;
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    assert_int_equal(packets, frames);
    assert_int_equal(stream->codecpar->width, 32);
    assert_int_equal(stream->codecpar->height, 16);
    assert_true(av_q2d(stream->avg_frame_rate) > 0.99 * fps &&
                av_q2d(stream->avg_frame_rate) < 1.01 * fps);
    const AVDictionaryEntry *comment = av_dict_get(input->metadata, "comment", NULL, 0);
    assert_true(part ? comment && strstr(comment->value, part) : !comment);
    avformat_close_input(&input);
}

static void test_containers(void **state) {
    (void)state;
    must("--frames 5 -o a.mp4");
    expect_clip("a.mp4", 5, 16, "a red disc\nSteps: 2, Sampler: ");
    expect_clip("a.mp4", 5, 16, "Seed: 7, Size: 32x16, Model: tiny-wan, Frames: 5, FPS: 16");
    must("--frames 5 --fps 10 --crf 30 -o b.webm");
    expect_clip("b.webm", 5, 10, "FPS: 10");
    must("--frames 5 --fps 10 --no-metadata --codec av1 -o c.webm");
    expect_clip("c.webm", 5, 10, NULL);
    must("--frames 5 -o d.gif --fps 20");
    expect_clip("d.gif", 5, 20, NULL);
    must("--frames 1 -o e.mp4"); // a clip of one frame
    expect_clip("e.mp4", 1, 16, "Frames: 1");
    must("--frames 5"); // a name by the seed
    expect_clip("gen-7.mp4", 5, 16, "FPS: 16");
    must("-o f.png"); // a picture
    expect_file("f.png", true);
    assert_int_equal(entries(), 7);
    clear();
}

// The model that is taken where none is named, in low bits.
static void test_own_model(void **state) {
    (void)state;
    char command[1024], output[4096];
    snprintf(command, sizeof(command),
             "cd '%s' && '%s' -p 'a red ball rolls left past a blue cube' --w4a8 --frames 5 -W 32 -H 16 "
             "--steps 1 -s 7 -o own.mp4 </dev/null 2>&1",
             folder.path, HT_GEN_PATH);
    if (ht_test_run(command, output, sizeof(output)) != 0) {
        fail_msg("%s: %s", command, output);
    }
    expect_clip("own.mp4", 5, 8, "Model: scenes-video, Frames: 5, FPS: 8");
    clear();
}

static void test_sequences(void **state) {
    (void)state;
    must("--frames 5 -o s-%03d.png");
    expect_file("s-001.png", true);
    expect_file("s-005.png", true);
    assert_int_equal(entries(), 5);
    refuse("", "--frames 5 -o s-%03d.png", 1, "s-001.png' exists already");
    refuse("", "--frames 5 -o t-%03d.tif", 1, "frames of a clip are written as .png or .jpg");
    refuse("", "--frames 5 -o t-%03d.png -b 2", 1, "2 clips cannot go to one sequence");
    assert_int_equal(entries(), 5);
    must("--frames 5 -b 2 -o 'u-%d.mp4'"); // here the pattern numbers the clips
    expect_clip("u-2.mp4", 5, 16, "Seed: 8");
    clear();
}

static void test_refusals(void **state) {
    (void)state;
    refuse("", "--frames 5 -o a.png", 1, "'a.png': clips can be written as mp4 (");
    refuse("", "--frames 5 -o -", 1, "clips can be written as");
    refuse("", "--frames 5 --codec h264 -o a.webm", 1, "no codec 'h264' for .webm");
    refuse("", "--fps 5", 2, "are of clips; give --frames");
    refuse("", "--frames 5 --fps 500", 2, "from 1 to 240");
    refuse("", "--frames 5 --crf 70", 2, "from 0 to 63");
    refuse("", "--frames 5000", 2, "from 1 to 1025");
    refuse("", "--frames 5 --hires -o a.mp4", 1, "a second pass is not possible");
    refuse("", "--frames 5 -o nowhere/a.mp4", 1, "there is no folder 'nowhere'");
    assert_int_equal(entries(), 0);
    clear();
}

// A signal ends the run before the name is there.
static void test_nothing_partial(void **state) {
    (void)state;
    char output[4096];
    assert_int_equal(
        gen("timeout -s TERM 1", "--frames 13 --steps 900 -o a.mp4", output, sizeof(output)),
        124);
    assert_int_equal(entries(), 0);
    clear();
}

int main(void) {
    av_log_set_level(AV_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_containers),
        cmocka_unit_test(test_own_model),
        cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_nothing_partial),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
