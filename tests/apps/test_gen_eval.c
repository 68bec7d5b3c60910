// gen-eval from the outside: refusals with their sentence, and a whole evaluation of a small model.
#include "support.h"

#include "files.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static ht_test_folder folder;

static int shell(const char *command) {
    int result = system(command);
    return WIFEXITED(result) ? WEXITSTATUS(result) : -1;
}

static int evaluate(const char *arguments, char *output, size_t bytes) {
    char command[4096];
    snprintf(command, sizeof(command), "cd '%s' && '%s' %s </dev/null 2>&1", folder.path,
             HT_GEN_EVAL_PATH, arguments);
    return ht_test_run(command, output, bytes);
}

static void write_text(const char *name, const char *text) {
    ht_test_write(&folder, name, text, strlen(text));
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *arguments;
        int code;
        const char *part;
    } rows[] = {
        {"--help", 0, "--recipes A,B"},
        {"--version", 0, "halftone"},
        {"", 2, "there is no --output DIR"},
        {"-o d --recipe fp16", 2, "did you mean --recipes?"},
        {"-o d --recipes fp16,fp16", 2, "fp16 is there twice"},
        {"-o d --recipes fp16,,w8a8", 2, "names separated by commas"},
        {"-o d --recipes fp16,../up", 2, "names separated by commas"},
        {"-o d --recipes ''", 2, "names separated by commas"},
        {"-o d --seed -1", 2, "expected 0 or more"},
        {"-o d --ablate w4a8", 2, "--ablate RECIPE and --calibrate FILE go together"},
        {"-o d --calibrate p.txt", 2, "--ablate RECIPE and --calibrate FILE go together"},
        {"-o d --ablate w4a8 -c p.txt --layers", 2, "one at a time"},
        {"-o d --low-rank 8", 2, "need --ablate RECIPE"},
        {"-o d --ablate w4a8 -c p.txt --low-rank 3", 2, "a multiple of 4"},
        {"-o d --ablate w4a8 -c none.txt", 1, "'none.txt': No such file"},
        {"-o d --recipes w3a5", 1, "recipe 'w3a5'"},
        {"-o d --recipes fp16 --prompts none.jsonl", 1, "'none.jsonl': No such file"},
        {"-o d --recipes fp16 --prompts none.txt", 1, "'none.txt': No such file"},
        {"-o d --recipes fp16 --prompts empty.txt", 1, "'empty.txt' holds no prompt"},
        {"-o d --recipes fp16 --prompts broken.jsonl", 1, "'broken.jsonl' line 2: "},
        {"-o d --recipes fp16 --prompts number.jsonl", 1, "line 1: expected an object with a text"},
        {"-o d --recipes fp16 --prompts beige.jsonl", 1,
         "line 3: the judge knows no color_a 'beige'"},
        {"-o d --recipes fp16 --prompts bare.jsonl", 1, "line 1: \"layout\" must be a text"},
        {"-o d --recipes fp16 --judge none.safetensors", 1, "none.json"},
        {"-o d --recipes fp16 --judge none.bin", 1, "expected a .safetensors file"},
        {"-o d --recipes fp16 --model nowhere", 1, "there is no model 'nowhere'"},
        {"-o d --recipes fp16,c=none.safetensors", 1, "there is no file 'none.safetensors'"},
        {"-o d --recipes fp16,c=broken.safetensors", 1, "broken.safetensors': "},
        {"-o d --recipes fp16,c=other.safetensors", 1, "other.safetensors"},
        {"-o no/such --recipes fp16", 1, "cannot make the folder 'no/such'"},
        {"-o empty.txt --recipes fp16", 1, "cannot make the folder 'empty.txt'"},
    };
    write_text("empty.txt", "# nothing\n\n");
    write_text("broken.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": \"b\"\n");
    write_text("broken.safetensors", "no tensors");
    ht_test_write(&folder, "other.safetensors", "\2\0\0\0\0\0\0\0{}", 10); // of no tensors
    write_text("number.jsonl", "{\"prompt\": 7}\n");
    write_text("beige.jsonl",
               "\n{\"prompt\": \"a\"}\n{\"prompt\": \"b\", \"want\": {\"layout\": \"single\", "
               "\"objects\": [{\"shape\": \"cube\", \"color\": \"beige\"}]}}\n");
    write_text("bare.jsonl", "{\"prompt\": \"a\", \"want\": {}}\n");
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        char output[16384];
        int code = evaluate(rows[i].arguments, output, sizeof(output));
        if (code != rows[i].code || !strstr(output, rows[i].part)) {
            fail_msg("gen-eval %s\n  exit code %d, expected %d with '%s'; output:\n%s",
                     rows[i].arguments, code, rows[i].code, rows[i].part, output);
        }
    }
    // Of a recipe that is broken the recipes before it have made no picture.
    assert_int_not_equal(access(ht_test_folder_file(&folder, "d/fp16/0000.png"), R_OK), 0);
}

