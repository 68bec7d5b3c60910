// Push constants of rope.comp.
#ifndef ROPE_SHARED_H
#define ROPE_SHARED_H

#include "ht_shared.h"

HT_PUSH(rope) {
    HT_ADDRESS x;
    HT_ADDRESS table; // f32
    HT_ADDRESS result;
    HT_UINT count;  // quads
    HT_UINT row;    // quads of a token
    HT_UINT tokens; // rows of the table
    HT_UINT head;   // quads of a head
}
HT_PUSH_END(rope);

#endif
