// Cleaning text and cutting it into the pieces that BPE works on.
#include "clip_bpe_internal.h"
#include "utf8.h"

#include <string.h>
#include <utf8proc.h>

static const char replacement[] = "\xef\xbf\xbd";

// Ill-formed bytes become U+FFFD each, so that everything behind this is UTF-8.
static char *make_valid(ht_context *context, const char *text, size_t bytes, size_t *out_bytes) {
    char *out = ht_alloc(context, 3 * bytes + 1);
    size_t used = 0;
    for (size_t at = 0; out && at < bytes;) {
        uint32_t length = ht_utf8_length(text + at, bytes - at);
        memcpy(out + used, length ? text + at : replacement, length ? length : 3);
        used += length ? length : 3;
        at += length ? length : 1;
    }
    *out_bytes = used;
    return out;
}

static utf8proc_int32_t decode(const char *text, size_t left, size_t *length) {
    utf8proc_int32_t code = 0xfffd;
    utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)left, &code);
    *length = n > 0 ? (size_t)n : 1;
    return code;
}

static bool is_space(utf8proc_int32_t c) {
    utf8proc_category_t kind = utf8proc_category(c);
    return (c >= 9 && c <= 13) || c == 0x85 || kind == UTF8PROC_CATEGORY_ZS ||
           kind == UTF8PROC_CATEGORY_ZL || kind == UTF8PROC_CATEGORY_ZP;
}

static bool is_letter(utf8proc_int32_t c) {
    utf8proc_category_t kind = utf8proc_category(c);
    return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}

static bool is_number(utf8proc_int32_t c) {
    utf8proc_category_t kind = utf8proc_category(c);
    return kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO;
}

// Small letters; runs of white space become one space. Returns the bytes written.
static size_t fold(const char *text, size_t bytes, char *out) {
    size_t used = 0, length;
    bool in_space = false;
    for (size_t at = 0; at < bytes; at += length) {
        utf8proc_int32_t c = decode(text + at, bytes - at, &length);
        bool space = is_space(c);
        if (space && in_space) {
            continue;
        }
        in_space = space;
        // The one letter whose small form is two characters.
        bool dotted = c == 0x130;
        c = space ? ' ' : dotted ? 'i' : utf8proc_tolower(c);
        used += (size_t)utf8proc_encode_char(c, (utf8proc_uint8_t *)out + used);
        if (dotted) {
            used += (size_t)utf8proc_encode_char(0x307, (utf8proc_uint8_t *)out + used);
        }
    }
    return used;
}

ht_status ht_clip_clean(ht_context *context, const char *text, size_t bytes, char **out,
                        size_t *out_bytes) {
    size_t valid_bytes = 0;
    char *valid = make_valid(context, text, bytes, &valid_bytes);
    utf8proc_uint8_t *composed = NULL;
    utf8proc_ssize_t n =
        valid ? utf8proc_map((const utf8proc_uint8_t *)valid, (utf8proc_ssize_t)valid_bytes,
                             &composed, UTF8PROC_STABLE | UTF8PROC_COMPOSE)
              : 0;
    ht_free(context, valid);
    *out = NULL;
    *out_bytes = 0;
    // A small letter may take a byte more, and the dotted one two.
    char *folded = valid && n >= 0 ? ht_alloc(context, 2 * (size_t)n + 4) : NULL;
    if (folded) {
        *out_bytes = fold((const char *)composed, (size_t)n, folded);
        *out = folded;
    }
    free(composed);
    return folded ? HT_OK : HT_ERR_NO_MEMORY;
}

// Contractions are pieces of their own.
static size_t contraction(const char *text, size_t left) {
    static const char *const forms[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); ++i) {
        size_t length = strlen(forms[i]);
        if (left >= length && memcmp(text, forms[i], length) == 0) {
            return length;
        }
    }
    return 0;
}

typedef enum piece_kind { SPACE, LETTER, NUMBER, OTHER } piece_kind;

static piece_kind kind_at(const char *text, size_t left, size_t *length) {
    utf8proc_int32_t c = decode(text, left, length);
    return is_space(c) ? SPACE : is_letter(c) ? LETTER : is_number(c) ? NUMBER : OTHER;
}

size_t ht_clip_piece(const char *text, size_t left, size_t *skip) {
    size_t length = contraction(text, left), at = 0;
    *skip = 0;
    if (length > 0) {
        return length;
    }
    piece_kind kind = kind_at(text, left, &length);
    if (kind == SPACE) {
        *skip = length;
        return 0;
    }
    at = length;
    // One number character at a time; letters, and what is neither, in runs.
    while (kind != NUMBER && at < left && kind_at(text + at, left - at, &length) == kind) {
        at += length;
    }
    return at;
}
