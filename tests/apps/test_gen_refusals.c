// Checkpoints and pictures that do not fit: one sentence each, exit code 1, and no file.
#include "support.h"

#include "files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MODELS "tests/data/models/"
#define UNET "unet/diffusion_pytorch_model.safetensors"

static ht_test_folder folder;
static char here[1024];

static void shell(const char *format, const char *a, const char *b) {
    char command[4096];
    snprintf(command, sizeof(command), format, folder.path, here, a, b);
    int result = system(command);
    assert_true(WIFEXITED(result) && WEXITSTATUS(result) == 0);
}

// A copy of the tiny Stable Diffusion.
static void make_model(const char *name) {
    shell("cd '%s' && cp -rL '%s/" MODELS "tiny-sd' '%s' && chmod -R u+w '%s'", name, name);
}

static char *path_of(const char *model, const char *file) {
    static char path[1200];
    snprintf(path, sizeof(path), "%s/%s/%s", folder.path, model, file);
    return path;
}

// Replace a text of the file's header by one as long.
static void edit(const char *model, const char *file, const char *from, const char *to) {
    size_t bytes, length = strlen(from);
    uint8_t *data = ht_test_read_file(path_of(model, file), &bytes);
    uint8_t *found = NULL;
    assert_int_equal(length, strlen(to));
    for (size_t i = 0; i + length <= bytes && !found; ++i) {
        found = memcmp(data + i, from, length) == 0 ? data + i : NULL;
    }
    assert_non_null(found);
    memcpy(found, to, length);
    FILE *out = fopen(path_of(model, file), "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, bytes, out), bytes);
    fclose(out);
    free(data);
}

// Add a tensor of one value at the file's end.
static void add_tensor(const char *model, const char *file, const char *name) {
    char entry[256];
    size_t bytes;
    uint64_t header, grown;
    uint8_t *data = ht_test_read_file(path_of(model, file), &bytes);
    memcpy(&header, data, sizeof(header));
    size_t end = bytes - 8 - (size_t)header;
    int length = snprintf(entry, sizeof(entry),
                          "\"%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[%zu,%zu]},",
                          name, end, end + 4);
    grown = header + (uint64_t)length;
    FILE *out = fopen(path_of(model, file), "wb");
    assert_non_null(out);
    fwrite(&grown, 1, sizeof(grown), out);
    fwrite(data + 8, 1, 1, out); // {
    fwrite(entry, 1, (size_t)length, out);
    fwrite(data + 9, 1, bytes - 9, out);
    fwrite("\0\0\0\0", 1, 4, out);
    fclose(out);
    free(data);
}

static void make_files(void) {
    make_model("missing");
    edit("missing", UNET, "\"conv_in.weight\"", "\"conv_in.wEIGHT\"");
    make_model("shape");
    edit("shape", UNET, "[8,4,3,3]", "[4,8,3,3]");
    make_model("dtype");
    edit("dtype", UNET, "\"F32\"", "\"I64\"");
    make_model("extra");
    add_tensor("extra", UNET, "conv_in.other");
    make_model("good");
    static const char broken[] = "GGUF\3\0\0\0\377\377\377\377\377\377\377\177\0\0\0\0\0\0\0\0";
    ht_test_write(&folder, "broken.gguf", broken, sizeof(broken) - 1);
    ht_test_write(&folder, "old.ckpt", "PK\3\4", 4);
    ht_test_write(&folder, "word.pt", "PK\3\4", 4);
    ht_test_write(&folder, "vae.safetensors", "PK\3\4\24\0\10\10\0\0", 10);
    static const char ppm[] = "P6 2 2 255\n............";
    ht_test_write(&folder, "small.ppm", ppm, sizeof(ppm) - 1);
    shell("cd '%s' && cp '%s/" MODELS "tiny-taesd/taesd_encoder.safetensors' %s%s",
          "half.safetensors", "");
}

static void test_one_sentence(void **state) {
    (void)state;
    static const struct {
        const char *arguments, *parts[2]; // of the sentence: the file, and what is wrong
    } rows[] = {
        {"-m ./missing", {"missing/unet", "lacks tensor 'conv_in.weight'"}},
        {"-m ./shape", {"'conv_in.weight'", "[4, 8, 3, 3], expected"}},
        {"-m ./dtype", {"dtype/unet", "I64"}},
        {"-m broken.gguf", {"broken.gguf", ""}},
        {"-m ./good --diffusion-model broken.gguf", {"broken.gguf", ""}},
        {"-m old.ckpt", {"old.ckpt", "a pickle of PyTorch, which is a program"}},
        {"-m ./good --diffusion-model old.ckpt", {"old.ckpt", "convert"}},
        {"-m ./good --vae vae.safetensors", {"vae.safetensors", "a pickle of PyTorch"}},
        {"-m ./good --vae half.safetensors", {"half.safetensors", "has an encoder only"}},
        {"-m ./good --vae tiny", {"good/vae_tiny", "there is no tiny autoencoder"}},
        {"-m ./good --taesd good/vae --vae good/vae", {"good/vae", "not a tiny autoencoder"}},
        {"-m ./good -i small.ppm --mask $T/../../assets/pictures/first.png",
         {"the mask has", "the initial picture 2 x 2"}},
        {"-m ./good --embedding word.pt", {"word.pt", "a pickle of PyTorch"}},
        {"-m ./good --embd-dir .", {"word.pt", "a pickle of PyTorch"}},
        {"-m ./good --embedding $T/embeddings/toy_xl.safetensors",
         {"toy_xl.safetensors", "for another model"}},
        {"-m ./good --embedding wide.safetensors",
         {"wide.safetensors", "have 2 values, the text encoder's 32"}},
        {"-m ./good --embd-dir none", {"'none'", "is not a folder"}},
        {"-m ./good --lora $T/loras/pixart.safetensors", {"pixart.safetensors", ""}},
        {"-m ./good -W 16 -H 16 --hires-width 8", {"8 x 8 pixels", "the first 16 x 16"}},
        {"-m ./good -W 8192 -H 8192 --batch-size 16 --max-memory 1G", {"MiB", "8192 x 8192"}},
    };
    make_files();
    ht_test_write_safetensors(
        &folder, "wide.safetensors",
        "{\"emb_params\":{\"dtype\":\"F16\",\"shape\":[1,2],\"data_offsets\":[0,4]}}", NULL, 4);
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        char command[4096], output[8192];
        snprintf(command, sizeof(command),
                 "cd '%s' && T='%s/tests/data' && '%s' -p 'a word' -o out.png %s </dev/null 2>&1",
                 folder.path, here, HT_GEN_PATH, rows[i].arguments);
        int code = ht_test_run(command, output, sizeof(output));
        const char *end = strchr(output, '\n');
        if (code != 1 || strncmp(output, "gen: ", 5) != 0 || !end || end[1] ||
            !strstr(output, rows[i].parts[0]) || !strstr(output, rows[i].parts[1])) {
            fail_msg("gen %s\n  exit code %d, expected 1 and one sentence with '%s' and '%s':\n%s",
                     rows[i].arguments, code, rows[i].parts[0], rows[i].parts[1], output);
        }
        struct stat info;
        assert_int_not_equal(stat(path_of(".", "out.png"), &info), 0);
    }
}

// A tensor too many is no error; -v says how many there are.
static void test_extra_tensor(void **state) {
    (void)state;
    char command[4096], output[8192];
    snprintf(command, sizeof(command),
             "cd '%s' && '%s' -p x -m ./extra -W 16 -H 16 --steps 1 -v -o extra.png 2>&1",
             folder.path, HT_GEN_PATH);
    int code = ht_test_run(command, output, sizeof(output));
    if (code != 0 || !strstr(output, "extra/unet': 1 tensors are not used")) {
        fail_msg("%d: %s", code, output);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_sentence),
        cmocka_unit_test(test_extra_tensor),
    };
    if (!getcwd(here, sizeof(here))) {
        return 1;
    }
    ht_test_folder_open(&folder);
    int result = ht_test_run_gpu(tests, HT_COUNT(tests));
    shell("cd '%s' && : '%s' && rm -rf ./* '%s' '%s'", "none", "none");
    ht_test_folder_close(&folder);
    return result;
}
