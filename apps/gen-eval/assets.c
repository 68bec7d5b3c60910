// Where files that come with the program are.
#include "eval.h"

#include "common/files.h"
#include "common/models.h"

#include <stdio.h>

static bool installed(const char *name, char path[PATH_MAX]) {
    char prefix[PATH_MAX];
    if (!ht_program_prefix(prefix)) {
        return false;
    }
    int n = snprintf(path, PATH_MAX, "%s/" HT_INSTALL_ASSETS "/%s", prefix, name);
    return n > 0 && n < PATH_MAX && ht_file_exists(path);
}

bool eval_asset(const char *name, char path[PATH_MAX]) {
    if (installed(name, path)) {
        return true;
    }
    int n = snprintf(path, PATH_MAX, HT_SOURCE_ASSETS "/%s", name);
    return n > 0 && n < PATH_MAX;
}
