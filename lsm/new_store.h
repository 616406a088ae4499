/*
 * new_store.h - a store that is made as a whole: nothing of it has its name before all of it has.
 *
 *     fr_new_store_begin      NAME.unfinished is there, locked, and empty
 *     ...                     the owner puts tables and value files into new_store.dir
 *     fr_new_store_describe   manifest and SUPER, with no log
 *     fr_new_store_commit     all is durable, and then called NAME
 *     fr_new_store_end        in any case; without a commit nothing remains
 *
 * So a crash leaves nothing under the target's name, or the whole. One thread.
 */
#ifndef FR_LSM_NEW_STORE_H
#define FR_LSM_NEW_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"
#include "io/dir.h"
#include "lsm/entry.h"
#include "wal/wal_format.h"

struct fr_env;
struct fr_dir_lock;

#define FR_NEW_STORE_SUFFIX ".unfinished"

/* All zeros before begin. */
struct fr_new_store {
    struct fr_env *env;
    struct fr_dir *parent;
    struct fr_dir *dir; /* under its unfinished name */
    struct fr_dir_lock *lock;
    bool begun;
    bool renamed;
    char name[FR_NAME_MAX + 1];
    char unfinished[FR_NAME_MAX + sizeof(FR_NEW_STORE_SUFFIX)];
};

/*
 * FR_ERR_EXISTS: the name is taken. FR_ERR_BUSY: another one is being made there. FR_ERR_FOREIGN:
 * what lies under the unfinished name is no part of a store.
 */
FR_NODISCARD fr_status fr_new_store_begin(struct fr_new_store *store, struct fr_env *env,
        const char *path);

/* What a store is made of but for its files. */
struct fr_new_store_content {
    uint8_t store[FR_STORE_ID_SIZE];
    fr_slice edit; /* RESET and all of the version (lsm/version.h) */
    fr_seq last_seq;
    uint64_t next_number; /* no file has that number or one above */
};

/* Durable on return, but for the names. */
FR_NODISCARD fr_status fr_new_store_describe(struct fr_new_store *store,
        const struct fr_new_store_content *content);

/* Let somebody else lock it meanwhile: an engine, for who makes the store by writing to one. The
 * path is for opening it. */
void fr_new_store_lend(struct fr_new_store *store, char *ret_path, size_t room);

FR_NODISCARD fr_status fr_new_store_commit(struct fr_new_store *store);

/* The thread's last error stays what it is. All zeros are fine. */
void fr_new_store_end(struct fr_new_store *store);

#endif
