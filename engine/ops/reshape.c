// reshape: another shape for the same memory.
#include "op.h"

#include <stdio.h>
#include <string.h>

static ht_value failed(ht_graph *g, const char *sentence) {
    ht_graph_fail(g, ht_fail(ht_graph_context(g), HT_ERR_INVALID, "%s", sentence));
    return (ht_value){0};
}

ht_value ht_op_reshape(ht_graph *g, ht_value x, uint32_t rank, const uint32_t *dims) {
    const ht_tensor_desc have = ht_graph_value_desc(g, x);
    ht_tensor_desc want = {.format = have.format, .rank = rank};
    char from[128], to[128], text[320];
    if (ht_graph_status(g) != HT_OK) {
        return (ht_value){0};
    }
    if (have.format == HT_FORMAT_NONE) {
        return failed(g, "reshape: the input is no value");
    }
    if (rank > HT_MAX_RANK) {
        return failed(g, "reshape: more dimensions than a tensor can have");
    }
    memcpy(want.dims, dims, rank * sizeof *dims);
    if (ht_desc_count(&want) != ht_desc_count(&have)) {
        snprintf(text, sizeof text, "reshape: %s has another number of values than %s",
                 ht_desc_text(&have, from, sizeof from), ht_desc_text(&want, to, sizeof to));
        return failed(g, text);
    }
    const uint32_t width = have.rank == 0 ? 1 : have.dims[have.rank - 1];
    if (ht_format_is_packed(have.format) && width != (rank == 0 ? 1 : dims[rank - 1])) {
        snprintf(text, sizeof text, "reshape: %s is packed by rows; its last dimension must stay",
                 ht_desc_text(&have, from, sizeof from));
        return failed(g, text);
    }
    return ht_op_add_alias(g, x, rank, dims);
}
