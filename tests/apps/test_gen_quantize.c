// gen-quantize and the cache of packed weights, from the outside: the same picture by every way, and
// refusals.
#include "support.h"

#include "files.h"

#include <jansson.h>
#include <stb/stb_image.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static ht_test_folder folder;
static char said[4096];

// A shell command in the folder, $GEN and $PACK being the programs; what it says is kept.
static int shell(const char *command) {
    char line[4096];
    snprintf(line, sizeof(line),
             "cd '%s' && export HALFTONE_CACHE=cache GEN='%s' PACK='%s' && { %s\n} 2>&1",
             folder.path, HT_GEN_PATH, HT_QUANTIZE_PATH, command);
    return ht_test_run(line, said, sizeof(said));
}

static void must(const char *command) {
    if (shell(command) != 0) {
        fail_msg("%s: %s", command, said);
    }
}

#define DRAW "\"$GEN\" -p 'a red ball' -s 3 --steps 2 -q --overwrite "

static void assert_same_picture(const char *a, const char *b) {
    int size[2][2], channels;
    uint8_t *p = stbi_load(ht_test_folder_file(&folder, a), &size[0][0], &size[0][1], &channels, 3);
    uint8_t *q = stbi_load(ht_test_folder_file(&folder, b), &size[1][0], &size[1][1], &channels, 3);
    assert_non_null(p);
    assert_non_null(q);
    assert_memory_equal(size[0], size[1], sizeof(size[0]));
    assert_memory_equal(p, q, (size_t)size[0][0] * (size_t)size[0][1] * 3);
    stbi_image_free(p);
    stbi_image_free(q);
}

// A UNet's folder, convolutions and all.
static void test_unet(void **state) {
    (void)state;
    must(DRAW "-m scenes-unet --w4a8 --no-cache -o unet.png");
    must("\"$PACK\" scenes-unet -o packed-unet -q");
    must(DRAW "-m packed-unet -o unet-packed.png");
    assert_same_picture("unet-packed.png", "unet.png");
}

static void test_same_picture(void **state) {
    (void)state;
    must(DRAW "--w4a8 --no-cache -o want.png && test ! -e cache");
    must(DRAW "--w4a8 -o first.png && ls cache/*.safetensors");
    must(DRAW "--w4a8 -o second.png");
    must("\"$PACK\" scenes-dit -o packed --report report.json");
    must(DRAW "-m packed -o model.png --json r.json");
    must("\"$PACK\" scenes-dit -o d.safetensors -r w4a8 -q && test -z \"$(ls -A | grep tmp)\"");
    must(DRAW "--diffusion-model d.safetensors -o file.png");
    assert_same_picture("first.png", "want.png");
    assert_same_picture("second.png", "want.png");
    assert_same_picture("model.png", "want.png");
    assert_same_picture("file.png", "want.png");
    json_t *json = json_load_file(ht_test_folder_file(&folder, "report.json"), 0, NULL);
    assert_non_null(json);
    json_t *layers = json_object_get(json, "layers"), *layer;
    size_t i;
    assert_int_equal(json_array_size(layers), 85); // 8 blocks of 10 and the embedders' 5
    json_array_foreach(layers, i, layer) {
        const double db = json_number_value(json_object_get(layer, "sqnr_db"));
        const bool fp4 = strcmp(json_string_value(json_object_get(layer, "format")), "fp4") == 0;
        // Steps of FP4 are at most a quarter of the value above them; 8 bits are 16 times finer.
        assert_true(db > (fp4 ? 15 : 38) && db < (fp4 ? 30 : 60));
    }
    json_decref(json);
    must("grep -q '\"recipe\": *\"w4a8\"' r.json");
}

