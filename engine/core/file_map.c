// Read-only mapping of regular files. A mapped file must not be cut short by another program while
// it is in use: replace checkpoints by renaming, as every download tool does.
#include "core.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static ht_status fail_errno(ht_context *context, const char *path, const char *what, int error) {
    char cause[128];
    if (strerror_r(error, cause, sizeof cause) != 0) {
        cause[0] = '\0';
    }
    return ht_fail(context, error == ENOMEM ? HT_ERR_NO_MEMORY : HT_ERR_IO, "%s '%s': %s", what,
                   path, cause);
}

static ht_status map_descriptor(ht_context *context, const char *path, int fd, ht_file_map *out) {
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return fail_errno(context, path, "cannot inspect", errno);
    }
    if (S_ISDIR(info.st_mode)) {
        return ht_fail(context, HT_ERR_IO, "cannot map '%s': it is a folder, expected a file",
                       path);
    }
    if (!S_ISREG(info.st_mode)) {
        return ht_fail(context, HT_ERR_IO, "cannot map '%s': it is not a regular file", path);
    }
    if (info.st_size == 0) {
        return HT_OK;
    }
    const uint64_t bytes = (uint64_t)info.st_size;
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    if (bytes > SIZE_MAX - page) {
        return ht_fail(context, HT_ERR_NO_MEMORY,
                       "cannot map '%s': %llu bytes do not fit in the address space", path,
                       (unsigned long long)bytes);
    }
    void *data = mmap(NULL, (size_t)bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
        return fail_errno(context, path, "cannot map", errno);
    }
    out->data = data;
    out->bytes = bytes;
    out->mapped_bytes = (bytes + page - 1) / page * page;
    return HT_OK;
}

ht_status ht_file_map_open(ht_context *context, const char *path, ht_file_map *out) {
    *out = (ht_file_map){0};
    // Without O_NONBLOCK, opening a FIFO would wait for a writer before it can be refused.
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return fail_errno(context, path, "cannot open", errno);
    }
    const ht_status status = map_descriptor(context, path, fd, out);
    close(fd); // the mapping stays valid
    return status;
}

void ht_file_map_close(ht_file_map *map) {
    if (map->data) {
        munmap((void *)map->data, (size_t)map->bytes);
    }
    *map = (ht_file_map){0};
}

void ht_file_map_forget(const ht_file_map *map, uint64_t offset, uint64_t bytes) {
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    // Whole pages only: the neighbours' bytes may be wanted next.
    const uint64_t begin = (offset + page - 1) / page * page;
    const uint64_t end = (offset + bytes) / page * page;
    if (begin < end && end <= map->mapped_bytes) {
        madvise((void *)(map->data + begin), (size_t)(end - begin), MADV_DONTNEED);
    }
}
