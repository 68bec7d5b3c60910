// Status codes returned by every call that can fail, and the export macro.
#ifndef HALFTONE_STATUS_H
#define HALFTONE_STATUS_H

#if defined(__GNUC__)
#define HT_API __attribute__((visibility("default")))
#define HT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define HT_API
#define HT_PRINTF(fmt, args)
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ht_status {
    HT_OK = 0,
    HT_ERR_INVALID,     // a documented rule was broken by the caller
    HT_ERR_NO_MEMORY,   // host or device memory ran out
    HT_ERR_UNSUPPORTED, // correct request, but not on this device or build
    HT_ERR_IO,          // a file is missing, short or malformed
    HT_ERR_DEVICE,      // no usable GPU, or it was lost; only destroy calls remain valid
    HT_ERR_CANCELLED,   // a progress callback asked to stop
} ht_status;

// Short lower-case name of a status, e.g. "no memory". Never NULL.
HT_API const char *ht_status_name(ht_status status);

#ifdef __cplusplus
}
#endif
#endif
