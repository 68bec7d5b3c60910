// SentencePiece normalisation: replacements by longest match, then the rules for spaces.
#include "unigram_internal.h"
#include "utf8.h"

#include <string.h>

static const char space_mark[] = "\xe2\x96\x81"; // U+2581 stands for a space inside pieces
enum { SPACE_MARK_BYTES = 3 };

// What a position of the text turns into, and how many bytes of it that uses.
typedef struct prefix {
    const char *text;
    uint32_t bytes;
    uint32_t consumed;
} prefix;

static uint32_t read_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

ht_status ht_charsmap_open(ht_tokenizer *tokenizer, const uint8_t *data, size_t bytes) {
    if (bytes == 0) {
        return HT_OK;
    }
    const uint32_t trie_bytes = bytes >= 4 ? read_u32(data) : 0;
    // At least one byte of strings, the last of which must be NUL: then every string has an end.
    if (bytes < 4 || trie_bytes == 0 || trie_bytes % 4 != 0 || bytes > UINT32_MAX ||
        trie_bytes >= bytes - 4 || data[bytes - 1] != 0) {
        return ht_fail(tokenizer->context, HT_ERR_IO,
                       "tokenizer '%s': character map of %zu bytes with a trie of %u is malformed",
                       tokenizer->path, bytes, trie_bytes);
    }
    tokenizer->charsmap = (ht_charsmap){
        .units = data + 4,
        .n_units = trie_bytes / 4,
        .strings = (const char *)data + 4 + trie_bytes,
        .string_bytes = (uint32_t)(bytes - 4 - trie_bytes),
    };
    return HT_OK;
}

// Unit of a double-array trie, 0 (which matches no label but NUL's) past its end.
static uint32_t unit_at(const ht_charsmap *map, uint32_t index) {
    return index < map->n_units ? read_u32(map->units + 4 * (size_t)index) : 0;
}

static uint32_t unit_offset(uint32_t unit) {
    return (unit >> 10) << ((unit & 0x200u) >> 6);
}

// Longest replacement that starts here.
static bool map_prefix(const ht_charsmap *map, const char *text, size_t left, prefix *out) {
    bool found = false;
    uint32_t at = unit_offset(unit_at(map, 0));
    for (size_t i = 0; i < left; i++) {
        const uint32_t byte = (uint8_t)text[i];
        at ^= byte;
        const uint32_t unit = unit_at(map, at);
        if (at >= map->n_units || (unit & 0x800000ffu) != byte) {
            break;
        }
        at ^= unit_offset(unit);
        if (unit >> 8 & 1u && at < map->n_units) {
            const uint32_t value = unit_at(map, at) & 0x7fffffffu;
            if (value < map->string_bytes) {
                out->text = map->strings + value;
                out->consumed = (uint32_t)(i + 1);
                found = true;
            }
        }
    }
    if (found) {
        out->bytes = (uint32_t)strlen(out->text);
    }
    return found;
}

// Longest user-defined piece that starts here; such pieces are not normalised.
static uint32_t user_defined_prefix(const ht_tokenizer *tokenizer, const char *text, size_t left) {
    uint32_t longest = 0;
    int32_t id = -1;
    ht_piece_walk walk = ht_piece_walk_start(tokenizer);
    for (size_t i = 0; i < left && ht_piece_walk_step(tokenizer, &walk, text[i], &id); i++) {
        if (id >= 0 && tokenizer->pieces[id].type == HT_PIECE_USER_DEFINED) {
            longest = (uint32_t)(i + 1);
        }
    }
    return longest;
}

static prefix normalise_prefix(const ht_tokenizer *tokenizer, const char *text, size_t left) {
    prefix result = {.text = text};
    if (tokenizer->has_user_defined) {
        result.bytes = result.consumed = user_defined_prefix(tokenizer, text, left);
        if (result.consumed > 0) {
            return result;
        }
    }
    if (tokenizer->charsmap.n_units > 0 && map_prefix(&tokenizer->charsmap, text, left, &result)) {
        return result;
    }
    result.bytes = result.consumed = ht_utf8_length(text, left);
    if (result.consumed == 0) {
        return (prefix){.text = "\xef\xbf\xbd", .bytes = 3, .consumed = 1};
    }
    return result;
}

