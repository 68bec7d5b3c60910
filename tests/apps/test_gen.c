// gen from the outside: refusals with their sentence and exit code, files, metadata, signals.
#include "support.h"

#include "files.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TINY "tests/data/models/tiny-pixart"

static ht_test_folder folder; // results, and models made for a test
static char here[1024];

static void open_folder(void) {
    assert_non_null(getcwd(here, sizeof(here)));
    ht_test_folder_open(&folder);
}

static int run_shell(const char *command) {
    int result = system(command);
    return WIFEXITED(result) ? WEXITSTATUS(result) : -1;
}

static void close_folder(void) {
    char command[512];
    snprintf(command, sizeof(command), "rm -rf '%s'/*", folder.path); // models have folders
    run_shell(command);
    ht_test_folder_close(&folder);
}

// Run "gen ARGUMENTS" in the folder; both streams into `output`. Returns the exit code.
static int gen(const char *before, const char *arguments, char *output, size_t bytes) {
    char command[4096];
    snprintf(command, sizeof(command), "cd '%s' && %s '%s' %s </dev/null 2>&1", folder.path, before,
             HT_GEN_PATH, arguments);
    return ht_test_run(command, output, bytes);
}

// A copy of the tiny model with settings of its own; `file` (or NULL) is replaced by a text.
static void make_model(const char *name, const char *file, const char *text) {
    char command[4096];
    snprintf(command, sizeof(command),
             "cd '%s' && cp -rL '%s/" TINY "' '%s' && chmod -R u+w '%s' && printf '%%s' "
             "'{\"max_tokens\": 20, \"defaults\": {\"width\": 32, \"height\": 32, \"steps\": 2, "
             "\"cfg_scale\": 1}}' > '%s/halftone.json'",
             folder.path, here, name, name, name);
    assert_int_equal(run_shell(command), 0);
    if (file) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s/%s", folder.path, name, file);
        FILE *out = fopen(path, "wb");
        assert_non_null(out);
        fputs(text, out);
        fclose(out);
    }
}

typedef struct refusal {
    const char *before, *arguments;
    int code;
    const char *part;
} refusal;

static void expect(const refusal *r) {
    char output[8192];
    int code = gen(r->before ? r->before : "", r->arguments, output, sizeof(output));
    if (code != r->code || !strstr(output, r->part)) {
        fail_msg("gen %s\n  exit code %d, expected %d with '%s'; output:\n%s", r->arguments, code,
                 r->code, r->part, output);
    }
}

