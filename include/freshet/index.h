/*
 * index.h - the vector index: nearest vectors, while vectors come and go all day.
 *
 * An index lives in a store (freshet/db.h), under a name. Its vectors and their payloads are rows
 * of the store and as durable as any other write; what finds them is derived from these rows, kept
 * in shape in the background, and needs no rebuild.
 *
 *     struct fr_index_options options;
 *     struct fr_index *index;
 *
 *     fr_index_options_init(&options);
 *     options.dimension = 128;
 *     fr_status st = fr_index_open(db, "", &options, &index);
 *     if (st == FR_OK) st = fr_index_upsert(index, NULL, 1, &id, vector, NULL);
 *     if (st == FR_OK) st = fr_index_search(index, NULL, query, 10, hits, &count);
 *     ...
 *     fr_index_close(index);
 *
 * What finds the vectors is in memory, about two fifths of a vector of floats and 110 bytes
 * each. It is a part of the store's memory_budget, of which the block cache has what is left; the
 * store always has a quarter of the budget for itself. Where that is too little, codes of vectors,
 * which are most of it, lie in a file of the store's, and a search reads those that it measures by;
 * some 140 bytes a vector of 128 dimensions stay. An index that is opened and for which even
 * that is too much is searched within the budget: what searches need is read from the store, and
 * what they have not needed for the longest time leaves for it. But the first call that writes to
 * such an index, maintains it, verifies it, asks what became of an id, or waits for all of it,
 * loads all but codes, whatever the budget is.
 *
 * Any number of threads may call anything but close. What was upserted is found by every search
 * that begins after the call has returned, what was deleted by none.
 */
#ifndef FRESHET_INDEX_H
#define FRESHET_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/api.h"
#include "freshet/db.h"
#include "freshet/status.h"

FR_BEGIN_DECLS

struct fr_index;

/* What nearest means, and what a hit's distance is: less is nearer. */
typedef enum fr_metric {
    FR_METRIC_L2 = 1,           /* the square of the distance */
    FR_METRIC_COSINE = 2,       /* 1 - the cosine of the angle */
    FR_METRIC_INNER_PRODUCT = 3 /* minus the inner product */
} fr_metric;

/* What an index calls its vectors. */
typedef enum fr_id_kind {
    FR_ID_U64 = 1, /* numbers */
    FR_ID_TEXT = 2 /* 1 to FR_TEXT_ID_MAX bytes, any of them */
} fr_id_kind;

#define FR_TEXT_ID_MAX      64
#define FR_DIMENSION_MAX    16384
#define FR_INDEX_NAME_MAX   63
#define FR_PAYLOAD_SIZE_MAX ((size_t)1 << 24)

/* What an index is opened with; fr_index_options_init() fills in the defaults and the size. */
struct fr_index_options {
    size_t size; /* sizeof(struct fr_index_options) */

    bool create;      /* make the index if there is none (true) */
    bool must_be_new; /* FR_ERR_EXISTS if there is one (false) */

    /* Of a new index, and kept with it; of one that is there 0, or what it has. */
    uint32_t dimension; /* of all vectors, 1 to 16,384 */
    fr_metric metric;   /* (0: FR_METRIC_L2) */
    fr_id_kind id_kind; /* (0: FR_ID_U64) */
    uint64_t seed;      /* of the random rotation (0: any) */

    /* Split, merge and reassign only when fr_index_maintain() is called (false). */
    bool manual_maintenance;

    /*
     * So many of a hundred vectors, 0 to 100, are found from two postings: those that are likely to
     * be missed otherwise (50). More of them take more memory, and searches look at fewer postings.
     * It is seen to whenever nothing else is to be maintained, after each opening, too.
     */
    uint32_t copies;
};

FR_API void fr_index_options_init(struct fr_index_options *options);

/*
 * Open the index of that name in a store; "" is the default one. Names have up to 63 letters,
 * digits, dots, dashes and underscores. An index is opened once at a time: FR_ERR_BUSY. The store
 * must stay open for longer. FR_ERR_MISSING: there is none, and create is false. FR_ERR_MISUSE:
 * dimension, metric or kind of ids are not those of the index. FR_ERR_CORRUPT: nothing else than
 * its options can be read; or these cannot, or are lost, and the metric was not given. If it is,
 * what finds the vectors is made anew from them, and the options are written anew: the vectors say
 * the dimension, and the kind of ids, but not the metric.
 *
 * Keys of the store that begin with "spfresh" are the indexes' own. In a store that is open for
 * reading only, the index is as it was when it was opened.
 *
 * An index that was closed, or whose process died, can be searched as soon as this returns. It goes
 * on to read what it needs into memory, and what a search needs first. Writing and maintenance wait
 * until all is there; fr_index_stats tells how far it is. If what finds the vectors is damaged, it
 * is made anew from them: before this returns, or while searches go on that need nothing of it.
 * Vectors that are damaged as well are left out then, and counted: see rows_lost of fr_index_stats.
 */
