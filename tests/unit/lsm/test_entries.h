/*
 * test_entries.h - entries for tests: from text, in an array that is a source, and back as text.
 *
 * An entry is written KEY@SEQ KIND VALUE [until MICROSECONDS] [placed]:
 *
 *     a@9 put x            a@4 del
 *     a@7 app -y           b@5 put v until 100
 */
#ifndef FR_TESTS_UNIT_LSM_TEST_ENTRIES_H
#define FR_TESTS_UNIT_LSM_TEST_ENTRIES_H

#include "base/buf.h"
#include "lsm/iter.h"

struct test_entries {
    struct fr_entry *entries;
    size_t count;
    size_t capacity;
};

#define TEST_ENTRIES_EMPTY ((struct test_entries){0})

void test_entries_deinit(struct test_entries *list);

/* Copies key and value. Order is up to the caller. */
void test_entries_add(struct test_entries *list, const struct fr_entry *entry);

/* Exits the test with words if the text is no entry. */
void test_entries_parse(struct test_entries *list, const char *line);

void test_entry_print(struct fr_buf *to, const struct fr_entry *entry);

/* Walks an array in order; hands out copies that die at the next call, as a real one's may. */
struct fr_iter *test_iter_new(const struct test_entries *list);

/* Its n-th move from now on, counted from 1, fails with FR_ERR_IO, and all that follow. */
void test_iter_fail_at(struct fr_iter *it, unsigned n);

/* How many moves it has made, and the furthest index it has stood on. */
unsigned test_iter_moves(const struct fr_iter *it);

#endif
