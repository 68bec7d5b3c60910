// scenes-render: writes pictures or clips of a range of seeds as raw RGB, and a JSON line for each.
#include "clip.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SIZE = 1024, MAX_FRAMES = 1024, IDS_SIZE = 32 };

static const char usage[] =
    "usage: scenes-render --count N [--first-seed S] [--size 256] [--world rich|plain]\n"
    "                     [--split train|held-out|all]\n"
    "                     [--frames N] [--pixels FILE] [--json FILE] [--ids FILE]\n"
    "Writes N pictures as raw RGB rows to --pixels, N lines to --json, and to --ids a map of "
    "32x32\n"
    "bytes each: which object is seen there, 254 ground, 255 sky. - is the standard output.\n"
    "With --frames: clips of so many pictures, in which something moves, of the plain world.\n";

typedef struct options {
    uint64_t first_seed, count;
    int size, frames; // frames 0: pictures
    world world; // of pictures
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
    if (strcmp(name, "--frames") == 0) {
        bool good = read_number(value, &n) && n >= 2 && n <= MAX_FRAMES;
        o->frames = (int)n;
        return good;
    }
    if (strcmp(name, "--world") == 0) {
        o->world = strcmp(value, "plain") == 0 ? WORLD_PLAIN : WORLD_RICH;
        return o->world == WORLD_PLAIN || strcmp(value, "rich") == 0;
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

typedef struct outputs {
    FILE *pixels, *json, *ids;
    uint8_t *rgb; // room for one picture
} outputs;

static bool write_picture(const options *o, const outputs *to, const scene *s) {
    size_t bytes = (size_t)o->size * (size_t)o->size * 3;
    if (to->pixels != NULL) {
        scene_render(s, o->size, to->rgb);
        if (fwrite(to->rgb, 1, bytes, to->pixels) != bytes) {
            return false;
        }
    }
    if (to->ids != NULL) {
        uint8_t map[IDS_SIZE * IDS_SIZE];
        scene_ids(s, IDS_SIZE, map);
        return fwrite(map, 1, sizeof map, to->ids) == sizeof map;
    }
    return true;
}

static bool write_scene(const options *o, const outputs *to, uint64_t seed) {
    scene s;
    scene_draw_lot(&s, o->world, seed, o->from);
    if (to->json != NULL) {
        scene_write_json(&s, to->json);
    }
    return write_picture(o, to, &s);
}

static bool write_clip(const options *o, const outputs *to, uint64_t seed) {
    clip c;
    clip_draw_lot(&c, seed, o->from);
    if (to->json != NULL) {
        clip_write_json(&c, to->json);
    }
    for (int i = 0; i < o->frames; i++) {
        scene s;
        clip_scene_at(&c, (float)i / (float)(o->frames - 1), &s);
        if (!write_picture(o, to, &s)) {
            return false;
        }
    }
    return true;
}

static bool write_all(const options *o, const outputs *to) {
    for (uint64_t i = 0; i < o->count; i++) {
        uint64_t seed = o->first_seed + i;
        if (!(o->frames > 0 ? write_clip(o, to, seed) : write_scene(o, to, seed))) {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv) {
    options o = {.size = 256, .world = WORLD_RICH, .from = SPLIT_TRAIN};
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 >= argc || !read_option(&o, argv[i], argv[i + 1])) {
            fprintf(stderr, "scenes-render: bad option %s\n%s", argv[i], usage);
            return 2;
        }
    }
    outputs to = {.rgb = malloc((size_t)o.size * (size_t)o.size * 3)};
    if (to.rgb == NULL || !open_output(o.pixels, &to.pixels) || !open_output(o.json, &to.json) ||
        !open_output(o.ids, &to.ids)) {
        free(to.rgb);
        return 1;
    }
    bool good = write_all(&o, &to);
    good = close_output(to.pixels) && good;
    good = close_output(to.json) && good;
    good = close_output(to.ids) && good;
    if (!good) {
        fprintf(stderr, "scenes-render: writing failed: %s\n", strerror(errno));
    }
    free(to.rgb);
    return good ? 0 : 1;
}