FR_API FR_NODISCARD fr_status fr_index_open(struct fr_db *db, const char *name,
        const struct fr_index_options *options, struct fr_index **ret_index);

/* No other call may be under way but fr_index_rebuild, which ends with FR_ERR_CANCELLED. NULL is
 * fine. */
FR_API void fr_index_close(struct fr_index *index);

/*
 * Wait until all is in memory that searches use; also what had to be made anew. FR_ERR_TOO_NEW:
 * something of it must be, and a vector is of a later version. Not needed but to know, or to time.
 */
FR_API FR_NODISCARD fr_status fr_index_wait_loaded(struct fr_index *index);

/* Delete an index that nobody has open, with all of its rows, also one that cannot be opened.
 * FR_ERR_MISSING: there is none. */
FR_API FR_NODISCARD fr_status fr_index_drop(struct fr_db *db, const char *name);

/*
 * The name of the first index whose name is above the given one; NULL: of the first of all. FR_END:
 * there are no more. The room is for FR_INDEX_NAME_MAX + 1 bytes. Indexes whose options are damaged
 * or lost are among them.
 */
FR_API FR_NODISCARD fr_status fr_index_next_name(struct fr_db *db, const char *after,
        char *ret_name);

/* --- Writing -----------------------------------------------------------------------------------
 */

/* Bytes that are kept with each vector, for the caller to use. */
struct fr_payload {
    const void *data;
    size_t size;
};

/*
 * Put count vectors, one after the other in memory, under their ids, each in place of what was
 * there; payloads may be NULL. All or nothing. Of an id that comes several times the last counts.
 * FR_ERR_MISUSE: a vector with a value that is not finite, or of length zero under the cosine; the
 * words say which. FR_ERR_LIMIT: a payload is too large, or the whole beyond 1 GiB. Else as
 * fr_db_write().
 */
FR_API FR_NODISCARD fr_status fr_index_upsert(struct fr_index *index,
        const struct fr_write_options *how, size_t count, const uint64_t *ids, const float *vectors,
        const struct fr_payload *payloads);

/* Delete count vectors; those that are not there are none. *ret_count, which may be NULL, is how
 * many were there. */
FR_API FR_NODISCARD fr_status fr_index_delete(struct fr_index *index,
        const struct fr_write_options *how, size_t count, const uint64_t *ids, size_t *ret_count);

/*
 * The same in an index whose ids are text; FR_ERR_MISUSE in any other, and of the two above in one
 * of text. A text has a number of the index's own, which stays the same until it is deleted: hits
 * carry it, and fr_index_get takes it.
 */
struct fr_text_id {
    const char *data;
    size_t size;
};
FR_API FR_NODISCARD fr_status fr_index_upsert_text(struct fr_index *index,
        const struct fr_write_options *how, size_t count, const struct fr_text_id *ids,
        const float *vectors, const struct fr_payload *payloads);
FR_API FR_NODISCARD fr_status fr_index_delete_text(struct fr_index *index,
        const struct fr_write_options *how, size_t count, const struct fr_text_id *ids,
        size_t *ret_count);

/* --- Reading -----------------------------------------------------------------------------------
 */

/*
 * The vector as it was put, and its payload in *ret_payload, which may be NULL and must be released
 * (fr_pinned_release). FR_NOT_FOUND.
 */
FR_API FR_NODISCARD fr_status fr_index_get(struct fr_index *index, uint64_t id, float *ret_vector,
        struct fr_pinned *ret_payload);

/* By its text, whose number goes to *ret_id; that may be NULL, and so may ret_vector. */
FR_API FR_NODISCARD fr_status fr_index_get_text(struct fr_index *index, struct fr_text_id text,
        uint64_t *ret_id, float *ret_vector, struct fr_pinned *ret_payload);

struct fr_hit {
    uint64_t id;
    float distance;
};

/* The text of a hit's id. */
struct fr_text {
    char data[FR_TEXT_ID_MAX]; /* no zero behind */
    size_t size;               /* 0: there is none; the hit was deleted meanwhile */
};

/* How a search is made. NULL where it is asked for means all zeros. */
struct fr_search_options {
    size_t size; /* sizeof(struct fr_search_options) */

    /* Of the k nearest so many shall be found, on average: 0.5 to 0.999 (0: 0.95). */
    double recall;

    /* Look at so many postings, whatever the recall (0: by recall). */
    uint32_t postings;

