// Writing results: all or nothing.
#include "files.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool give_up(char *why, size_t why_bytes, const char *what, const char *path) {
    snprintf(why, why_bytes, "%s '%s': %s", what, path, strerror(errno));
    return false;
}

bool ht_file_write_all(int fd, const void *data, size_t bytes) {
    const char *p = data;
    while (bytes > 0) {
        ssize_t n = write(fd, p, bytes);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        p += n;
        bytes -= (size_t)n;
    }
    return true;
}

bool ht_file_exists(const char *path) {
    struct stat info;
    return lstat(path, &info) == 0;
}

const char *ht_file_ending(const char *path) {
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    return dot ? dot + 1 : "";
}

// The first "%d" or "%0Nd" of a pattern; NULL when there is none. *width: N or 0.
static const char *number_hole(const char *pattern, int *width, size_t *length) {
    for (const char *p = strchr(pattern, '%'); p; p = strchr(p + 1, '%')) {
        const char *q = p + 1;
        *width = 0;
        while (isdigit((unsigned char)*q) && q - p < 4) {
            *width = *width * 10 + (*q++ - '0');
        }
        if (*q == 'd') {
            *length = (size_t)(q + 1 - p);
            return p;
        }
    }
    return NULL;
}

bool ht_file_number(const char *pattern, size_t number, char *path) {
    int width;
    size_t length;
    const char *hole = number_hole(pattern, &width, &length);
    int bytes = hole ? snprintf(path, PATH_MAX, "%.*s%0*zu%s", (int)(hole - pattern), pattern,
                                width, number, hole + length)
                     : 0;
    return bytes > 0 && bytes < PATH_MAX;
}

// A device, pipe or socket: nothing to be replaced.
static bool is_special(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

// Folder part of a path into `folder`; "." when there is none.
static void folder_of(const char *path, char folder[PATH_MAX]) {
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 1;
    length = slash == path ? 1 : length;
    snprintf(folder, PATH_MAX, "%.*s", (int)length, slash ? path : ".");
}

bool ht_file_check(const char *path, bool overwrite, char *why, size_t why_bytes) {
    char folder[PATH_MAX];
    struct stat info;
    if (strcmp(path, "-") == 0 || is_special(path)) {
        return true;
    }
    if (strlen(path) > PATH_MAX - 32) {
        snprintf(why, why_bytes, "the output's name is longer than %d bytes", PATH_MAX - 32);
        return false;
    }
    folder_of(path, folder);
    if (stat(folder, &info) != 0 || !S_ISDIR(info.st_mode)) {
        snprintf(why, why_bytes, "cannot write '%s': there is no folder '%s'", path, folder);
        return false;
    }
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        snprintf(why, why_bytes, "cannot write '%s': it is a folder", path);
        return false;
    }
    if (access(folder, W_OK | X_OK) != 0) {
        return give_up(why, why_bytes, "cannot write into", folder);
    }
    if (!overwrite && ht_file_exists(path)) {
        snprintf(why, why_bytes, "'%s' exists already; --overwrite replaces it", path);
        return false;
    }
    return true;
}

static bool write_special(const char *path, const void *data, size_t bytes, char *why,
                          size_t why_bytes) {
    bool to_stdout = strcmp(path, "-") == 0;
    int fd = to_stdout ? 1 : open(path, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && ht_file_write_all(fd, data, bytes);
    if (!good) {
        give_up(why, why_bytes, "cannot write", to_stdout ? "standard output" : path);
    }
    if (fd >= 0 && !to_stdout && close(fd) != 0 && good) {
        good = give_up(why, why_bytes, "cannot write", path);
    }
    return good;
}

// Give the finished file its name; without `overwrite` only when the name is free.
static bool publish(const char *temporary, const char *path, bool overwrite) {
    if (overwrite) {
        return rename(temporary, path) == 0;
    }
    if (link(temporary, path) == 0) {
        unlink(temporary);
        return true;
    }
    // File systems without hard links.
    return errno != EEXIST && !ht_file_exists(path) && rename(temporary, path) == 0;
}

static void sync_folder(const char *path) {
    char folder[PATH_MAX];
    folder_of(path, folder);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

bool ht_file_write(const char *path, const void *data, size_t bytes, bool overwrite, char *why,
                   size_t why_bytes) {
    char folder[PATH_MAX], temporary[PATH_MAX];
    if (strcmp(path, "-") == 0 || is_special(path)) {
        return write_special(path, data, bytes, why, why_bytes);
    }
    folder_of(path, folder);
    int length = snprintf(temporary, sizeof(temporary), "%s/.ht-XXXXXX", folder);
    if (length < 0 || (size_t)length >= sizeof(temporary)) {
        snprintf(why, why_bytes, "the output's name is too long");
        return false;
    }
    int fd = mkstemp(temporary);
    if (fd < 0) {
        return give_up(why, why_bytes, "cannot write into", folder);
    }
    mode_t mask = umask(0);
    umask(mask);
    bool good =
        ht_file_write_all(fd, data, bytes) && fchmod(fd, 0666 & ~mask) == 0 && fsync(fd) == 0;
    int error = errno;
    good = close(fd) == 0 && good;
    if (good && publish(temporary, path, overwrite)) {
        sync_folder(path);
        return true;
    }
    errno = good ? errno : error;
    give_up(why, why_bytes, "cannot write", path);
    unlink(temporary);
    return false;
}

// The rest of a stream, at most `limit` bytes and one that says that there are more. NULL: out of
// memory.
static char *read_rest(FILE *stream, size_t limit, size_t *bytes) {
    size_t room = limit < 1 << 16 ? limit + 2 : 1 << 16, count;
    char *text = malloc(room);
    *bytes = 0;
    while (text && (count = fread(text + *bytes, 1, room - 1 - *bytes, stream)) > 0) {
        *bytes += count;
        if (*bytes > limit) {
            break;
        }
        if (*bytes + 1 == room) {
            room = room < limit / 2 ? 2 * room : limit + 2;
            char *larger = realloc(text, room);
            if (!larger) {
                free(text);
            }
            text = larger;
        }
    }
    if (text) {
        text[*bytes] = 0;
    }
    return text;
}

char *ht_file_read_text(const char *path, size_t limit, char *why, size_t why_bytes) {
    FILE *stream = fopen(path, "rb");
    size_t bytes = 0;
    char *text = stream ? read_rest(stream, limit, &bytes) : NULL;
    if (!text) {
        give_up(why, why_bytes, "cannot read", path);
        if (stream) {
            fclose(stream);
        }
        return NULL;
    }
    const bool good = !ferror(stream);
    fclose(stream);
    if (!good || bytes > limit) {
        snprintf(why, why_bytes, good ? "'%s' is longer than %zu bytes" : "cannot read '%s'", path,
                 limit);
        free(text);
        return NULL;
    }
    return text;
}