static void test_flags(void **state) {
    (void)state;
    static const refusal rows[] = {
        {NULL, "", 2, "there is no --prompt"},
        {NULL, "--promt x", 2, "did you mean --prompt?"},
        {NULL, "--prompt x --stps 4", 2, "did you mean --steps?"},
        {NULL, "--prompt x --zzzzzzzzzz", 2, "see --help"},
        {NULL, "--prompt", 2, "--prompt needs a value"},
        {NULL, "--prompt x --steps 0", 2, "a whole number from 1 to 1000"},
        {NULL, "--prompt x --steps four", 2, "a whole number from 1 to 1000"},
        {NULL, "--prompt x --steps=2.5", 2, "a whole number from 1 to 1000"},
        {NULL, "--prompt x --cfg-scale nan", 2, "from 0 to 1000"},
        {NULL, "--prompt x --seed 1x", 2, "a whole number"},
        {NULL, "--prompt x --strength 1.5", 2, "from 0 to 1"},
        {NULL, "--prompt x --max-memory 5Q", 2, "a size such as 6G"},
        {NULL, "--prompt x --strict=yes", 2, "takes no value"},
        {NULL, "--prompt x --fp16 --fp32", 2, "exclude each other"},
        {NULL, "--prompt x --prompt-file y", 2, "exclude each other"},
        {NULL, "--prompt x --w1a4", 2, "--w1a4 (binary weights, 4-bit activations) is not in this"},
        {NULL, "--prompt x --w4a8 --w8a8", 2, "exclude each other"},
        {NULL, "--prompt x --w4a8 --recipe w4a4", 2, "exclude each other"},
        {NULL, "--prompt x --w4a8 --fp32", 2, "--fp32 leaves nothing to a recipe"},
        {NULL, "--prompt x --recipe", 2, "--recipe needs a value"},
        {NULL, "--list-recipes", 0, "w8a8-fp"},
        {NULL, "--list-formats", 0, "nvfp4        4.5    16"},
        {NULL, "--prompt x -m scenes-dit --frames 17", 1, "makes pictures, not clips"},
        {NULL, "--prompt '<lora:a:1>'", 1, "--lora-dir says in which folder it is"},
        {NULL, "--prompt '<lora:../a:1>' --lora-dir /", 1, "there is no '../a.safetensors'"},
        {NULL, "--prompt '<lora:a:b>' --lora-dir /", 1, "expected <lora:NAME:SCALE>"},
        {NULL, "--prompt x --attention paro:2", 2, "paro:<density>"},
        {NULL, "--prompt x --attention odd", 2, "expected dense, sage8"},
        {NULL, "--prompt x --mask m.png", 2, "--mask needs --init-image"},
        {NULL, "--prompt x --control c", 2, "--control needs --control-image"},
        {NULL, "--prompt x --control-end 2", 2, "from 0 to 1"},
        {NULL, "--prompt x --mask-blur 300", 2, "a whole number from 0 to 256"},
        {NULL, "--prompt x -o - --json", 2, "cannot both go to stdout"},
        {NULL, "word", 2, "'word' is not a flag"},
        {NULL, "--help", 0, "usage: gen --prompt TEXT"},
        {NULL, "--version", 0, "halftone "},
        {NULL, "--list-samplers", 0, "dpmpp_2m"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        expect(&rows[i]);
    }
}

static void test_outputs_refused(void **state) {
    (void)state;
    static const refusal rows[] = {
        {NULL, "-p x -m tiny -o none/x.png", 1, "there is no folder 'none'"},
        {NULL, "-p x -m tiny -o x.tif", 1, "written as .png or .jpg"},
        {NULL, "-p x -m tiny -o there.png", 1, "'there.png' exists already; --overwrite"},
        {NULL, "-p x -m tiny -b 2 -o -", 1, "2 pictures cannot go to one stdout"},
        {NULL, "-p x -m tiny --json none/x", 1, "there is no folder 'none'"},
        {NULL, "-p x -m tiny --preview none/x.png", 1, "there is no folder 'none'"},
        {NULL, "-m tiny --prompt-file none.txt", 1, "'none.txt': No such file"},
        {NULL, "-m tiny --prompt-file empty.txt", 1, "'empty.txt' holds no prompt"},
        {NULL, "-p x -m tiny -i there.png -o n.png", 1, "'there.png' cannot be read as a picture"},
        {NULL, "-p x -m tiny -i there.png --mask none.png -o n.png", 1, "cannot be read"},
        {NULL, "-p x -m tiny --control-image none.png -o n.png", 1, "'none.png' cannot be read"},
        {NULL, "-p x -m tiny -o /dev/full", 1, "/dev/full': No space left"},
    };
    ht_test_write(&folder, "there.png", "old", 3);
    ht_test_write(&folder, "empty.txt", "# none\n\n", 8);
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        expect(&rows[i]);
    }
    size_t bytes;
    uint8_t *kept = ht_test_read_file(ht_test_folder_file(&folder, "there.png"), &bytes);
    assert_int_equal(bytes, 3);
    free(kept);
}

