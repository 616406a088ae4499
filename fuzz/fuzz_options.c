/*
 * fuzz_options.c - options from text. What is accepted must print to a text that reads back to the
 * same options; what is refused changes nothing and has words.
 */
#include <stdbool.h>
#include <string.h>

#include "freshet/db.h"
#include "fuzz/fuzz.h"

#define TEXT_SIZE 8192

static void print(const struct fr_db_options *options, char *to)
{
    size_t size;

    FUZZ_CHECK(fr_db_options_print(options, to, TEXT_SIZE, &size) == FR_OK);
    FUZZ_CHECK(size < TEXT_SIZE);
}

static bool same(const struct fr_db_options *a, const struct fr_db_options *b)
{
    char text[TEXT_SIZE], other[TEXT_SIZE];

    print(a, text);
    print(b, other);
    return strcmp(text, other) == 0;
}

static void check_accepted(const struct fr_db_options *options)
{
    struct fr_db_options again;
    char text[TEXT_SIZE];

    print(options, text);
    fr_db_options_init(&again);
    FUZZ_CHECK(fr_db_options_parse(&again, text) == FR_OK);
    FUZZ_CHECK(same(options, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fr_db_options options, untouched;
    char text[4096];

    if (size >= sizeof(text)) return 0;
    if (size > 0) memcpy(text, data, size);
    text[size] = '\0';
    fr_db_options_init(&options);
    fr_db_options_init(&untouched);
    if (fr_db_options_parse(&options, text) == FR_OK) {
        check_accepted(&options);
        return 0;
    }
    FUZZ_CHECK(same(&options, &untouched));
    FUZZ_CHECK(fr_last_error()[0] != '\0');
    return 0;
}
