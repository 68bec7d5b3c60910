// Where programs keep what can be made again.
#ifndef HT_APP_CACHE_H
#define HT_APP_CACHE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

// $HALFTONE_CACHE, or halftone under $XDG_CACHE_HOME or ~/.cache; made when it is not there. False
// when that cannot be, or $HALFTONE_CACHE is empty.
bool ht_cache_folder(char path[PATH_MAX]);
// $HALFTONE_CACHE_SIZE (e.g. 2G), or 20 GiB.
uint64_t ht_cache_limit(void);

#endif