static void test_models_refused(void **state) {
    (void)state;
    char command[1024];
    make_model("flux", "model_index.json", "{\"_class_name\": \"FluxPipeline\"}");
    make_model("clip", "model_index.json",
               "{\"_class_name\": \"PixArtSigmaPipeline\", \"transformer\": [\"diffusers\", "
               "\"PixArtTransformer2DModel\"], \"text_encoder\": [\"transformers\", "
               "\"CLIPTextModel\"]}");
    make_model("shape", "text_encoder/config.json",
               "{\"model_type\": \"t5\", \"d_model\": 32, \"d_kv\": 8, \"num_heads\": 4, "
               "\"d_ff\": 66, \"num_layers\": 2, \"feed_forward_proj\": \"gated-gelu\", "
               "\"vocab_size\": 768}");
    make_model("short", NULL, NULL);
    snprintf(command, sizeof(command),
             "truncate -s -100 '%s/short/vae/diffusion_pytorch_model.safetensors'", folder.path);
    assert_int_equal(run_shell(command), 0);
    ht_test_write(&folder, "old.ckpt", "anything else", 13);
    ht_test_write(&folder, "zip.safetensors", "PK\3\4\24\0\10\10\0\0", 10);
    make_model("pickled", NULL, NULL);
    snprintf(command, sizeof(command),
             "mv '%s/pickled/vae/diffusion_pytorch_model.safetensors' "
             "'%s/pickled/vae/diffusion_pytorch_model.bin'",
             folder.path, folder.path);
    assert_int_equal(run_shell(command), 0);
    make_model("bare", NULL, NULL);
    snprintf(command, sizeof(command), "rm '%s/bare/model_index.json'", folder.path);
    assert_int_equal(run_shell(command), 0);
    static const refusal rows[] = {
        {NULL, "-p x --model nowhere", 1, "there is no model 'nowhere'; looked in"},
        {NULL, "-p x --model ./nowhere", 1, "there is no model './nowhere'"},
        {NULL, "-p x --model there.png", 1, "too few for a safetensors file"},
        {NULL, "-p x --model old.ckpt", 1, "a pickle of PyTorch"},
        {NULL, "-p x --model zip.safetensors", 1, "get the model as safetensors, or convert"},
        {NULL, "-p x --model pickled", 1, "pytorch_model.bin': a pickle of PyTorch"},
        {NULL, "-p x --model ./bare", 1, "it has no model_index.json"},
        {NULL, "-p x --model flux", 1, "'FluxPipeline'; supported: PixArtSigmaPipeline"},
        {NULL, "-p x --model clip", 1,
         "text_encoder is a CLIPTextModel; supported: T5EncoderModel"},
        {NULL, "-p x --model shape", 1, "expected f32 [66, 32]"},
        {NULL, "-p x --model short", 1, "diffusion_pytorch_model.safetensors"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        expect(&rows[i]);
    }
}

// A file counts as a model; its name goes without the ending.
static void test_models_in_one_file(void **state) {
    (void)state;
    char models[128];
    snprintf(models, sizeof(models), "HALFTONE_MODELS='%s'", folder.path);
    ht_test_write_safetensors(
        &folder, "one.safetensors",
        "{\"lora_a.lora_up.weight\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]}}",
        NULL, 2);
    ht_test_write(&folder, "two.gguf", "GGUF", 4);
    const refusal rows[] = {
        {models, "--list-models", 0, "/one.safetensors"},
        {models, "--list-models", 0, "one file, 0.0 GB"},
        {models, "--list-models", 0, "/two.gguf"},
        {models, "-p x --model one", 1, "/one.safetensors' is a LoRA; supported in one file"},
        {models, "-p x --model two", 1, "two.gguf': the file ends"},
        {models, "-p x --model two.gguf", 1, "'two.gguf': the file ends"},
        {NULL, "-p x --model scenes-unet --prediction u", 1, "known: epsilon, v, sample"},
        {NULL, "-p x --model scenes-unet --tokenizer .", 1,
         "neither vocab.json nor tokenizer.json"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        expect(&rows[i]);
    }
}

static void test_requests_refused(void **state) {
    (void)state;
    static const char many[] =
        "-m tiny --strict -p 'one two three four five six seven eight nine ten eleven twelve "
        "thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty'";
    static const refusal rows[] = {
        {NULL, "-p x -m tiny -W 1000000 -H 64", 1, "MiB of device memory"},
        {NULL, "-p x -m tiny -W 2", 1, "at least 4"},
        {NULL, "-p x -m tiny --sampler magic", 1, "unknown sampler 'magic'"},
        {NULL, "-p x -m tiny --device magic", 1, "magic"},
        {NULL, "-p x -m tiny --recipe magic", 1, "there is no recipe 'magic'; looked in"},
        {NULL, "-p x -m tiny --recipe none.json", 1, "there is no recipe file 'none.json'"},
        {NULL, "-p x -m tiny --recipe ./bad.json", 1,
         "row 1: \"mid_block.*\" matches no layer of the model"},
        {NULL, "-p x -m tiny --max-memory 1K", 1, "memory"},
        {NULL, many, 1, "the text encoder takes 20"},
        {"VK_DRIVER_FILES=/nonexistent VK_ICD_FILENAMES=/nonexistent", "-p x -m tiny", 1,
         "mesa-vulkan-drivers"},
    };
    static const char bad[] = "{\"name\": \"bad\", \"layers\": [{\"match\": \"mid_block.*\", "
                              "\"weights\": \"int8\"}]}";
    ht_test_write(&folder, "bad.json", bad, strlen(bad));
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        expect(&rows[i]);
    }
}

static uint32_t big_endian(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t crc_of(const uint8_t *data, size_t count) {
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < count; ++i) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; ++bit) {
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
        }
    }
    return ~crc;
}

