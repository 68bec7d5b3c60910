// The pictures that a call starts from.
#include "gen.h"

#include "common/png.h"

#include <stdlib.h>

// A mask may be in the transparency of a picture: see ht_mask_read.
static bool read_one(const char *path, bool is_mask, ht_app_log *log, ht_image *out) {
    const char *why;
    uint32_t width, height;
    if (!path) {
        return true;
    }
    uint8_t *pixels = is_mask ? ht_mask_read(path, &width, &height, &why)
                              : ht_picture_read(path, &width, &height, &why);
    if (!pixels) {
        ht_app_say(log, HT_LOG_ERROR, "'%s' cannot be read as a picture: %s", path, why);
        return false;
    }
    *out = (ht_image){.width = width, .height = height, .rgb = pixels};
    return true;
}

bool gen_pictures_read(const gen_options *options, ht_app_log *log, gen_pictures *out) {
    *out = (gen_pictures){0};
    return read_one(options->init_image, false, log, &out->init) &&
           read_one(options->mask, true, log, &out->mask) &&
           read_one(options->control_image, false, log, &out->control);
}

void gen_pictures_free(gen_pictures *pictures) {
    free(pictures->init.rgb);
    free(pictures->mask.rgb);
    free(pictures->control.rgb);
    *pictures = (gen_pictures){0};
}
