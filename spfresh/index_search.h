/* For spfresh/index_*.c: how a search is made, from one call's options to each query's answer. */
#ifndef FR_SPFRESH_INDEX_SEARCH_H
#define FR_SPFRESH_INDEX_SEARCH_H

#include "spfresh/index_priv.h"

/* What all queries of a call have in common. */
struct fr_asking {
    struct fr_spfresh *index;
    const struct fr_search_options *how;
    struct fr_effort effort;
    size_t k;
};

/* One query, and where its answer goes. */
struct fr_answer {
    const float *query;
    size_t number;                /* of the query, in its batch */
    float length;                 /* of the query */
    const struct fr_space *space; /* of the tree that is searched */
    struct fr_hit *hits;
    size_t count;
    struct fr_pinned *payloads;      /* or NULL */
    struct fr_text *texts;           /* or NULL */
    struct fr_search_record *record; /* or NULL */
};

/* What the caller calls the distance, of a mapped one. */
float fr_search_tell(const struct fr_answer *answer, float mapped);

/* By the tree: hits, with exact distances if there is a limit to them, which is kept. */
FR_NODISCARD fr_status fr_search_by_tree(const struct fr_asking *asking, struct fr_work *work,
        struct fr_answer *answer);

/* --- Rows: index_rows.c --- */

/* Of some answers: exact distances; payloads and texts, where there is a place for them. */
FR_NODISCARD fr_status fr_search_read_rows(const struct fr_asking *asking, struct fr_work *work,
        struct fr_answer *answers, size_t count, bool exact, bool extras);

/* Compare some queries with every row there is, in one walk over them. */
FR_NODISCARD fr_status fr_search_all_rows(const struct fr_asking *asking, struct fr_work *work,
        struct fr_answer *answers, size_t count);

/* Drop what is beyond the limit, if there is one. */
void fr_search_keep_limit(const struct fr_asking *asking, struct fr_answer *answer);

/* --- Records: index_record.c. But for the first and the clock, of answers that have one --- */

/* Forget what the caller has not set. */
void fr_search_record_clear(struct fr_search_record *record);

/* A search by the tree begins; a round of it does; it has ended, in the epoch; all of them have. */
void fr_search_record_begin(const struct fr_asking *asking, struct fr_work *work,
        const struct fr_answer *answer);
void fr_search_record_round_begin(struct fr_work *work);
void fr_search_record_round_end(struct fr_work *work, const struct fr_answer *answer);
void fr_search_record_end(const struct fr_asking *asking, struct fr_work *work,
        const struct fr_answer *answer);

/* An exhaustive one has ended. */
void fr_search_record_all(const struct fr_asking *asking, struct fr_work *work,
        const struct fr_answer *answer);

/* Rows were read for some answers since then; a part of the total, if it isn't counted already. */
uint64_t fr_search_record_now(const struct fr_asking *asking);
void fr_search_record_reading(const struct fr_asking *asking, const struct fr_answer *answers,
        size_t count, uint64_t start_ns, bool in_total);

#endif
