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
#include <unistd.h>

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

// A table of attentions of clips: watched over frames, in groups of steps, packed, used, and for one size.
static void test_clip_attention(void **state) {
    (void)state;
    char line[2048], here[512];
    json_error_t error;
    assert_non_null(getcwd(here, sizeof(here)));
    snprintf(
        line, sizeof(line),
        "echo 'a red ball' >prompts.txt && \"$PACK\" '%s/tests/data/models/tiny-wan' --attention "
        "table.json --prompts prompts.txt -W 128 -H 128 --frames 13 --steps 3 -q",
        here);
    must(line);
    json_t *table = json_load_file(ht_test_folder_file(&folder, "table.json"), 0, &error);
    const json_t *layer = json_object_get(json_object_get(table, "layers"), "blocks.0.attn1");
    static const int grid[] = {0, 4, 8, 8}; // of 13 frames 4 are latent ones; patches of 2 x 2
    assert_int_equal(json_integer_value(json_object_get(table, "groups")), 3);
    assert_int_equal(json_array_size(json_object_get(layer, "masses")), 3);
    assert_int_equal(json_array_size(json_object_get(layer, "orders")), 2);
    for (size_t i = 0; i < HT_COUNT(grid); i++) {
        const json_t *number = json_array_get(json_object_get(layer, "grid"), i);
        assert_int_equal(json_integer_value(number), grid[i]);
    }
    // Smooth random attention loses little by eight bits.
    const json_t *errors = json_array_get(json_object_get(layer, "errors"), 2);
    const double four = json_real_value(json_array_get(errors, 0));
    const double eight = json_real_value(json_array_get(errors, 2));
    assert_true(eight > 0.0 && eight < four && four < 0.5);
    assert_true(json_real_value(json_array_get(errors, 3)) > 0.998);
    const json_t *bits = json_object_get(layer, "bits");
    assert_int_equal(json_array_size(bits), 3);
    assert_int_not_equal(json_integer_value(json_array_get(bits, 2)), 0);
    json_decref(table);
    snprintf(line, sizeof(line),
             "\"$PACK\" '%s/tests/data/models/tiny-wan' -o packed-wan --recipe w8a8 --attention "
             "table.json -q && \"$PACK\" --show-attention table.json -q && test -s table.json.svg",
             here);
    must(line);
    must(
        "\"$GEN\" -m packed-wan -p 'a red ball' --steps 3 -q -W 128 -H 128 --frames 13 --attention "
        "paro:0.5 -o clip-%03d.png");
    assert_int_not_equal(shell("\"$GEN\" -m packed-wan -p 'a red ball' --steps 3 -q -W 128 -H 128 "
                               "--frames 17 --attention paro -o longer-%03d.png"),
                         0);
    assert_non_null(strstr(said, "heads of 4 x 8 x 8 tokens"));
}

