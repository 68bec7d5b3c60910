// Where programs keep what can be made again.
#include "cache.h"

#include "flags.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint64_t DEFAULT_BYTES = UINT64_C(20) << 30;

static bool choose(char path[PATH_MAX]) {
    const char *own = getenv("HALFTONE_CACHE"), *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    int length = 0;
    if (own) {
        length = snprintf(path, PATH_MAX, "%s", own);
    } else if (cache && *cache) {
        length = snprintf(path, PATH_MAX, "%s/halftone", cache);
    } else if (home && *home) {
        length = snprintf(path, PATH_MAX, "%s/.cache/halftone", home);
    }
    return length > 0 && length < PATH_MAX;
}

// mkdir -p
static bool make_folders(char path[PATH_MAX]) {
    for (char *slash = path + 1; (slash = strchr(slash, '/')); ++slash) {
        *slash = 0;
        mkdir(path, 0700); // what fails here fails below
        *slash = '/';
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

bool ht_cache_folder(char path[PATH_MAX]) {
    return choose(path) && make_folders(path) && access(path, W_OK | X_OK) == 0;
}

uint64_t ht_cache_limit(void) {
    uint64_t bytes = 0;
    const char *text = getenv("HALFTONE_CACHE_SIZE");
    return text && ht_parse_size(text, &bytes) ? bytes : DEFAULT_BYTES;
}
