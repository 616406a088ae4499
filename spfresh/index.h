/*
 * index.h - a vector index over the engine: what the public one (freshet/index.h) is made of.
 *
 *     upsert    encode and locate -> enter, unborn -> one batch -> publish      index_write.c
 *     maintain  split, merge, reassign -> one batch                             index_maintain.c
 *     search    walk down, scan, measure                                        index_search.c
 *     open      centroids as stored; or all from rows, if these are not good    index_open.c
 *     load      postings as stored, in the background or when they are searched index_load.c
 *     rebuild   all from rows, beside what is in use, in place of it at the end index_rebuild.c
 *
 * Rows of vectors are the truth and all else is derived from them (spfresh/stored.h). What is
 * derived changes in the same batch as the row, or, when it is put in shape, in batches of its own.
 * Batches line up for the log in the order in which memory changes (lsm/engine.h), and what
 * survives a crash is a prefix of the log; so what is found on opening is how memory once was.
 *
 * Maintenance waits until no write is in flight, and lets none begin. So a write that fails has
 * only itself to take back.
 *
 * When the disk takes no more, what is derived may not be written while rows are deleted all the
 * same. Then it is given up: m/space is deleted, nothing derived is written, and as soon as there
 * is space all of it is written anew. Opening such a store goes by the rows.
 */
#ifndef FR_SPFRESH_INDEX_H
#define FR_SPFRESH_INDEX_H

#include "freshet/index.h"
#include "lsm/engine.h"
#include "spfresh/stored.h"

struct fr_known;
struct fr_spfresh;

/* For copies in a setup: no vector is listed twice (spfresh/copies.h). */
#define FR_SPFRESH_NO_COPIES UINT32_MAX

/* Hand out a part of a value, which is the receiver's to release from then on. */
typedef void fr_spfresh_pin(const struct fr_engine_value *value, fr_slice part,
        struct fr_pinned *ret_pinned);

struct fr_spfresh_setup {
    bool create, must_be_new, read_only;
    bool manual;    /* no thread that maintains */
    bool unhurried; /* no thread that loads: who needs a posting does it */
    uint32_t dimension;
    enum fr_metric metric;   /* 0: as it is, or l2 */
    enum fr_id_kind id_kind; /* 0: as it is, or numbers */
    uint64_t seed;
    uint32_t split_limit, merge_limit, copies,
            chunk_bits;  /* as of a tree's options; 0: the defaults */
    fr_spfresh_pin *pin; /* for searches that are asked for payloads */
};

/* The name was checked. Statuses as of fr_index_open(), but FR_ERR_BUSY. Closing ends a rebuild. */
FR_NODISCARD fr_status fr_spfresh_open(struct fr_engine *engine, const char *name,
        const struct fr_spfresh_setup *setup, struct fr_spfresh **ret_index);
void fr_spfresh_close(struct fr_spfresh *index);

/* All of the index's rows, its options first to go. FR_ERR_MISSING. */
FR_NODISCARD fr_status fr_spfresh_drop(struct fr_engine *engine, const char *name);

/* As fr_index_next_name(). */
FR_NODISCARD fr_status fr_spfresh_next_name(struct fr_engine *engine, const char *after,
        char *ret_name);

/* Return when all postings are in memory, or made from the rows. FR_ERR_TOO_NEW: of a row. */
FR_NODISCARD fr_status fr_spfresh_wait_loaded(struct fr_spfresh *index);

uint32_t fr_spfresh_dimension(const struct fr_spfresh *index);

FR_NODISCARD fr_status fr_spfresh_upsert(struct fr_spfresh *index, enum fr_durability durability,
        size_t count, const uint64_t *ids, const float *vectors, const struct fr_payload *payloads);
FR_NODISCARD fr_status fr_spfresh_delete(struct fr_spfresh *index, enum fr_durability durability,
        size_t count, const uint64_t *ids, size_t *ret_count);

/* Where ids are text; FR_ERR_MISUSE where they are not, and of the two above where they are. */
FR_NODISCARD fr_status fr_spfresh_upsert_text(struct fr_spfresh *index,
        enum fr_durability durability, size_t count, const struct fr_text_id *ids,
        const float *vectors, const struct fr_payload *payloads);
FR_NODISCARD fr_status fr_spfresh_delete_text(struct fr_spfresh *index,
        enum fr_durability durability, size_t count, const struct fr_text_id *ids,
        size_t *ret_count);

/* The number of a text. FR_NOT_FOUND. */
FR_NODISCARD fr_status fr_spfresh_find_text(struct fr_spfresh *index, struct fr_text_id id,
        uint64_t *ret_number);

/* The row's value, which the caller releases, with the payload in it. FR_NOT_FOUND. */
FR_NODISCARD fr_status fr_spfresh_get(struct fr_spfresh *index, uint64_t id, float *ret_vector,
        struct fr_engine_value *ret_value, fr_slice *ret_payload);

FR_NODISCARD fr_status fr_spfresh_search(struct fr_spfresh *index,
        const struct fr_search_options *how, const float *query, size_t k, struct fr_hit *ret_hits,
        size_t *ret_count);

/*
 * As fr_index_search_batch(). Payloads were zeroed before the call; after a failure some may have
 * been handed out.
 */
FR_NODISCARD fr_status fr_spfresh_search_batch(struct fr_spfresh *index,
        const struct fr_search_options *how, size_t count, const float *queries, size_t k,
        struct fr_hit *ret_hits, size_t *ret_counts);

FR_NODISCARD fr_status fr_spfresh_maintain(struct fr_spfresh *index, uint64_t limit_us,
        uint64_t *ret_left);

/* As fr_index_rebuild(); threads is not 0. */
FR_NODISCARD fr_status fr_spfresh_rebuild(struct fr_spfresh *index, uint32_t threads);

/*
 * Give up what is derived, as if it could not have been written: the next maintenance writes it
 * anew, or the next opening makes it from the rows. Nothing of this is durable before later writes
 * are.
 */
FR_NODISCARD fr_status fr_spfresh_forget_derived(struct fr_spfresh *index);

/* Everything but size. */
void fr_spfresh_stats(struct fr_spfresh *index, struct fr_index_stats *ret_stats);

/*
 * Memory and store agree: see index_check.c. Nobody writes meanwhile. FR_ERR_CORRUPT: the words are
 * of the first thing that is wrong, however many threads there are. By half of the processors, or
 * by so many threads at the most, not 0.
 */
FR_NODISCARD fr_status fr_spfresh_check(struct fr_spfresh *index);
FR_NODISCARD fr_status fr_spfresh_check_by(struct fr_spfresh *index, size_t threads);

/* What a check has read, if it was well: keys from lower up to, but without, upper. */
struct fr_index_checked {
    struct fr_index_key lower[4], upper[4];
    size_t range_count;
    uint64_t keys, key_bytes, value_bytes;
};

/*
 * The same by the former's threads, with what is known of values in value files: a row whose digest
 * (spfresh/row_digest.h) is that of the code in memory is not read again. NULL: nothing is known;
 * nobody asks.
 */
FR_NODISCARD fr_status fr_spfresh_check_with(struct fr_spfresh *index, const struct fr_known *known,
        struct fr_index_checked *ret_checked);

#endif
