// Push constants of embedding.comp.
#ifndef EMBEDDING_SHARED_H
#define EMBEDDING_SHARED_H

#include "ht_shared.h"

HT_PUSH(embedding) {
    HT_ADDRESS table;
    HT_ADDRESS ids;
    HT_ADDRESS result;
    HT_UINT count;    // of the result: quads, or values when not wide
    HT_UINT width;    // of a row, likewise
    HT_UINT last_row; // ids are clamped to 0..last_row
}
HT_PUSH_END(embedding);

#endif
