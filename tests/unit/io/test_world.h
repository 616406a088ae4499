/*
 * test_world.h - an environment for a test, and an empty directory in it.
 *
 * TEST_WORLD (uring, posix or sim) is given by the build. For the first two the directory is a real
 * one below the current folder, which is gone when the world is closed.
 */
#ifndef FR_TEST_WORLD_H
#define FR_TEST_WORLD_H

#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/alloc.h"
#include "io/dir.h"
#include "io/env.h"
#include "io/file.h"
#include "io/io_queue.h"

struct fr_sim;

struct test_world {
    struct fr_env *env;
    struct fr_dir *dir;
    struct fr_sim *sim; /* NULL for a real one */
    char path[64];
};

/* Opens the world, or skips the test if this machine has none of the kind. */
struct test_world test_world_open(void);
void test_world_close(struct test_world *world);

/* The call must succeed; its own words are shown if it does not. */
#define must(call)                                                                                 \
    do {                                                                                           \
        fr_status must_st_ = (call);                                                               \
        cr_assert_eq(must_st_, FR_OK, "%s: %s: %s", #call, fr_status_name(must_st_),               \
                must_st_ < 0 ? fr_last_error() : "");                                              \
    } while (0)

/* The call must answer this status. */
#define must_be(status, call)                                                                      \
    do {                                                                                           \
        fr_status must_st_ = (call);                                                               \
        cr_assert_eq(must_st_, (status), "%s: %s, not %s: %s", #call, fr_status_name(must_st_),    \
                fr_status_name(status), must_st_ < 0 ? fr_last_error() : "");                      \
    } while (0)

/* The words of the latest error must contain these. */
#define must_say(part)                                                                             \
    cr_assert(strstr(fr_last_error(), (part)) != NULL, "\"%s\" is not in: %s", (part),             \
            fr_last_error())

/* A byte that depends on its place in a file, so that a misplaced one is seen. */
static inline uint8_t test_byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 31 + (offset >> 8) * 7 + (offset >> 16) + 1);
}

static inline void test_fill(uint8_t *data, uint64_t offset, size_t size)
{
    for (size_t i = 0; i < size; i++)
        data[i] = test_byte_at(offset + i);
}

static inline bool test_matches(const uint8_t *data, uint64_t offset, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (data[i] != test_byte_at(offset + i)) return false;
    return true;
}

/* A new file of that many place-dependent bytes, open for writing. */
struct fr_file *test_file_with(struct test_world *world, const char *name, size_t size);

#endif
