/*
 * test_crash.h - every disk that a crash may leave, around each change that a test makes.
 *
 *     test_crash_watch(&crash, world.sim)
 *     ... change things; crash.acked and crash.issued say how far the test has come ...
 *     test_crash_check(&crash, world.path, check, ctx)     on each of the disks
 */
#ifndef FR_TESTS_UNIT_LSM_TEST_CRASH_H
#define FR_TESTS_UNIT_LSM_TEST_CRASH_H

#include <stddef.h>

#include "io/sim.h"

struct fr_dir;

#define TEST_CRASHES_MAX 2048

struct test_crash_point {
    struct fr_sim_crash *crash;
    size_t acked;
    size_t issued;
};

struct test_crash {
    struct fr_sim *sim;
    unsigned images_max; /* at each point; 0: 24 */
    size_t acked;        /* the test's: what has been answered, and so must be there */
    size_t issued;       /* and what may be */
    struct test_crash_point points[TEST_CRASHES_MAX];
    size_t count;
};

void test_crash_watch(struct test_crash *crash, struct fr_sim *sim);

/* Returns the number of disks; the points are given back. */
size_t test_crash_check(struct test_crash *crash, const char *path,
        void (*check)(void *ctx, struct fr_dir *dir, const struct test_crash_point *point),
        void *ctx);

#endif
