// Push constants of unstack.comp.
#ifndef UNSTACK_SHARED_H
#define UNSTACK_SHARED_H

#include "ht_shared.h"

#define HT_UNSTACK_BLOCKS 16 // that the table of a stack has room for

HT_PUSH(unstack) {
    HT_ADDRESS table; // how many blocks there are, a word that is unused, and where each begins
    HT_ADDRESS result;
    HT_UINT count; // quads of the result, the last of a row filled up
    HT_UINT quads; // of a row
    HT_UINT width;
    HT_UINT words; // of signs in a row
    HT_UINT rank;
    HT_UINT left; // bytes from the start of a block to A, and to B
    HT_UINT right;
}
HT_PUSH_END(unstack);

#endif