// A LoRA beside weights that were packed before and now: the same, and not nothing.
static void test_lora(void **state) {
    (void)state;
    char line[1024], here[512];
    assert_non_null(getcwd(here, sizeof(here)));
    snprintf(line, sizeof(line), "ln -s '%s/tests/data' data", here);
    must(line);
    must(DRAW "-m data/models/tiny-sd --w4a8 --no-cache -o plain.png");
    must(DRAW "-m data/models/tiny-sd --w4a8 --no-cache --lora data/loras/sd_kohya.safetensors:0.5 "
              "-o lora.png");
    must("! cmp -s plain.png lora.png");
    must("\"$PACK\" data/models/tiny-sd -o packed-sd -q");
    must(DRAW "-m packed-sd -o packed-lora.png --lora-dir data/loras "
              "-p 'a red ball<lora:sd_kohya:0.5>'");
    assert_same_picture("packed-lora.png", "lora.png");
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
        const bool fp4 = strcmp(json_string_value(json_object_get(layer, "format")), "fp4-i8") == 0;
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

// Mean squared difference of two pictures.
static double difference(const char *a, const char *b) {
    int width, height, channels;
    double sum = 0;
    uint8_t *p = stbi_load(ht_test_folder_file(&folder, a), &width, &height, &channels, 3);
    uint8_t *q = stbi_load(ht_test_folder_file(&folder, b), &width, &height, &channels, 3);
    assert_non_null(p);
    assert_non_null(q);
    for (int i = 0; i < width * height * 3; ++i) {
        sum += ((double)p[i] - q[i]) * ((double)p[i] - q[i]) / (width * height * 3);
    }
    stbi_image_free(p);
    stbi_image_free(q);
    return sum;
}

// Models with random weights, by their path.
static const char *tiny(const char *name) {
    static char path[1024];
    char here[512];
    assert_non_null(getcwd(here, sizeof(here)));
    snprintf(path, sizeof(path), "%s/tests/data/models/%s", here, name);
    return path;
}

static void check_report(void) {
    json_t *json = json_load_file(ht_test_folder_file(&folder, "r.json"), 0, NULL), *layer;
    size_t i, learned = 0;
    json_array_foreach(json_object_get(json, "layers"), i, layer) {
        learned += strcmp(json_string_value(json_object_get(layer, "rounding")), "learned") == 0;
        assert_true(json_number_value(json_object_get(layer, "output_db")) >=
                    json_number_value(json_object_get(layer, "output_nearest_db")));
    }
    assert_true(learned > i / 2);
    json_decref(json);
}

// Layers with columns kept apart: how many and how large, and better than all in the format of most.
static void check_salient(void) {
    json_t *json = json_load_file(ht_test_folder_file(&folder, "s.json"), 0, NULL), *layer;
    size_t i, found = 0;
    json_array_foreach(json_object_get(json, "layers"), i, layer) {
        const json_t *salient = json_object_get(layer, "salient");
        if (salient) {
            ++found;
            assert_string_equal(json_string_value(json_object_get(salient, "format")), "int8");
            assert_int_equal(json_integer_value(json_object_get(salient, "columns")) % 32, 0);
            assert_in_range(json_integer_value(json_object_get(salient, "bytes")), 1,
                            json_integer_value(json_object_get(layer, "bytes")) - 1);
            assert_true(json_number_value(json_object_get(layer, "output_db")) >
                        json_number_value(json_object_get(layer, "output_nearest_db")));
        }
    }
    assert_true(found > 0);
    json_decref(json);
}

// In eight bits the picture is nearly the float one, whatever was balanced, on a prompt and seed that
// were not counted; files with branches and with columns kept apart run. (How near four bits come is chance with random weights.)
// CLIP's first token is found and kept, unless that is not wanted; T5 has none.
static void calibrate(const char *name, bool first_token) {
    char command[3072];
    snprintf(command, sizeof(command),
             "M=%s\n"
             "for b in int8 fp4; do echo '{\"name\":\"all\",\"layers\":[{\"match\":\"*\","
             "\"weights\":\"'$b'\"}]}' >$b.json; done\n"
             "for i in 1 2 3 4 5 6; do echo \"a blue cube on $i cones\"; done >few.txt\n" DRAW
             "-m $M --fp32 -o want.png && " DRAW
             "-m $M --recipe ./fp4.json --no-cache -o nearest.png\n"
             "\"$PACK\" $M -o better -r ./int8.json -c few.txt --steps 2 --report r.json && " DRAW
             "-m ./better -o better.png\n"
             "\"$PACK\" $M -o branch -r ./fp4.json -c better.stats --low-rank 8 --no-first-token "
             "-q && " DRAW "-m ./branch -o branch.png\n"
             "echo '{\"name\":\"apart\",\"layers\":[{\"match\":\"*\",\"weights\":\"fp4\","
             "\"salient\":{\"share\":0.3,\"weights\":\"int8\"}}]}' >apart.json\n"
             "\"$PACK\" $M -o better-apart -r ./apart.json -c better.stats --no-first-token --report "
             "s.json -q && " DRAW "-m ./better-apart -o apart.png",
             tiny(name));
    must(command);
    const double nearest = difference("nearest.png", "want.png");
    assert_true(difference("better.png", "want.png") < nearest / 16);
    check_report();
    check_salient();
    must("! grep -q text.first_token branch/*/*.safetensors");
    must(first_token ? "grep -q text.first_token better/*/*.safetensors"
                     : "! grep -q text.first_token better/*/*.safetensors");
    must("rm -rf better* branch*");
}

static void test_calibrated(void **state) {
    (void)state;
    calibrate("tiny-pixart", false);
    calibrate("tiny-sd", true);
}

// The statistics pass, stopped by Ctrl-C after its first prompt and started again, ends with the bytes of
// one that was left alone. The prompts are many enough that it cannot have been done by then.
static void test_interrupted(void **state) {
    (void)state;
    char command[2048];
    snprintf(
        command, sizeof(command),
        "M=%s\n"
        "for i in $(seq 40); do echo \"a blue cube on $i cones\"; done >many.txt\n"
        "COUNT=\"$PACK $M --prompts many.txt --steps 2 --gram\"\n"
        "$COUNT --stats whole.stats || exit 3\n"
        "$COUNT --stats cut.stats 2>cut.log & counting=$!\n"
        "while ! test -e cut.stats; do kill -0 $counting || exit 4; sleep 0.01; done\n"
        "kill -INT $counting; wait $counting; test $? = 130 || exit 5\n"
        "grep -q 'of 40 prompts counted' cut.log && ! cmp -s cut.stats whole.stats || exit 6\n"
        "test -z \"$(ls -A | grep tmp)\" && $COUNT --stats cut.stats && cmp cut.stats whole.stats",
        tiny("tiny-pixart"));
    must(command);
}

static double sum_of(const json_t *point, const char *key) {
    return json_number_value(json_object_get(point, key));
}

// Both budgets are kept, the files run, no format everywhere is better than the curve, and what was
// measured is not measured again.
static void test_mixed(void **state) {
    (void)state;
    char command[2048];
    snprintf(
        command, sizeof(command),
        "M=%s; echo a cube >one.txt; "
        "\"$PACK\" $M -o mix -r mixed:7bits -c one.txt --steps 2 --report r.json && " DRAW
        "-m ./mix -o mix.png && test -e mix.pareto.svg && grep -q content mix.sensitivity.json "
        "&& cp mix.pareto.json all.json && rm -r mix && "
        "\"$PACK\" $M -o mix -r mixed:12bits,a6bits -c one.txt --steps 2 2>mix.log && " DRAW
        "-m ./mix -o mix.png",
        tiny("tiny-pixart"));
    must(command);
    must("sed -n 's/^activations of \\([0-9.]*\\) bits.*/\\1/p' mix.log");
    const double activations = strtod(said, NULL);
    assert_true(activations > 4 && activations <= 6.0005); // to three places
    json_t *json = json_load_file(ht_test_folder_file(&folder, "all.json"), 0, NULL);
    json_t *mixed = json_object_get(json, "mixed"), *uniform = json_object_get(json, "uniform");
    json_t *point, *other;
    size_t i, j;
    assert_true(json_array_size(mixed) > 10);
    assert_int_equal(json_array_size(uniform), 6); // from two signs to eight bits
    json_array_foreach(uniform, i, other) {
        json_array_foreach(mixed, j, point) {
            assert_true(sum_of(point, "bytes") < sum_of(other, "bytes") ||
                        sum_of(point, "loss") <= sum_of(other, "loss") * (1 + 1e-4));
        }
    }
    json_decref(json);
    json = json_load_file(ht_test_folder_file(&folder, "r.json"), 0, NULL);
    double bytes = 0, from = 0;
    json_array_foreach(json_object_get(json, "layers"), i, point) { // of F32
        bytes += sum_of(point, "bytes");
        from += sum_of(point, "from_bytes");
    }
    assert_true(i > 10 && bytes * 8 <= 7 * from / 4);
    json_decref(json);
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *command, *sentence;
        int code;
    } rows[] = {
        {"\"$PACK\"", "there is no --model", 2},
        {"\"$PACK\" scenes-dit", "there is no --output", 2},
        {"\"$PACK\" scenes-dit -o x -c c.txt", "c.txt", 1},
        {"\"$PACK\" scenes-dit -o x -c c.txt --rounding up", "expected nearest, gptq or learned",
         2},
        {"\"$PACK\" scenes-dit -o x --low-rank 16", "--low-rank needs --calibrate", 2},
        {"\"$PACK\" scenes-dit -o x -c c.txt --low-rank 6", "a multiple of 4", 2},
        {"\"$PACK\" scenes-dit -o x -r mixed:4bits", "needs --calibrate", 2},
        {"\"$PACK\" scenes-dit -o x -r mixed:4bits -c x.stats", "needs prompts", 2},
        {"\"$PACK\" scenes-dit -c c.txt", "--calibrate needs --output", 2},
        {"echo no >s.stats; \"$PACK\" scenes-dit -o x -c s.stats", "s.stats", 1},
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
        cmocka_unit_test_setup_teardown(test_calibrated, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_interrupted, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_clip_attention, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_mixed, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_lora, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_cache, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_refused, open_folder, close_folder),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}
