// safetensors: a little-endian length, a JSON header, the data.
#include "safetensors_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ALIGNMENT = 16 }; // of the data in the file

struct ht_st_writer {
    ht_context *context;
    char *path, *temporary;
    bool replace, failed; // failed: out of memory while listing
    int fd;
    json_t *header, *metadata;
    uint64_t *offsets; // of the tensors, from the start of the data; one more than there are
    uint32_t count;
    uint64_t data; // where it begins
};

static ht_status fail_errno(const ht_st_writer *w, const char *what) {
    return ht_fail(w->context, HT_ERR_IO, "cannot %s '%s': %s", what, w->path, strerror(errno));
}

// FOLDER/.NAME.PID.tmp
static char *temporary_name(ht_context *context, const char *path) {
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const size_t bytes = strlen(path) + 32;
    char *out = ht_alloc(context, bytes);
    if (out) {
        snprintf(out, bytes, "%.*s.%s.%ld.tmp", (int)(name - path), path, name, (long)getpid());
    }
    return out;
}

ht_status ht_st_writer_open(ht_context *context, const char *path, bool replace,
                            ht_st_writer **out) {
    ht_status status = HT_OK;
    ht_st_writer *w = ht_alloc(context, sizeof *w);
    *out = w;
    if (!w) {
        return HT_ERR_NO_MEMORY;
    }
    *w = (ht_st_writer){.context = context, .replace = replace, .fd = -1};
    w->path = ht_strdup(context, path);
    w->temporary = w->path ? temporary_name(context, path) : NULL;
    w->header = json_object();
    w->metadata = json_object();
    w->offsets = ht_alloc(context, sizeof *w->offsets);
    if (!w->temporary || !w->header || !w->metadata || !w->offsets) {
        status = HT_ERR_NO_MEMORY;
    } else if (!replace && access(path, F_OK) == 0) {
        status = ht_fail(context, HT_ERR_IO, "'%s' exists already", path);
    } else {
        w->fd = open(w->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        status = w->fd < 0 ? fail_errno(w, "write") : HT_OK;
    }
    if (status != HT_OK) {
        ht_st_writer_close(out);
    }
    return status;
}

void ht_st_writer_metadata(ht_st_writer *w, const char *key, const char *value) {
    w->failed = json_object_set_new(w->metadata, key, json_string(value)) != 0 || w->failed;
}

uint32_t ht_st_writer_add(ht_st_writer *w, const char *name, const char *dtype, uint32_t rank,
                          const uint64_t *dims, uint64_t bytes) {
    const uint64_t begin = w->offsets[w->count], end = begin + bytes;
    uint64_t *larger =
        ht_realloc(w->context, w->offsets, ((size_t)w->count + 2) * sizeof *w->offsets);
    json_t *shape = json_array();
    for (uint32_t i = 0; i < rank; i++) {
        json_array_append_new(shape, json_integer((json_int_t)dims[i]));
    }
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype, "shape", shape,
                              "data_offsets", (json_int_t)begin, (json_int_t)end);
    w->failed = json_object_set_new(w->header, name, entry) != 0 || !larger || w->failed;
    if (larger) {
        w->offsets = larger;
        w->offsets[++w->count] = end;
    }
    return w->count - 1;
}

static ht_status write_at(ht_st_writer *w, uint64_t offset, const void *data, uint64_t bytes) {
    const char *from = data;
    while (bytes > 0) {
        const size_t step = bytes < (1u << 30) ? (size_t)bytes : 1u << 30;
        const ssize_t n = pwrite(w->fd, from, step, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return fail_errno(w, "write");
        }
        from += n;
        offset += (uint64_t)n;
        bytes -= (uint64_t)n;
    }
    return HT_OK;
}

// The text with spaces behind it, so that the data is aligned.
static char *header_text(ht_st_writer *w, size_t *length) {
    json_t *all = json_object();
    char *text = NULL, *padded = NULL;
    if (json_object_size(w->metadata) > 0) {
        json_object_set(all, "__metadata__", w->metadata);
    }
    if (json_object_update(all, w->header) == 0) {
        text = json_dumps(all, JSON_COMPACT);
    }
    json_decref(all);
    if (text) {
        const size_t used = strlen(text);
        *length = (8 + used + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT - 8;
        padded = ht_alloc(w->context, *length + 1);
        if (padded) {
            memset(padded, ' ', *length);
            memcpy(padded, text, used);
        }
        free(text);
    }
    return padded;
}

ht_status ht_st_writer_begin(ht_st_writer *w) {
    ht_status status = HT_OK;
    size_t length = 0;
    uint8_t prefix[8];
    char *text = w->failed ? NULL : header_text(w, &length);
    if (!text) {
        return ht_fail(w->context, HT_ERR_NO_MEMORY, "out of memory for the header of '%s'",
                       w->path);
    }
    for (int i = 0; i < 8; i++) {
        prefix[i] = (uint8_t)((uint64_t)length >> (8 * i));
    }
    w->data = 8 + length;
    HT_TRY(write_at(w, 0, prefix, sizeof prefix));
    HT_TRY(write_at(w, 8, text, length));
    // Reserved now, so that a full disk shows before hours of work.
    const int error = posix_fallocate(w->fd, 0, (off_t)(w->data + w->offsets[w->count]));
    if (error == ENOSPC || error == EFBIG) {
        errno = error;
        status = fail_errno(w, "write");
    }
fail:
    ht_free(w->context, text);
    return status;
}

ht_status ht_st_writer_write(ht_st_writer *w, uint32_t tensor, uint64_t offset, const void *data,
                             uint64_t bytes) {
    return write_at(w, w->data + w->offsets[tensor] + offset, data, bytes);
}

ht_status ht_st_writer_finish(ht_st_writer *w) {
    const uint64_t bytes = w->data + w->offsets[w->count];
    if (ftruncate(w->fd, (off_t)bytes) != 0 || fsync(w->fd) != 0) {
        return fail_errno(w, "write");
    }
    const int fd = w->fd;
    w->fd = -1;
    // A file that came to be in the meantime stays, except on file systems without hard links.
    const bool linked = close(fd) == 0 && !w->replace && link(w->temporary, w->path) == 0;
    const bool may_rename = w->replace || access(w->path, F_OK) != 0;
    if (!linked && (!may_rename || rename(w->temporary, w->path) != 0)) {
        const ht_status status = fail_errno(w, "write");
        unlink(w->temporary);
        return status;
    }
    if (linked) {
        unlink(w->temporary);
    }
    return HT_OK;
}

void ht_st_writer_close(ht_st_writer **writer) {
    ht_st_writer *w = *writer;
    if (!w) {
        return;
    }
    if (w->fd >= 0) {
        close(w->fd);
        unlink(w->temporary);
    }
    json_decref(w->header);
    json_decref(w->metadata);
    ht_free(w->context, w->offsets);
    ht_free(w->context, w->temporary);
    ht_free(w->context, w->path);
    ht_free(w->context, w);
    *writer = NULL;
}