static json_t *load(const char *name) {
    json_error_t error;
    json_t *json = json_load_file(ht_test_folder_file(&folder, name), 0, &error);
    if (!json) {
        fail_msg("%s: %s", name, error.text);
    }
    return json;
}

static double number(const json_t *json, const char *key) {
    const json_t *value = json_object_get(json, key);
    if (!json_is_number(value)) {
        fail_msg("no number \"%s\"", key);
    }
    return json_number_value(value);
}

// Layer by layer: the reference against itself is equal; 8 bits lose what 8 bits lose, and reading what
// nothing was lost of is infinite.
static void test_layers(void **state) {
    (void)state;
    char output[65536];
    write_text("one.txt", "a red cube\n");
    if (evaluate(
            "-o l --layers --recipes fp16,w8a8,w4a8 --steps 1 --cfg-scale 1 --prompts one.txt -q",
            output, sizeof(output)) != 0) {
        fail_msg("%s", output);
    }
    assert_non_null(strstr(output, "w4a8 against fp16, 1 prompts"));
    json_t *report = load("l/layers.json");
    const json_t *recipes = json_object_get(report, "recipes");
    assert_int_equal(json_array_size(recipes), 2);
    double sums[2] = {0};
    for (size_t r = 0; r < 2; ++r) {
        const json_t *rows = json_object_get(json_array_get(recipes, r), "layers"), *row;
        size_t i;
        assert_int_equal(json_array_size(rows), 87); // 85 that are packed, the first and the last
        json_array_foreach(rows, i, row) {
            const json_t *gave = json_object_get(row, "gave_db");
            const double db = json_number_value(gave);
            // The first layer, a float one, sees the same noise.
            assert_true(json_is_null(gave) ? i == 21 : db > 5 && db < 70);
            sums[r] += db / 87;
        }
        // The text's first layer reads what no recipe touched.
        row = json_array_get(rows, 3);
        assert_string_equal(json_string_value(json_object_get(row, "layer")),
                            "caption_projection.linear_1");
        assert_true(json_is_null(json_object_get(row, "read_db")));
    }
    assert_true(sums[0] > sums[1] + 6); // 8 bits against 4
    json_decref(report);
}

static bool file_holds(const char *name, const char *text) {
    char command[1024];
    snprintf(command, sizeof(command), "grep -aqF '%s' '%s'", text,
             ht_test_folder_file(&folder, name));
    return shell(command) == 0;
}

// Every variant of a recipe for two layers: packed anew, evaluated, and without what its name says.
static void test_ablation(void **state) {
    (void)state;
    static const char *const names[] = {"fp16",    "nearest",    "all",       "no-learned",
                                        "no-gptq", "no-balance", "no-static", "no-first-token"};
    char output[65536];
    write_text("one.txt", "a red cube\n");
    write_text("two-layers.json",
               "{\"name\": \"two\", \"layers\": [{\"match\": \"transformer_blocks.0.ff.*\", "
               "\"weights\": \"fp4\", \"activations\": \"int8\"}]}");
    const char *run = "-o a --ablate two-layers.json --calibrate one.txt --steps 1 --cfg-scale 1 "
                      "--prompts one.txt -q";
    if (evaluate(run, output, sizeof(output)) != 0) {
        fail_msg("%s", output);
    }
    json_t *report = load("a/report.json");
    const json_t *recipes = json_object_get(report, "recipes");
    assert_int_equal(json_array_size(recipes), sizeof(names) / sizeof(*names));
    double sqnr[HT_COUNT(names)] = {0};
    for (size_t i = 0; i < HT_COUNT(names); ++i) {
        const json_t *r = json_array_get(recipes, i);
        assert_string_equal(json_string_value(json_object_get(r, "recipe")), names[i]);
        sqnr[i] = i ? number(r, "latent_sqnr_db") : 0;
    }
    // Of the only layers that lose anything, measured at the very prompt that was calibrated on.
    assert_true(sqnr[2] > sqnr[1] + 3);
    assert_true(file_holds("a/all.safetensors", "halftone.activations"));
    assert_false(file_holds("a/no-static.safetensors", "halftone.activations"));
    assert_false(file_holds("a/nearest.safetensors", "halftone.activations"));
    // An evaluation that is there is refused before anything is packed.
    assert_int_equal(evaluate(run, output, sizeof(output)), 1);
    assert_non_null(strstr(output, "--overwrite"));
    json_decref(report);
}

