// Reader of spiece.model: a protocol-buffer message, every length checked against its parent.
#include "unigram_internal.h"

#include <string.h>

// The bytes of one message.
typedef struct message {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
} message;

typedef struct field {
    uint32_t number;
    uint32_t type;   // wire type
    uint64_t value;  // varint, fixed32, fixed64
    message content; // length-delimited
} field;

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static uint64_t read_varint(message *m) {
    uint64_t value = 0;
    for (uint32_t shift = 0; shift < 70; shift += 7) {
        if (m->at == m->end) {
            break;
        }
        const uint8_t byte = *m->at++;
        if (shift < 64) {
            value |= (uint64_t)(byte & 0x7f) << shift;
        }
        if (byte < 0x80) {
            return value;
        }
    }
    m->bad = true;
    return 0;
}

static uint64_t read_fixed(message *m, uint32_t bytes) {
    uint64_t value = 0;
    if ((size_t)(m->end - m->at) < bytes) {
        m->bad = true;
        return 0;
    }
    for (uint32_t i = 0; i < bytes; i++) {
        value |= (uint64_t)m->at[i] << (8 * i);
    }
    m->at += bytes;
    return value;
}

// The next field; false at the end of the message and when it is malformed (m->bad).
static bool next_field(message *m, field *out) {
    if (m->bad || m->at == m->end) {
        return false;
    }
    const uint64_t tag = read_varint(m);
    *out = (field){.number = (uint32_t)(tag >> 3), .type = (uint32_t)(tag & 7)};
    if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff) {
        m->bad = true;
    }
    switch (out->type) {
    case WIRE_VARINT: out->value = read_varint(m); break;
    case WIRE_FIXED64: out->value = read_fixed(m, 8); break;
    case WIRE_FIXED32: out->value = read_fixed(m, 4); break;
    case WIRE_BYTES: {
        const uint64_t bytes = read_varint(m);
        if (bytes > (size_t)(m->end - m->at)) {
            m->bad = true;
            break;
        }
        out->content = (message){.at = m->at, .end = m->at + bytes};
        m->at += bytes;
        break;
    }
    default: // groups were never used here
        m->bad = true;
        break;
    }
    return !m->bad;
}

static ht_status fail_at(const ht_tokenizer *tokenizer, const message *m, const char *what) {
    return ht_fail(tokenizer->context, HT_ERR_IO, "tokenizer '%s': malformed %s at byte %zu",
                   tokenizer->path, what, (size_t)(m->at - tokenizer->file));
}

static ht_status read_piece(ht_tokenizer *tokenizer, message m) {
    ht_piece piece = {.text = "", .type = HT_PIECE_NORMAL};
    field f;
    while (next_field(&m, &f)) {
        if (f.number == 1 && f.type == WIRE_BYTES) {
            piece.text = (const char *)f.content.at;
            piece.bytes = (uint32_t)(f.content.end - f.content.at);
        } else if (f.number == 2 && f.type == WIRE_FIXED32) {
            const uint32_t bits = (uint32_t)f.value;
            memcpy(&piece.score, &bits, sizeof bits);
        } else if (f.number == 3 && f.type == WIRE_VARINT) {
            if (f.value < HT_PIECE_NORMAL || f.value > HT_PIECE_BYTE) {
                return fail_at(tokenizer, &m, "piece type");
            }
            piece.type = (ht_piece_type)f.value;
        }
    }
    return m.bad ? fail_at(tokenizer, &m, "piece") : ht_unigram_add_piece(tokenizer, &piece);
}

static ht_status read_trainer(ht_tokenizer *tokenizer, message m) {
    uint64_t kind = 1; // unigram
    field f;
    while (next_field(&m, &f)) {
        if (f.type != WIRE_VARINT) {
            continue;
        }
        switch (f.number) {
        case 3: kind = f.value; break;
        case 35: tokenizer->info.byte_fallback = f.value != 0; break;
        case 42: tokenizer->eos_id = (int32_t)(uint32_t)f.value; break;
        case 43: tokenizer->pad_id = (int32_t)(uint32_t)f.value; break;
        default: break;
        }
    }
    if (m.bad) {
        return fail_at(tokenizer, &m, "trainer description");
    }
    if (kind != 1) {
        return ht_fail(tokenizer->context, HT_ERR_UNSUPPORTED,
                       "tokenizer '%s': SentencePiece model of type %llu, expected 1 (unigram)",
                       tokenizer->path, (unsigned long long)kind);
    }
    return HT_OK;
}

static ht_status read_normalizer(ht_tokenizer *tokenizer, message m) {
    message charsmap = {0};
    field f;
    while (next_field(&m, &f)) {
        if (f.number == 2 && f.type == WIRE_BYTES) {
            charsmap = f.content;
        } else if (f.number == 3 && f.type == WIRE_VARINT) {
            tokenizer->add_dummy_prefix = f.value != 0;
        } else if (f.number == 4 && f.type == WIRE_VARINT) {
            tokenizer->remove_extra_whitespaces = f.value != 0;
        } else if (f.number == 5 && f.type == WIRE_VARINT) {
            tokenizer->escape_whitespaces = f.value != 0;
        }
    }
    if (m.bad) {
        return fail_at(tokenizer, &m, "normaliser description");
    }
    return charsmap.at
               ? ht_charsmap_open(tokenizer, charsmap.at, (size_t)(charsmap.end - charsmap.at))
               : HT_OK;
}

ht_status ht_spiece_read(ht_tokenizer *tokenizer) {
    message m = {.at = tokenizer->file, .end = tokenizer->file + tokenizer->file_bytes};
    ht_status status = HT_OK;
    field f;
    tokenizer->eos_id = 2; // defaults of the format
    tokenizer->pad_id = -1;
    while (status == HT_OK && next_field(&m, &f)) {
        if (f.type != WIRE_BYTES) {
            continue;
        }
        switch (f.number) {
        case 1: status = read_piece(tokenizer, f.content); break;
        case 2: status = read_trainer(tokenizer, f.content); break;
        case 3: status = read_normalizer(tokenizer, f.content); break;
        default: break;
        }
    }
    return status == HT_OK && m.bad ? fail_at(tokenizer, &m, "model") : status;
}