    /* Distances from the vectors themselves, in place of estimates within a thousandth or so. */
    bool exact_distances;

    /* Compare with every vector. Finds the nearest for certain. */
    bool exhaustive;

    /* Only hits that are not farther than that; k is the most that are wanted of them. */
    bool limited;
    float max_distance;

    /*
     * Where the hits' payloads go, or NULL: room for k; in a batch for k of each query, one query
     * after the other. What has one must be released (fr_pinned_release), the rest is zeroed, also
     * that of a hit which was deleted meanwhile. On failure there is nothing to release.
     */
    struct fr_pinned *ret_payloads;

    /* Where the hits' ids go if they are text, or NULL: room as for payloads. */
    struct fr_text *ret_texts;

    /* Where it is told what was done, or NULL: a record for each query, with its size set. */
    struct fr_search_record *ret_records;

    /* Of a batch: threads, the caller's own among them (0: as many as there are processors). */
    uint32_t threads;
};

/*
 * The k nearest to a query, nearest first, into ret_hits, which has room for k. *ret_count is less
 * than k only if there are not as many, or not as near. FR_ERR_MISUSE: as of fr_index_upsert.
 */
FR_API FR_NODISCARD fr_status fr_index_search(struct fr_index *index,
        const struct fr_search_options *how, const float *query, size_t k, struct fr_hit *ret_hits,
        size_t *ret_count);

/*
 * The same for count queries, which follow each other in memory, by several threads. The hits of
 * query i begin at ret_hits[i * k], their number is ret_counts[i]; each query is answered as by
 * fr_index_search. Nothing is answered if one of them fails: the words say which query cannot be
 * searched for.
 */
FR_API FR_NODISCARD fr_status fr_index_search_batch(struct fr_index *index,
        const struct fr_search_options *how, size_t count, const float *queries, size_t k,
        struct fr_hit *ret_hits, size_t *ret_counts);

/* --- What a search did --------------------------------------------------------------------------
 */

#define FR_SEARCH_TIERS_MAX 8

/* A step of a search, from centroids to what their postings list. */
struct fr_search_step {
    uint64_t postings; /* that were looked at; of the first step none: all centroids are */
    uint64_t scanned;  /* codes in them */
    uint64_t measured; /* of these, by eight bits a dimension; and all of the first step */
    double us;
};

/* A posting that was looked at. */
struct fr_search_posting {
    uint64_t number;
    float distance; /* of its centroid */
    uint32_t count; /* codes in it, some of them perhaps of vectors that have left it */
};

/* Why an id is, or is not, among the hits. */
typedef enum fr_why {
    FR_WHY_HIT = 0,          /* it is among them */
    FR_WHY_MISSING = 1,      /* there is no vector with this id */
    FR_WHY_NOT_PROBED = 2,   /* its posting was not looked at: more postings would find it */
    FR_WHY_NOT_MEASURED = 3, /* by its code it is farther away than the limit at that time */
    FR_WHY_BEATEN = 4,       /* it was measured, and k others are nearer */
    FR_WHY_FAR = 5,          /* it is beyond max_distance */
} fr_why;

/* "hit", "missing", "not probed", ...; static. */
FR_API const char *fr_why_name(fr_why why);

/* What became of one id. Distances are of the metric, from codes. */
struct fr_search_why {
    size_t size; /* sizeof(struct fr_search_why), by the caller */
    uint64_t id; /* by the caller */
    fr_why verdict;
    float distance;         /* if there is such a vector */
    uint64_t posting;       /* that it is in */
    float posting_distance; /* of that one's centroid */
    uint64_t posting_rank;  /* that one's place among all, by distance; 1 is the nearest */
    bool probed;            /* it was looked at; then: */
    float estimate;         /* the least distance that its code leaves possible */
    float limit;            /* what the estimate was compared with when it mattered last */
};

/* What a search did, and how long it took. What the caller does not set is set by the search. */
struct fr_search_record {
    size_t size; /* sizeof(struct fr_search_record), by the caller */

    /* By the caller: room for that many postings that were looked at, nearest first, or NULL. */
    struct fr_search_posting *postings;
    size_t postings_room;
    struct fr_search_why *why; /* by the caller: an id to be followed, or NULL */

    /* How hard it was to look. */
    uint64_t effort_postings, effort_width; /* of vectors, and of centroids in each tier */
    double effort_slack; /* standard deviations that an estimate may be wrong by */

    uint32_t tiers;  /* of centroids; 0: there are none, or the search was exhaustive */
    uint32_t rounds; /* several if there is a max_distance */