// Text of a chunk before the picture data, every checksum looked at; free().
static char *png_text(const uint8_t *png, size_t bytes, const char *type, const char *key) {
    char *found = NULL;
    bool data = false;
    assert_memory_equal(png, "\x89PNG\r\n\x1a\n", 8);
    for (size_t at = 8; at + 12 <= bytes;) {
        uint32_t length = big_endian(png + at);
        assert_true(at + 12 + length <= bytes);
        assert_int_equal(crc_of(png + at + 4, length + 4), big_endian(png + at + 8 + length));
        const char *name = (const char *)png + at + 4, *body = name + 4;
        data = data || memcmp(name, "IDAT", 4) == 0;
        if (memcmp(name, type, 4) == 0 && strncmp(body, key, length) == 0) {
            assert_false(data); // readers stop at the picture data
            size_t skip = strlen(key) + (memcmp(type, "iTXt", 4) == 0 ? 5 : 1);
            found = strndup(body + skip, length - skip);
        }
        at += 12 + length;
    }
    if (!found) {
        fail_msg("no %s '%s'", type, key);
    }
    return found;
}

static void test_picture(void **state) {
    (void)state;
    char output[8192];
    assert_int_equal(gen("",
                         "-m tiny -p 'a \"red\" ball, 1:2' -n 'bl\xc3\xbcrry' --cfg-scale 2 "
                         "--seed 7 --json r.json -v -o red.png",
                         output, sizeof(output)),
                     0);
    size_t bytes;
    uint8_t *png = ht_test_read_file(ht_test_folder_file(&folder, "red.png"), &bytes);
    char *text = png_text(png, bytes, "tEXt", "parameters");
    // Latin-1 in the file
    assert_non_null(strstr(text,
                           "a \"red\" ball, 1:2\nNegative prompt: bl\xfcrry\nSteps: 2, Sampler: "
                           "DPM++ 2M, Schedule type: normal, CFG scale: 2, Seed: 7, Size: "
                           "32x32, Model: tiny"));
    free(text);
    text = png_text(png, bytes, "tEXt", "halftone");
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "prompt")), "a \"red\" ball, 1:2");
    assert_int_equal(json_integer_value(json_object_get(json, "seed")), 7);
    json_decref(json);
    free(text);
    free(png);
    json = json_load_file(ht_test_folder_file(&folder, "r.json"), 0, NULL);
    assert_non_null(json);
    json_t *picture = json_array_get(json_object_get(json, "pictures"), 0);
    assert_int_equal(json_array_size(json_object_get(picture, "step_seconds")), 2);
    assert_true(json_integer_value(json_object_get(picture, "peak_device_bytes")) > 0);
    assert_int_equal(json_array_size(json_object_get(picture, "parts")), 3);
    json_decref(json);
}

