// Runs a fuzz target without a fuzzer: each file as it is, then seeded mutations of it. Needs no
// special compiler; with sanitizers on it is a small fuzzer of its own.
//   regress MUTATIONS FILE...
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct input {
    uint8_t *data;
    size_t bytes;
} input;

enum { TIME_LIMIT_S = 4 };

static uint32_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

// Where to mutate: anywhere, but twice as often near the front, where headers are.
static size_t pick_place(uint64_t *seed, size_t bytes) {
    const size_t range = next_random(seed) % 2 && bytes > 512 ? 512 : bytes;
    return range == 0 ? 0 : next_random(seed) % range;
}

static void overwrite(input *in, size_t at, const void *data, size_t bytes) {
    if (at + bytes <= in->bytes) {
        memmove(in->data + at, data, bytes);
    }
}

static void insert(input *in, size_t at, const char *text) {
    const size_t bytes = strlen(text);
    memmove(in->data + at + bytes, in->data + at, in->bytes - at);
    memcpy(in->data + at, text, bytes);
    in->bytes += bytes;
}

static void erase(input *in, size_t at, size_t bytes) {
    bytes = bytes < in->bytes - at ? bytes : in->bytes - at;
    memmove(in->data + at, in->data + at + bytes, in->bytes - at - bytes);
    in->bytes -= bytes;
}

static void mutate(input *in, uint64_t *seed) {
    static const char *const words[] = {
        "-1",
        "9007199254740993",
        "18446744073709551615",
        "1e9",
        "0.5",
        "[[[[",
        "}",
        "{",
        "\"",
        "\\u0000",
        "\\ud800",
        "null",
        ",",
        "\"a\":",
        "..",
        "/",
        "\xff",
        "\xf0\x9f",
        "_",
    };
    const size_t at = pick_place(seed, in->bytes);
    uint8_t byte = (uint8_t)next_random(seed);
    const uint32_t number = next_random(seed) % 3 ? UINT32_MAX << next_random(seed) % 32 : byte;
    if (in->bytes == 0) {
        return;
    }
    switch (next_random(seed) % 7) {
    case 0: in->data[at] ^= (uint8_t)(1u << byte % 8); break;
    case 1: in->data[at] = byte; break;
    case 2: overwrite(in, at, &number, sizeof number); break;
    case 3: insert(in, at, words[next_random(seed) % (sizeof words / sizeof words[0])]); break;
    case 4: erase(in, at, 1 + byte % 16); break;
    case 5:
        overwrite(in, pick_place(seed, in->bytes), in->data + at,
                  in->bytes - at < byte ? in->bytes - at : byte);
        break;
    default:
        if (byte % 8 == 0) {
            in->bytes = at; // truncated
        } else {
            in->data[at] = (uint8_t)("0123456789{}[]\",:"[byte % 17]);
        }
        break;
    }
}

static input read_input(const char *path) {
    input in = {0};
    FILE *file = fopen(path, "rb");
    fuzz_require(file != NULL, path);
    fuzz_require(fseek(file, 0, SEEK_END) == 0, path);
    in.bytes = (size_t)ftell(file);
    rewind(file);
    in.data = malloc(in.bytes + 1);
    fuzz_require(in.data != NULL && fread(in.data, 1, in.bytes, file) == in.bytes, path);
    fclose(file);
    return in;
}

// Mutation `number` of a file; always the same.
static void run_mutation(const input *original, uint64_t number) {
    enum { MAX_MUTATIONS = 6, LONGEST_WORD = 24 };
    uint64_t seed = number * 2654435761u + 1;
    input copy = {.data = malloc(original->bytes + MAX_MUTATIONS * LONGEST_WORD),
                  .bytes = original->bytes};
    fuzz_require(copy.data != NULL, "memory");
    memcpy(copy.data, original->data, original->bytes);
    for (uint32_t n = 1 + next_random(&seed) % MAX_MUTATIONS; n > 0; n--) {
        mutate(&copy, &seed);
    }
    // A block of exactly this size lets sanitizers see a read past its end.
    uint8_t *exact = realloc(copy.data, copy.bytes ? copy.bytes : 1);
    LLVMFuzzerTestOneInput(exact, copy.bytes);
    free(exact);
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: %s MUTATIONS FILE...\n", argv[0]);
        return 2;
    }
    const uint64_t count = strtoull(argv[1], NULL, 10);
    const time_t start = time(NULL);
    uint64_t done = 0;
    for (uint64_t i = 0; i <= count && time(NULL) - start < TIME_LIMIT_S; i++) {
        for (int file = 2; file < argc; file++) {
            input original = read_input(argv[file]);
            if (i == 0) {
                LLVMFuzzerTestOneInput(original.data, original.bytes);
            } else {
                run_mutation(&original, i);
            }
            free(original.data);
            done++;
        }
    }
    printf("%llu inputs\n", (unsigned long long)done);
    return 0;
}
