/*
 * test_store.h - small stores whose content is known from a number.
 *
 * State n has test_store_keys keys; every key's value is a function of the key and of the last
 * state that has changed it, and state n changes every third one, beginning with the n-th. Some
 * values are long enough for value files, some keys are deleted, some have an append.
 */
#ifndef FR_TESTS_UNIT_RECOVERY_TEST_STORE_H
#define FR_TESTS_UNIT_RECOVERY_TEST_STORE_H

#include <stddef.h>

#include "lsm/engine.h"
#include "wal/file_name.h"

#define TEST_STORE_KEYS 120

struct fr_engine_options test_store_options(void);

/* Open, made if need be. */
struct fr_engine *test_store_open(struct fr_env *env, const char *path);

/* Change it from state n - 1 to n. */
void test_store_advance(struct fr_engine *engine, unsigned n);

/* Assert that it is in state n, with nothing else in it. */
void test_store_check(struct fr_engine *engine, unsigned n);

/* Open at the path, check, close. */
void test_store_check_at(struct fr_env *env, const char *path, unsigned n);

/* The file of that kind with the lowest number above *number. false: there is none. */
bool test_store_next_file(struct fr_dir *dir, enum fr_file_kind wanted, uint64_t *number,
        char name[FR_FILE_NAME_SIZE]);

uint64_t test_store_file_size(struct fr_dir *dir, const char *name);

#endif
