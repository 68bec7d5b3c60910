// Whole folders, copied and removed.
#include "folder.h"

#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DEPTH = 8, BUFFER = 1 << 16 };

typedef struct copier {
    bool (*skip)(void *user, const char *path);
    void *user;
    char *why;
    size_t why_bytes;
} copier;

static bool fail(const copier *c, const char *what, const char *path) {
    snprintf(c->why, c->why_bytes, "cannot %s '%s': %s", what, path, strerror(errno));
    return false;
}

bool ht_is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool copy_bytes(int from, int to) {
    char buffer[BUFFER];
    ssize_t n;
    while ((n = read(from, buffer, sizeof(buffer))) != 0) {
        if (n < 0 ? errno != EINTR : !ht_file_write_all(to, buffer, (size_t)n)) {
            return false;
        }
    }
    return true;
}

static bool copy_file(const copier *c, const char *from, const char *to) {
    const int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0) {
        return fail(c, "read", from);
    }
    const int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    bool good = out >= 0 && copy_bytes(in, out) && fsync(out) == 0;
    if (!good) {
        fail(c, "write", to);
    }
    if (out >= 0 && close(out) != 0 && good) {
        good = fail(c, "write", to);
    }
    close(in);
    return good;
}

// `below` is the path from the top, "" there.
static bool copy_folder(const copier *c, const char *from, const char *to, const char *below,
                        int depth) {
    DIR *dir = opendir(from);
    struct dirent *entry;
    bool good = true;
    if (!dir) {
        return fail(c, "read", from);
    }
    if (mkdir(to, 0777) != 0) {
        closedir(dir);
        return fail(c, "make", to);
    }
    while (good && (entry = readdir(dir))) {
        char in[PATH_MAX], out[PATH_MAX], path[PATH_MAX];
        struct stat info;
        if (entry->d_name[0] == '.') {
            continue;
        }
        errno = ENAMETOOLONG;
        if (snprintf(in, sizeof(in), "%s/%s", from, entry->d_name) >= PATH_MAX ||
            snprintf(out, sizeof(out), "%s/%s", to, entry->d_name) >= PATH_MAX ||
            snprintf(path, sizeof(path), "%s%s%s", below, *below ? "/" : "", entry->d_name) >=
                PATH_MAX ||
            stat(in, &info) != 0) {
            good = fail(c, "read", in);
        } else if (S_ISDIR(info.st_mode)) {
            good = depth == MAX_DEPTH || copy_folder(c, in, out, path, depth + 1);
        } else if (S_ISREG(info.st_mode) && !c->skip(c->user, path)) {
            good = copy_file(c, in, out);
        }
    }
    closedir(dir);
    return good;
}

bool ht_folder_copy(const char *from, const char *to, bool (*skip)(void *user, const char *path),
                    void *user, char *why, size_t why_bytes) {
    const copier c = {skip, user, why, why_bytes};
    return copy_folder(&c, from, to, "", 0);
}

void ht_folder_remove(const char *path) {
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char inside[PATH_MAX];
        struct stat info;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            snprintf(inside, sizeof(inside), "%s/%s", path, entry->d_name) >= PATH_MAX) {
            continue;
        }
        if (lstat(inside, &info) == 0 && S_ISDIR(info.st_mode)) {
            ht_folder_remove(inside);
        } else {
            unlink(inside);
        }
    }
    if (dir) {
        closedir(dir);
    }
    rmdir(path);
}
