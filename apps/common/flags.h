// Command-line flags from a table: parsing, help, and the nearest match of a mistyped one.
#ifndef HT_APP_FLAGS_H
#define HT_APP_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum ht_flag_kind {
    HT_FLAG_GROUP, // a heading of the help; only `help` counts
    HT_FLAG_BOOL,  // bool
    HT_FLAG_COUNT, // int, one more each time
    HT_FLAG_TEXT,  // const char *, of argv
    HT_FLAG_U32,   // uint32_t within min..max
    HT_FLAG_I64,   // int64_t
    HT_FLAG_REAL,  // double within min..max
    HT_FLAG_SIZE,  // uint64_t bytes: 512M, 6G, 1.5GiB
    HT_FLAG_LIST,  // ht_flag_list, one more each time
    HT_FLAG_MAYBE, // const char *: the next argument unless it is a flag, then ""
    HT_FLAG_LATER, // refused: `help` says what it is
} ht_flag_kind;

// Values of a flag that may be given several times, of argv.
enum { HT_FLAG_LIST_ITEMS = 32 };
typedef struct ht_flag_list {
    const char *items[HT_FLAG_LIST_ITEMS];
    uint32_t count;
} ht_flag_list;

typedef struct ht_flag {
    const char *name;    // without dashes
    const char *aliases; // more names, separated by spaces, or NULL
    char letter;         // 0: none
    ht_flag_kind kind;
    size_t offset; // in the options struct
    double min, max;
    const char *value; // name of the value in the help
    const char *help;
} ht_flag;

typedef struct ht_flag_set {
    const char *program;
    const char *usage; // first line of the help
    const ht_flag *flags;
    size_t count;
    // An argument that is no flag; false: there is no room for another. NULL: all are refused.
    bool (*word)(void *options, const char *text);
} ht_flag_set;

// Fill the options struct from argv. False after a message on stderr: exit with 2.
bool ht_flags_parse(const ht_flag_set *set, int argc, char **argv, void *options);
void ht_flags_help(const ht_flag_set *set);

// Is this the flag's name or one of its aliases? Headings have none.
bool ht_flag_is(const ht_flag *flag, const char *name, size_t length);
// The flag whose name is nearest to a mistyped one; NULL when none is near.
const ht_flag *ht_flag_nearest(const ht_flag *flags, size_t count, const char *name);

// "512M", "6G", "1.5GiB", "1000000" -> bytes. Units are powers of 1024.
bool ht_parse_size(const char *text, uint64_t *bytes);

#endif
