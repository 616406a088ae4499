/*
 * test_store.h - a store in a folder of its own, for the tests of the public interface.
 */
#ifndef FR_TESTS_UNIT_DB_TEST_STORE_H
#define FR_TESTS_UNIT_DB_TEST_STORE_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "freshet/freshet.h"

#define must(call)                                                                                 \
    do {                                                                                           \
        fr_status must_st_ = (call);                                                               \
        cr_assert_eq(must_st_, FR_OK, "%s: %s: %s", #call, fr_status_name(must_st_),               \
                fr_last_error());                                                                  \
    } while (0)

/* It fails with that status, and the words say this among others. */
#define must_fail(call, status, words)                                                             \
    do {                                                                                           \
        fr_status must_st_ = (call);                                                               \
        cr_assert_eq(must_st_, status, "%s: %s", #call, fr_status_name(must_st_));                 \
        cr_assert_not_null(strstr(fr_last_error(), words), "%s: %s", #call, fr_last_error());      \
    } while (0)

static inline void test_store_name(char path[64])
{
    snprintf(path, 64, "store-test-XXXXXX");
    cr_assert_not_null(mkdtemp(path));
}

static inline void test_store_remove(const char *path)
{
    char inner[400];
    struct dirent *entry;
    DIR *stream = opendir(path);

    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
        (void)!unlink(inner);
    }
    if (stream != NULL) closedir(stream);
    rmdir(path);
}

static inline uint64_t test_store_number(struct fr_db *db, const char *name)
{
    uint64_t value = 0;

    must(fr_db_property_u64(db, name, &value));
    return value;
}

/* Entries that do not compress, in order. */
static inline void test_store_fill(struct fr_db *db, unsigned from, unsigned to, size_t value_size)
{
    static char value[1 << 16];
    char key[16];

    for (unsigned i = from; i < to; i++) {
        for (size_t b = 0; b < value_size; b++)
            value[b] = (char)((i * 2654435761u + b * 40503u) >> (b % 13));
        int size = snprintf(key, sizeof(key), "key%08u", i);
        must(fr_db_put(db, NULL, key, (size_t)size, value, value_size));
    }
}

#endif
