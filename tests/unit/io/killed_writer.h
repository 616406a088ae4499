/*
 * killed_writer.h - a process that is killed with writes in flight, and what lands after it.
 *
 * A child locks the directory, hands many large direct writes to a queue and is killed. Whoever can
 * take the lock after that must find that nothing in the file changes any more.
 */
#ifndef FR_TEST_KILLED_WRITER_H
#define FR_TEST_KILLED_WRITER_H

#include "tests/unit/io/test_world.h"

/* Kill so many children, each after a random short delay; asserts. */
void test_killed_writers(struct test_world *world, unsigned rounds);

#endif