static bool exists(const char *name) {
    return access(ht_test_folder_file(&folder, name), F_OK) == 0;
}

// Several prompts and pictures, names, another alphabet, stdout.
static void test_many(void **state) {
    (void)state;
    char output[8192];
    static const char lines[] = "# comment\nfirst\n\n  second \xe7\x90\x83\r\n";
    ht_test_write(&folder, "p.txt", lines, strlen(lines));
    assert_int_equal(
        gen("", "-m tiny --prompt-file p.txt -s 3 -o n%03d.png -b 2 -q", output, sizeof(output)),
        0);
    assert_string_equal(output, "");
    assert_true(exists("n001.png") && exists("n002.png") && exists("n003.png"));
    size_t bytes, again_bytes;
    uint8_t *png = ht_test_read_file(ht_test_folder_file(&folder, "n004.png"), &bytes);
    char *text = png_text(png, bytes, "iTXt", "parameters");
    assert_non_null(strstr(text, "second \xe7\x90\x83\nSteps: 2"));
    assert_non_null(strstr(text, "Seed: 6"));
    free(text);
    free(png);
    // the default name never replaces anything; stdout gives the same picture
    assert_int_equal(gen("", "-m tiny -p first -s 3", output, sizeof(output)), 0);
    assert_int_equal(gen("", "-m tiny -p first -s 3", output, sizeof(output)), 0);
    assert_non_null(strstr(output, "gen-3-2.png"));
    assert_true(exists("gen-3.png") && exists("gen-3-2.png"));
    assert_int_equal(gen("", "-m tiny -p first -s 3 -q -o - > out.png", output, sizeof(output)), 0);
    png = ht_test_read_file(ht_test_folder_file(&folder, "gen-3.png"), &bytes);
    uint8_t *again = ht_test_read_file(ht_test_folder_file(&folder, "out.png"), &again_bytes);
    assert_int_equal(bytes, again_bytes);
    assert_memory_equal(png, again, bytes);
    free(png);
    free(again);
    // from a picture, as JPEG, with previews
    assert_int_equal(gen("", "-m tiny -p x -i gen-3.png --strength 0.9 -o j.jpg --preview v.png -q",
                         output, sizeof(output)),
                     0);
    assert_true(exists("j.jpg") && exists("v.png"));
    // under a mask, which is recorded
    assert_int_equal(
        gen("", "-m tiny -p x -i gen-3.png --mask gen-3.png --w8a8 -o m.png -q --json m.json",
            output, sizeof(output)),
        0);
    png = ht_test_read_file(ht_test_folder_file(&folder, "m.png"), &bytes);
    text = png_text(png, bytes, "tEXt", "parameters");
    assert_non_null(strstr(text, "Denoising strength: 0.75, Mask blur: 4"));
    free(text);
    free(png);
    json_t *json = json_load_file(ht_test_folder_file(&folder, "m.json"), 0, NULL);
    json_t *picture = json_array_get(json_object_get(json, "pictures"), 0);
    assert_string_equal(json_string_value(json_object_get(picture, "mask")), "gen-3.png");
    json_decref(json);
    assert_int_equal(gen("", "-m tiny -p x -H 16 -o flat.png", output, sizeof(output)), 0);
    expect(&(refusal){NULL, "-m tiny -p x -i gen-3.png --mask flat.png -o n.png", 1,
                      "the mask has 32 x 16 pixels, the initial picture 32 x 32"});
}

