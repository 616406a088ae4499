/* verify_priv.h - for this folder only: a check of a store under way. */
#ifndef FR_RECOVERY_VERIFY_PRIV_H
#define FR_RECOVERY_VERIFY_PRIV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lsm/edit_format.h"
#include "lsm/known.h"
#include "lsm/rate_limit.h"
#include "lsm/super_format.h"
#include "recovery/findings.h"
#include "wal/file_name.h"

struct fr_dir;
struct fr_env;
struct fr_table;
struct fr_verify_keep;
struct fr_value_file;
struct fr_version;

/* A table or a value file. */
struct fr_verify_item {
    enum fr_file_kind kind;
    uint64_t number;
    unsigned level;
    const struct fr_edit_table *table_meta;   /* as the manifest has it, or NULL: it is not known */
    const struct fr_edit_values *values_meta; /* the same of a value file */
    struct fr_table *table;                   /* open, one reference; NULL: it cannot be opened */
    struct fr_value_file *values;
    bool looked_at; /* all of it, in an earlier walk */
    bool damaged;
    unsigned told; /* findings of it */

    /* Of a value file of the present walk: its records, ascending by offset. */
    struct fr_known_value *records;
    uint64_t *digests; /* of them, or NULL: nobody asks, or there is no memory */
    size_t record_count;
    bool loaded; /* records has all that there are */
};

struct fr_verify {
    struct fr_env *env;
    const struct fr_verify_options *how;
    struct fr_dir *dir;
    struct fr_findings findings;
    struct fr_rate_limiter own_limiter;
    struct fr_rate_limiter *limiter;
    const struct fr_verify_keep *keep; /* or NULL */
    const _Atomic(bool) *stop;         /* relaxed; NULL: nobody stops it */
    const struct fr_version *version;  /* NULL: it is not known */
    uint64_t last_seq;                 /* no entry is above; 0: it is not known */

    /* Value files first, each kind ascending by number. */
    struct fr_verify_item *items;
    size_t item_count;
    size_t values_count;

    _Atomic(uint64_t) entries; /* relaxed: figures */
    _Atomic(uint64_t) values;
    uint64_t batches;
    uint64_t log_bytes;           /* of them */
    _Atomic(uint64_t) done_bytes; /* of items that were looked at; relaxed: a figure */
    uint64_t total_bytes;
    _Atomic(int) failed; /* the first status that ends it all: want of memory, or of patience of who
                            is told of progress; relaxed */
};

/* Nothing says that it is to end. */
bool fr_verify_goes_on(const struct fr_verify *v);

/* Keep the thread's last error as a finding of an item, at that place. */
void fr_verify_found(struct fr_verify *v, struct fr_verify_item *item, fr_finding_kind kind,
        uint64_t offset, fr_status st);

/* verify_items.c: all bytes of all items, and where their pointers lead. */
FR_NODISCARD fr_status fr_verify_items(struct fr_verify *v);

/* verify_order.c: what the tables of a version say together. */
FR_NODISCARD fr_status fr_verify_order(struct fr_verify *v);

/*
 * verify_store.c: every byte of SUPER; the log from where the manifest says; names that nobody
 * knows, and the figures of files. What is wrong becomes a finding, a failure is want of memory or
 * the like.
 */
FR_NODISCARD fr_status fr_verify_super(struct fr_verify *v);
FR_NODISCARD fr_status fr_verify_log(struct fr_verify *v, const struct fr_super *super,
        const struct fr_edit_log *log);
FR_NODISCARD fr_status fr_verify_names(struct fr_verify *v, struct fr_verify_stats *stats);

#endif