    /* steps[0] is of vectors, steps[i] of the centroids of tier i; the last tier is the first. */
    struct fr_search_step steps[FR_SEARCH_TIERS_MAX];
    uint64_t finished; /* vectors that were measured by all bits that are in memory */

    uint64_t rows_read, bytes_read; /* for exact distances and payloads, or all of them */

    double prepare_us, finish_us, read_us; /* beside the steps */
    double total_us; /* what is read for several queries of a batch counts in equal parts */
};

/* --- Maintenance -------------------------------------------------------------------------------
 */

/*
 * Work until nothing is left to split, merge or reassign, or for so many microseconds (0: until
 * then). *ret_left, which may be NULL, is what is left: postings that wait.
 */
FR_API FR_NODISCARD fr_status fr_index_maintain(struct fr_index *index, uint64_t limit_us,
        uint64_t *ret_left);

/* How an index is built anew. NULL where it is asked for means all zeros. */
struct fr_rebuild_options {
    size_t size;      /* sizeof(struct fr_rebuild_options) */
    uint32_t threads; /* that build, the caller's own among them (0: half of the processors) */
};

/*
 * Build anew what finds the vectors, from the vectors as they are now, and put it in place of what
 * there is. For when these have become quite other ones than the first were: an index takes its
 * scale from the first vectors that it gets, and under the inner product the lengths that it
 * expects, so that it finds less when much longer ones have come since. And for repair.
 *
 * Searches and writes go on; writes wait for a short moment at the end. Until then nothing has
 * changed, whatever happens, and then all has: a search is answered by the one or by the other, and
 * after a crash the index is one of the two, with all that was written. While it is built there are
 * both, in memory and on the disk. FR_ERR_NOMEM, FR_ERR_NOSPACE: they did not fit, and the index is
 * as it was. FR_ERR_CORRUPT: a vector cannot be read, and nothing has changed. FR_ERR_BUSY: it is
 * being rebuilt. FR_ERR_CANCELLED: it was closed.
 */
FR_API FR_NODISCARD fr_status fr_index_rebuild(struct fr_index *index,
        const struct fr_rebuild_options *how);

/*
 * Whether the rows, all that is derived from them and what is in memory say the same: every vector
 * is in exactly the posting that it should be in, with the code that it should have, and nothing
 * else is. Reads all rows; writers wait meanwhile, searches do not. FR_ERR_CORRUPT: the words say
 * what is wrong first.
 */
FR_API FR_NODISCARD fr_status fr_index_verify(struct fr_index *index);

/* Counters and sizes. The caller sets size. */
struct fr_index_stats {
    size_t size;
    uint32_t dimension;
    fr_metric metric;
    fr_id_kind id_kind;
    uint64_t count;    /* vectors; while postings are to be loaded, those that have been */
    uint64_t postings; /* and of centroids, all tiers */
    uint64_t tiers;
    uint64_t bytes;   /* in memory */
    uint64_t pending; /* postings that wait for maintenance */
    uint64_t upserts, deletes, searches;
    uint64_t splits, merges, refreshes, moved; /* moved: vectors that changed their posting */
    uint64_t scanned, measured; /* vectors that searches have scanned, and measured */
    uint64_t rebuilt; /* why the index, or parts of it, were made from rows since it was opened: 0
                         they were not, 1 nothing else was there, 2 it was damaged */
    uint64_t loaded, to_load;  /* postings of those that were stored which opening has read into
                                  memory so far, and which it has yet to read */
    uint64_t loads, evictions; /* postings read into memory since opening, and given up again for
                                  the budget: see above */
    uint64_t lean;             /* postings of which only a tenth is in memory, to be scanned */

    /* Of rows that opening came upon and could not read, for their bytes are damaged: how many are
       known by their ids; how many ranges of ids there are, in each of which more may be missing;
       and what is wrong with the first ("": nothing). What searches find is whole but for them,
       and where the code of a lost row is left, they find that. */
    uint64_t rows_lost, ranges_lost;
    char lost_why[FR_ERROR_TEXT_MAX];
    uint64_t rebuilds; /* by fr_index_rebuild, that have succeeded since it was opened */
    uint64_t rebuild_done, rebuild_of; /* of one that is under way: vectors that were read for it,
                                          of about so many; 0 of 0: there is none */
    uint32_t generation;               /* one more with each rebuild there ever was */
    uint64_t copied;                   /* vectors that are found from two postings */
    uint64_t cool, cold; /* vectors of which a part of what is in memory otherwise, and most of it,
                            lies in a file for the budget's sake, and is read when it is wanted */
};

FR_API FR_NODISCARD fr_status fr_index_stats_get(struct fr_index *index,
        struct fr_index_stats *ret_stats);

FR_END_DECLS

#endif
