// Writing one safetensors file: first what it holds, then the bytes in any order. The file has its
// name only when all of it is on the disk.
#ifndef HT_SAFETENSORS_WRITER_H
#define HT_SAFETENSORS_WRITER_H

#include "core.h"

typedef struct ht_st_writer ht_st_writer;

// `path` must not be there, unless it may be replaced.
ht_status ht_st_writer_open(ht_context *context, const char *path, bool replace,
                            ht_st_writer **out);
void ht_st_writer_metadata(ht_st_writer *writer, const char *key, const char *value);
// The tensor's number, counted from 0.
uint32_t ht_st_writer_add(ht_st_writer *writer, const char *name, const char *dtype, uint32_t rank,
                          const uint64_t *dims, uint64_t bytes);
// Ends the list of tensors. Failures of the calls before show here.
ht_status ht_st_writer_begin(ht_st_writer *writer);
ht_status ht_st_writer_write(ht_st_writer *writer, uint32_t tensor, uint64_t offset,
                             const void *data, uint64_t bytes);
// Flush and give it its name.
ht_status ht_st_writer_finish(ht_st_writer *writer);
// Without finish: nothing is left of the file.
void ht_st_writer_close(ht_st_writer **writer);

#endif
