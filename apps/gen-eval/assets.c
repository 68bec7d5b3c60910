// Where files that come with the program are.
#include "eval.h"

#include "common/files.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

// Beside the program, so that an installation can be moved.
static bool installed(const char *name, char path[PATH_MAX]) {
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length <= 0) {
        return false;
    }
    self[length] = 0;
    for (int up = 0; up < 2; ++up) {
        char *slash = strrchr(self, '/');
        if (slash) {
            *slash = 0;
        }
    }
    int n = snprintf(path, PATH_MAX, "%s/" HT_INSTALL_ASSETS "/%s", self, name);
    return n > 0 && n < PATH_MAX && ht_file_exists(path);
}

bool eval_asset(const char *name, char path[PATH_MAX]) {
    if (installed(name, path)) {
        return true;
    }
    int n = snprintf(path, PATH_MAX, HT_SOURCE_ASSETS "/%s", name);
    return n > 0 && n < PATH_MAX;
}
