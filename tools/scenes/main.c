// scenes-render: writes pictures of a range of seeds as raw RGB, and a JSON line for each.
#include "scene.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SIZE = 1024, IDS_SIZE = 32 };

static const char usage[] =
    "usage: scenes-render --count N [--first-seed S] [--size 128] [--split train|held-out|all]\n"
    "                     [--pixels FILE] [--json FILE] [--ids FILE]\n"
    "Writes N pictures as raw RGB rows to --pixels, N lines to --json, and to --ids a map of "
    "32x32\n"
    "bytes each: which object is seen there, 254 ground, 255 sky. - is the standard output.\n";

typedef struct options {
    uint64_t first_seed, count;
    int size;
    split from;
    const char *pixels, *json, *ids;
} options;

static bool read_number(const char *text, uint64_t *out) {
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *text != '-';
}

static bool read_split(const char *text, split *out) {
    static const char *const names[] = {"train", "held-out", "all"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (split)i;
            return true;
        }
    }
    return false;
}

static bool read_option(options *o, const char *name, const char *value) {
    uint64_t n = 0;
    if (strcmp(name, "--count") == 0) {
        return read_number(value, &o->count);
    }
    if (strcmp(name, "--first-seed") == 0) {
        return read_number(value, &o->first_seed);
    }
    if (strcmp(name, "--size") == 0) {
        bool good = read_number(value, &n) && n >= 8 && n <= MAX_SIZE;
        o->size = (int)n;
        return good;
    }
    if (strcmp(name, "--split") == 0) {
        return read_split(value, &o->from);
    }
    if (strcmp(name, "--pixels") == 0) {
        o->pixels = value;
        return true;
    }
    if (strcmp(name, "--json") == 0) {
        o->json = value;
        return true;
    }
    if (strcmp(name, "--ids") == 0) {
        o->ids = value;
        return true;
    }
    return false;
}

// *out stays NULL for a path that was not given.
static bool open_output(const char *path, FILE **out) {
    *out = NULL;
    if (path == NULL) {
        return true;
    }
    *out = strcmp(path, "-") == 0 ? stdout : fopen(path, "wb");
    if (*out == NULL) {
        fprintf(stderr, "scenes-render: cannot write %s: %s\n", path, strerror(errno));
    }
    return *out != NULL;
}

static bool close_output(FILE *f) {
    return f == NULL || (fflush(f) == 0 && !ferror(f) && (f == stdout || fclose(f) == 0));
}

static bool write_all(const options *o, FILE *pixels, FILE *json, FILE *ids, uint8_t *rgb) {
    size_t bytes = (size_t)o->size * (size_t)o->size * 3;
    for (uint64_t i = 0; i < o->count; i++) {
        scene s;
        scene_draw_lot(&s, o->first_seed + i, o->from);
        if (json != NULL) {
            scene_write_json(&s, json);
        }
        if (pixels != NULL) {
            scene_render(&s, o->size, rgb);
            if (fwrite(rgb, 1, bytes, pixels) != bytes) {
                return false;
            }
        }
        if (ids != NULL) {
            uint8_t map[IDS_SIZE * IDS_SIZE];
            scene_ids(&s, IDS_SIZE, map);
            if (fwrite(map, 1, sizeof map, ids) != sizeof map) {
                return false;
            }
        }
    }
    return true;
}

int main(int argc, char **argv) {
    options o = {.size = 128, .from = SPLIT_TRAIN};
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 >= argc || !read_option(&o, argv[i], argv[i + 1])) {
            fprintf(stderr, "scenes-render: bad option %s\n%s", argv[i], usage);
            return 2;
        }
    }
    FILE *pixels = NULL, *json = NULL, *ids = NULL;
    uint8_t *rgb = malloc((size_t)o.size * (size_t)o.size * 3);
    if (rgb == NULL || !open_output(o.pixels, &pixels) || !open_output(o.json, &json) ||
        !open_output(o.ids, &ids)) {
        free(rgb);
        return 1;
    }
    bool good = write_all(&o, pixels, json, ids, rgb);
    good = close_output(pixels) && good;
    good = close_output(json) && good;
    good = close_output(ids) && good;
    if (!good) {
        fprintf(stderr, "scenes-render: writing failed: %s\n", strerror(errno));
    }
    free(rgb);
    return good ? 0 : 1;
}