static ht_status append(ht_tokenizer *tokenizer, ht_normalised *out, const char *text,
                        uint32_t bytes, size_t origin) {
    if (bytes > HT_UNIGRAM_MAX_NORMALISED - out->bytes) {
        return ht_fail(tokenizer->context, HT_ERR_INVALID,
                       "tokenizer '%s': the text grows beyond %d bytes when normalised",
                       tokenizer->path, HT_UNIGRAM_MAX_NORMALISED);
    }
    if (out->bytes + bytes > out->capacity) {
        uint32_t wanted = out->capacity ? out->capacity : 256;
        while (wanted < out->bytes + bytes) {
            wanted *= 2;
        }
        char *larger_text = ht_realloc(tokenizer->context, out->text, wanted);
        if (!larger_text) {
            return HT_ERR_NO_MEMORY;
        }
        out->text = larger_text;
        uint32_t *larger_origin =
            ht_realloc(tokenizer->context, out->origin, wanted * sizeof *larger_origin);
        if (!larger_origin) {
            return HT_ERR_NO_MEMORY;
        }
        out->origin = larger_origin;
        out->capacity = wanted;
    }
    memcpy(out->text + out->bytes, text, bytes);
    for (uint32_t i = 0; i < bytes; i++) {
        out->origin[out->bytes + i] = (uint32_t)origin;
    }
    out->bytes += bytes;
    return HT_OK;
}

static ht_status append_space(ht_tokenizer *tokenizer, ht_normalised *out, size_t origin) {
    return tokenizer->escape_whitespaces
               ? append(tokenizer, out, space_mark, SPACE_MARK_BYTES, origin)
               : append(tokenizer, out, " ", 1, origin);
}

// A normalised prefix, its spaces turned into marks.
static ht_status append_escaped(ht_tokenizer *tokenizer, ht_normalised *out, const char *text,
                                uint32_t bytes, size_t origin) {
    ht_status status = HT_OK;
    for (uint32_t i = 0; i < bytes && status == HT_OK; i++) {
        status = text[i] == ' ' ? append_space(tokenizer, out, origin)
                                : append(tokenizer, out, text + i, 1, origin);
    }
    return status;
}

// Spaces, and marks that were in the text already, at the end.
static void trim_end(const ht_tokenizer *tokenizer, ht_normalised *out) {
    const char *mark = tokenizer->escape_whitespaces ? space_mark : " ";
    const uint32_t bytes = tokenizer->escape_whitespaces ? SPACE_MARK_BYTES : 1;
    while (out->bytes >= bytes && memcmp(out->text + out->bytes - bytes, mark, bytes) == 0) {
        out->bytes -= bytes;
    }
}

ht_status ht_normalise(ht_tokenizer *tokenizer, const char *text, size_t bytes,
                       ht_normalised *out) {
    const bool collapse = tokenizer->remove_extra_whitespaces;
    ht_status status = HT_OK;
    size_t at = 0;
    while (collapse && at < bytes) {
        const prefix p = normalise_prefix(tokenizer, text + at, bytes - at);
        if (p.bytes != 1 || p.text[0] != ' ') {
            break;
        }
        at += p.consumed;
    }
    if (at == bytes) {
        return HT_OK;
    }
    if (tokenizer->add_dummy_prefix) {
        status = append_space(tokenizer, out, at);
    }
    bool after_space = collapse;
    while (at < bytes && status == HT_OK) {
        prefix p = normalise_prefix(tokenizer, text + at, bytes - at);
        while (after_space && p.bytes > 0 && p.text[0] == ' ') {
            p.text++;
            p.bytes--;
        }
        if (p.bytes > 0) {
            status = append_escaped(tokenizer, out, p.text, p.bytes, at);
            after_space = collapse && p.text[p.bytes - 1] == ' ';
        }
        at += p.consumed;
    }
    if (collapse) {
        trim_end(tokenizer, out);
    }
    return status;
}

void ht_normalised_free(ht_tokenizer *tokenizer, ht_normalised *normalised) {
    ht_free(tokenizer->context, normalised->text);
    ht_free(tokenizer->context, normalised->origin);
    *normalised = (ht_normalised){0};
}
