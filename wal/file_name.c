#include "wal/file_name.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

#define DIGITS_LEAST 6
#define DIGITS_MOST  20

static const char *const words[FR_FILE_KIND_COUNT] = {
        [FR_FILE_WAL] = ".wal",
        [FR_FILE_MANIFEST] = ".manifest",
        [FR_FILE_TABLE] = ".table",
        [FR_FILE_VALUES] = ".values",
        [FR_FILE_SUPER] = "SUPER",
        [FR_FILE_LOCK] = "LOCK",
};

static bool is_numbered(enum fr_file_kind kind)
{
    return kind < FR_FILE_SUPER;
}

void fr_file_name_format(enum fr_file_kind kind, uint64_t number,
        char ret_name[static FR_FILE_NAME_SIZE])
{
    FR_ASSERT((number > 0) == is_numbered(kind));
    if (is_numbered(kind))
        snprintf(ret_name, FR_FILE_NAME_SIZE, "%06" PRIu64 "%s", number, words[kind]);
    else
        snprintf(ret_name, FR_FILE_NAME_SIZE, "%s", words[kind]);
}

/* The number that the name's digits make; 0 if they overflow, or there are none. */
static uint64_t read_digits(const char *digits, size_t count)
{
    uint64_t number = 0;

    if (count < DIGITS_LEAST || count > DIGITS_MOST) return 0;
    for (size_t i = 0; i < count; i++) {
        unsigned digit = (unsigned)(digits[i] - '0');
        if (number > (UINT64_MAX - digit) / 10) return 0;
        number = number * 10 + digit;
    }
    return number;
}

bool fr_file_name_parse(const char *name, enum fr_file_kind *ret_kind, uint64_t *ret_number)
{
    size_t digit_count = strspn(name, "0123456789");
    uint64_t number = read_digits(name, digit_count);
    char again[FR_FILE_NAME_SIZE];

    for (int i = 0; i < FR_FILE_KIND_COUNT; i++) {
        enum fr_file_kind kind = (enum fr_file_kind)i;
        if (strcmp(name + digit_count, words[kind]) != 0) continue;
        if ((number > 0) != is_numbered(kind)) return false;
        /* Writing it again finds leading zeros that should not be there. */
        fr_file_name_format(kind, number, again);
        if (strcmp(name, again) != 0) return false;
        *ret_kind = kind;
        *ret_number = number;
        return true;
    }
    return false;
}
