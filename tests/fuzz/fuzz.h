// What the fuzz targets share: the entry point, and files to put inputs into.
#ifndef HT_FUZZ_H
#define HT_FUZZ_H

#include <halftone/halftone.h>

#include <stddef.h>
#include <stdint.h>

// libFuzzer's entry point: read `bytes` bytes as a file of the target's kind. Returns 0.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

// Path of a file of this process that holds two pieces of data, one after the other. Valid until
// the next call with the same name.
const char *fuzz_file(const char *name, const void *first, size_t first_bytes, const void *second,
                      size_t second_bytes);

// A context without a device.
ht_context *fuzz_context(void);

// Stop the process, for the fuzzer to see, when a promise is broken.
void fuzz_require(int condition, const char *promise);

// Open a checkpoint; when that succeeds, hold every tensor to what weights.h promises.
void fuzz_weights(const char *path);
// Open a tokenizer and encode some texts with it.
void fuzz_tokenizer(const char *path);

#endif