// Two recipes, prompts with and without demands: every figure of the report, the page, the pictures.
static void test_whole(void **state) {
    (void)state;
    char output[16384];
    write_text(
        "two.jsonl",
        "{\"prompt\": \"a red cube <b>&\", \"want\": {\"layout\": \"single\", \"ground\": "
        "null, \"sky\": \"day\", \"objects\": [{\"shape\": \"cube\", \"color\": \"red\"}]}}\n"
        "{\"prompt\": \"a cone\"}\n{\"prompt\": \"left out\"}\n");
    const char *run = "-o d --model scenes-dit --recipes fp32,fp16 --steps 1 --cfg-scale 1 "
                      "--limit 2 --seed 7 --prompts two.jsonl -q";
    if (evaluate(run, output, sizeof(output)) != 0) {
        fail_msg("%s", output);
    }
    json_t *report = load("d/report.json");
    assert_int_equal(number(report, "prompts"), 2);
    const json_t *recipes = json_object_get(report, "recipes");
    assert_int_equal(json_array_size(recipes), 2);
    for (size_t i = 0; i < 2; ++i) {
        const json_t *r = json_array_get(recipes, i);
        const json_t *pictures = json_object_get(r, "pictures");
        assert_int_equal(json_array_size(pictures), 2);
        assert_int_equal(number(json_array_get(pictures, 1), "seed"), 8);
        assert_true(number(r, "measured_peak_bytes") > 0 && number(r, "planned_peak_bytes") > 0);
        assert_true(number(r, "step_seconds_median") > 0);
        // demanded of the first prompt only: layout, sky, and shape and colour of two objects
        assert_int_equal(json_object_size(json_object_get(r, "attributes")), 6);
        const json_t *one = json_object_get(json_object_get(r, "adherence_by_layout"), "single");
        assert_int_equal(number(one, "of"), 1);
        assert_true(number(r, "adherence") == number(one, "share"));
        const json_t *first = json_array_get(pictures, 0);
        assert_int_equal(json_object_size(json_object_get(first, "wrong")) == 0,
                         json_is_true(json_object_get(first, "right")));
    }
    const json_t *reference = json_array_get(recipes, 0), *half = json_array_get(recipes, 1);
    assert_null(json_object_get(reference, "ssim"));
    assert_true(number(half, "ssim") > 0.9);
    assert_true(number(half, "denoiser_weight_bytes") <
                0.51 * number(reference, "denoiser_weight_bytes"));
    json_decref(report);
    size_t bytes;
    char *page = (char *)ht_test_read_file(ht_test_folder_file(&folder, "d/index.html"), &bytes);
    page = realloc(page, bytes + 1);
    assert_non_null(page);
    page[bytes] = 0;
    assert_non_null(strstr(page, "a red cube &lt;b&gt;&amp;"));
    assert_non_null(strstr(page, "src=\"fp16/0001.png\""));
    assert_non_null(strstr(page, "</html>"));
    free(page);
    assert_int_equal(access(ht_test_folder_file(&folder, "d/fp16/0001.png"), R_OK), 0);
    // not replaced unasked; nothing unfinished is left behind
    assert_int_equal(evaluate(run, output, sizeof(output)), 1);
    assert_non_null(strstr(output, "--overwrite"));
    char command[512];
    snprintf(command, sizeof(command), "! find '%s' -name '.ht-*' | grep -q .", folder.path);
    assert_int_equal(shell(command), 0);
}

// Clips: all their frames are compared, one below the other in the picture; a judge of pictures is
// refused.
static void test_clips(void **state) {
    (void)state;
    char command[2048], output[16384], here[1024];
    assert_non_null(getcwd(here, sizeof(here)));
    snprintf(command, sizeof(command),
             "mkdir '%s/wan' && ln -s '%s'/tests/data/models/tiny-wan/* '%s/wan'", folder.path, here,
             folder.path);
    assert_int_equal(shell(command), 0);
    write_text("wan/halftone.json", "{\"defaults\": {\"width\": 32, \"height\": 16}}");
    write_text("one.txt", "a red cube\n");
    const char *run = "-o c -m wan --recipes fp32,w8a8 --steps 1 --frames 6 --prompts one.txt -q";
    if (evaluate(run, output, sizeof(output)) != 0) {
        fail_msg("%s", output);
    }
    json_t *report = load("c/report.json");
    const json_t *low = json_array_get(json_object_get(report, "recipes"), 1);
    assert_true(number(low, "psnr_db") > 20 && number(low, "latent_sqnr_db") > 20);
    json_decref(report);
    size_t bytes;
    uint8_t *png = ht_test_read_file(ht_test_folder_file(&folder, "c/w8a8/0000.png"), &bytes);
    assert_true(bytes > 24);
    assert_int_equal(png[19], 32); // the last bytes of width and height
    assert_int_equal(png[23], 5 * 16);
    free(png);
    snprintf(command, sizeof(command),
             "-o r -m wan --recipes fp16 --judge '%s/assets/judge/scenes-judge.safetensors'", here);
    assert_int_equal(evaluate(command, output, sizeof(output)), 1);
    assert_non_null(strstr(output, "looks at pictures, but the model makes clips"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clips),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_layers),
        cmocka_unit_test(test_ablation),
    };
    ht_test_folder_open(&folder);
    int result = ht_test_run_gpu(tests, HT_COUNT(tests));
    char command[512];
    snprintf(command, sizeof(command), "rm -rf '%s'/*", folder.path);
    shell(command);
    ht_test_folder_close(&folder);
    return result;
}