// A ControlNet beside the model, packed by the recipe, and what the PNG says of it.
static void test_control(void **state) {
    (void)state;
    char output[8192], command[2 * sizeof(here) + 256];
    assert_int_equal(gen("", "-m tiny -p x -o edges.png", output, sizeof(output)), 0);
    expect(&(refusal){NULL, "-p x -m tiny --control none --control-image edges.png -o n.png", 1,
                      "a ControlNet serves Stable Diffusion and SDXL"});
    expect(&(refusal){NULL, "-p x -m tiny --control-image edges.png -o n.png", 1,
                      "a control picture needs a ControlNet"});
    snprintf(command, sizeof(command),
             "-m %s/tests/data/models/tiny-sd --control %s/tests/data/models/tiny-control/sd "
             "--control-image edges.png --control-strength 0.5 -p x -W 16 -H 16 --steps 2 --w4a8 "
             "-o led.png -q",
             here, here);
    assert_int_equal(gen("", command, output, sizeof(output)), 0);
    size_t bytes;
    uint8_t *png = ht_test_read_file(ht_test_folder_file(&folder, "led.png"), &bytes);
    char *text = png_text(png, bytes, "tEXt", "parameters");
    assert_non_null(strstr(text, "ControlNet 0: \"Module: none, Model: sd, Weight: 0.5, Guidance "
                                 "Start: 0, Guidance End: 1\", Recipe: w4a8"));
    free(text);
    free(png);
}

static void test_check(void **state) {
    (void)state;
    char output[8192];
    assert_int_equal(gen("", "-m tiny -p x --check --fp32 -o c.png", output, sizeof(output)), 0);
    assert_non_null(strstr(output, " 0 beyond 1e-05"));
    assert_int_equal(gen("", "-m tiny -p x --check -o d.png", output, sizeof(output)), 0);
}

// A signal in the middle of a long run: its exit code, and nothing left behind.
static void stop_by(int signal_number, int code, const char *part) {
    char log[256], command[1024];
    snprintf(log, sizeof(log), "%s/stop.log", folder.path);
    pid_t child = fork();
    if (child == 0) {
        if (chdir(folder.path) != 0 || !freopen(log, "w", stderr)) {
            _exit(99);
        }
        execl(HT_GEN_PATH, "gen", "-m", "tiny", "-p", "x", "--steps", "900", "-o", "stopped.png",
              "-v", (char *)NULL);
        _exit(99);
    }
    assert_true(child > 0);
    // into the loop: wait for the device to be open, then a little
    for (int i = 0; i < 300; ++i) {
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
        snprintf(command, sizeof(command), "grep -q device '%s'", log);
        if (run_shell(command) == 0) {
            break;
        }
    }
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    assert_int_equal(kill(child, signal_number), 0);
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result));
    assert_int_equal(WEXITSTATUS(result), code);
    assert_false(exists("stopped.png"));
    snprintf(command, sizeof(command), "! ls -A '%s' | grep -q '^.ht-' && grep -q '%s' '%s'",
             folder.path, part, log);
    assert_int_equal(run_shell(command), 0);
}

static void test_signals(void **state) {
    (void)state;
    stop_by(SIGINT, 130, "cancelled");
    stop_by(SIGTERM, 130, "cancelled");
    stop_by(SIGBUS, 1, "changed or shrank");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_outputs_refused),
        cmocka_unit_test(test_models_refused),
        cmocka_unit_test(test_models_in_one_file),
        cmocka_unit_test(test_requests_refused),
        cmocka_unit_test(test_picture),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_control),
        cmocka_unit_test(test_signals),
    };
    open_folder();
    make_model("tiny", NULL, NULL);
    setenv("HALFTONE_MODELS", folder.path, 1);
    int result = ht_test_run_gpu(tests, HT_COUNT(tests));
    close_folder();
    return result;
}
