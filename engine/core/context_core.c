// The device-free part of a context: failure sentences, the log, and host memory.
#include "core.h"

#include <halftone/context.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *default_resize(void *user, void *pointer, size_t bytes) {
    (void)user;
    return realloc(pointer, bytes);
}

static void default_release(void *user, void *pointer) {
    (void)user;
    free(pointer);
}

static const ht_allocator default_allocator = {
    .resize = default_resize,
    .release = default_release,
};

ht_status ht_core_create(const ht_context_desc *desc, ht_context **out) {
    const ht_allocator *allocator = desc->allocator ? desc->allocator : &default_allocator;
    *out = NULL;
    ht_context *context = allocator->resize(allocator->user, NULL, sizeof *context);
    if (!context) {
        return HT_ERR_NO_MEMORY;
    }
    *context = (ht_context){
        .allocator = *allocator,
        .log = desc->log,
        .tier = desc->tier,
        .host_only = desc->host_only,
    };
    *out = context;
    return HT_OK;
}

void ht_core_destroy(ht_context **context) {
    if (!*context) {
        return;
    }
    const ht_allocator allocator = (*context)->allocator;
    allocator.release(allocator.user, *context);
    *context = NULL;
}

const char *ht_context_message(const ht_context *context) {
    // A context is missing only when there was no memory for it.
    return context ? context->message : "out of host memory: could not create a context";
}

static bool log_wants(const ht_context *context, ht_log_level level) {
    return context->log.write && level <= context->log.level;
}

ht_status ht_fail(ht_context *context, ht_status status, const char *format, ...) {
    if (!context) {
        return status;
    }
    // Through a local buffer: an argument may be the previous sentence.
    char text[sizeof context->message];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(context->message, text, sizeof text);
    if (log_wants(context, HT_LOG_ERROR)) {
        context->log.write(context->log.user, HT_LOG_ERROR, context->message);
    }
    return status;
}

void ht_log(ht_context *context, ht_log_level level, const char *format, ...) {
    if (!context || !log_wants(context, level)) {
        return;
    }
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    context->log.write(context->log.user, level, text);
}

void *ht_realloc(ht_context *context, void *pointer, size_t bytes) {
    // Zero bytes still yield a pointer, so that NULL always means failure.
    void *result = context->allocator.resize(context->allocator.user, pointer, bytes ? bytes : 1);
    if (!result) {
        ht_fail(context, HT_ERR_NO_MEMORY, "out of host memory: %zu bytes were needed", bytes);
    }
    return result;
}

void *ht_alloc(ht_context *context, size_t bytes) {
    void *result = ht_realloc(context, NULL, bytes);
    if (result) {
        memset(result, 0, bytes);
    }
    return result;
}

void ht_free(ht_context *context, void *pointer) {
    if (pointer) {
        context->allocator.release(context->allocator.user, pointer);
    }
}

char *ht_strdup(ht_context *context, const char *text) {
    const size_t bytes = strlen(text) + 1;
    char *copy = ht_realloc(context, NULL, bytes);
    if (copy) {
        memcpy(copy, text, bytes);
    }
    return copy;
}

const char *ht_status_name(ht_status status) {
    switch (status) {
    case HT_OK: return "ok";
    case HT_ERR_INVALID: return "invalid";
    case HT_ERR_NO_MEMORY: return "no memory";
    case HT_ERR_UNSUPPORTED: return "unsupported";
    case HT_ERR_IO: return "io";
    case HT_ERR_DEVICE: return "device";
    case HT_ERR_CANCELLED: return "cancelled";
    }
    return "unknown status";
}