static void test_cache(void **state) {
    (void)state;
    must(DRAW "--w4a8 --no-cache -o want.png");
    must(DRAW "--w4a8 -o a.png && for f in cache/*.safetensors; do head -c 5000 \"$f\" >x && "
              "cp x \"$f\"; done");
    must(DRAW "--w4a8 -o cut.png && test -z \"$(ls cache/*.safetensors 2>/dev/null)\"");
    assert_same_picture("cut.png", "want.png");
    must(DRAW "--w4a8 -o b.png && " DRAW
              "--w8a8 -o c.png && test $(ls cache/*.safetensors | wc -l) "
              "= 2");
    must("export HALFTONE_CACHE_SIZE=1K; " DRAW
         "--w4a4 -o d.png && test $(ls cache/*.safetensors | wc -l) = 1");
    must("export HALFTONE_CACHE=; " DRAW "--w4a8 -o e.png");
    must("touch file; export HALFTONE_CACHE=file; " DRAW "--w4a8 -o f.png");
    assert_same_picture("f.png", "want.png");
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *command, *sentence;
        int code;
    } rows[] = {
        {"\"$PACK\"", "there is no --model", 2},
        {"\"$PACK\" scenes-dit", "there is no --output", 2},
        {"\"$PACK\" nothing -o x", "there is no model 'nothing'", 1},
        {"\"$PACK\" no.safetensors -o x.safetensors", "no.safetensors", 1},
        {"\"$PACK\" scenes-dit -o x -r nothing", "there is no recipe 'nothing'", 1},
        {"mkdir here; \"$PACK\" scenes-dit -o here", "'here' exists already", 1},
        {"touch x.safetensors; \"$PACK\" scenes-dit -o x.safetensors", "exists already", 1},
        {"\"$PACK\" scenes-dit -o no/x.safetensors", "there is no folder 'no'", 1},
        {"\"$PACK\" scenes-dit -o no/x", "no/x", 1},
        {"\"$PACK\" scenes-dit -q -o p && \"$PACK\" ./p -o q", "is packed as", 1},
        {"\"$GEN\" -m ./p --w8a8 -p x", "needs the float checkpoint", 1},
        {"\"$PACK\" p/transformer/diffusion_pytorch_model.safetensors -o folder",
         "give --output FILE.safetensors", 1},
        // The limit is smaller than the file: as a full disk, after the header.
        {"(ulimit -f 100; trap '' XFSZ; \"$PACK\" scenes-dit -o full.safetensors)",
         "File too large", 1},
    };
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        const int code = shell(rows[i].command);
        if (code != rows[i].code || !strstr(said, rows[i].sentence)) {
            fail_msg("%s: exit code %d, %s", rows[i].command, code, said);
        }
    }
    must("test ! -e full.safetensors && test -z \"$(ls -A | grep tmp)\"");
}

// 512 MiB of floats in 16 layers: no more than a few chunks and one layer of the file are in memory.
static void test_memory(void **state) {
    (void)state;
    enum { LAYERS = 16 };
    const uint64_t layer = UINT64_C(32) << 20;
    char header[LAYERS * 128] = "{";
    for (uint64_t i = 0; i < LAYERS; ++i) {
        const size_t at = strlen(header);
        snprintf(header + at, sizeof(header) - at,
                 "%s\"%c.weight\":{\"dtype\":\"F32\",\"shape\":[4096,2048],\"data_offsets\":[%llu,"
                 "%llu]}",
                 i ? "," : "", (char)('a' + i), (unsigned long long)(i * layer),
                 (unsigned long long)((i + 1) * layer));
    }
    strcat(header, "}");
    ht_test_write_safetensors(&folder, "big.safetensors", header, NULL, 0);
    char command[256];
    snprintf(command, sizeof(command),
             "truncate -s %llu big.safetensors", // a hole: no disk is used
             (unsigned long long)(8 + strlen(header) + LAYERS * layer));
    must(command);
    must(
        "printf '{\"name\":\"all\",\"layers\":[{\"match\":\"*\",\"weights\":\"fp4\"}]}' >all.json");
    must("\"$PACK\" big.safetensors -o small.safetensors -r ./all.json -q");
    struct rusage use;
    assert_int_equal(getrusage(RUSAGE_CHILDREN, &use), 0);
    print_message("largest resident size: %.0f MiB\n", (double)use.ru_maxrss / 1024);
    assert_true((uint64_t)use.ru_maxrss * 1024 < 4 * layer);
    must("test $(stat -c %s small.safetensors) -lt 80000000");
}

static int open_folder(void **state) {
    (void)state;
    ht_test_folder_open(&folder);
    return 0;
}

static int close_folder(void **state) {
    (void)state;
    shell("rm -rf ./* ");
    ht_test_folder_close(&folder);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        // First: the children's largest size is that of all so far.
        cmocka_unit_test_setup_teardown(test_memory, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_same_picture, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_unet, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_cache, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_refused, open_folder, close_folder),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}
