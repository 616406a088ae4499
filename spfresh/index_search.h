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
    size_t number; /* of the query, in its batch */
    float length;  /* of the query */
    struct fr_hit *hits;
    size_t count;
    struct fr_pinned *payloads; /* or NULL */
};

/* What the caller calls the distance, of a mapped one. */
float fr_search_tell(const struct fr_asking *asking, const struct fr_answer *answer, float mapped);

/* By the tree: hits, with exact distances if there is a limit to them, which is kept. */
FR_NODISCARD fr_status fr_search_by_tree(const struct fr_asking *asking, struct fr_work *work,
        struct fr_answer *answer);

/* --- Rows: index_rows.c --- */

/* Of some answers: exact distances, or payloads, or both. */
FR_NODISCARD fr_status fr_search_read_rows(const struct fr_asking *asking, struct fr_work *work,
        struct fr_answer *answers, size_t count, bool exact, bool payloads);

/* Compare some queries with every row there is, in one walk over them. */
FR_NODISCARD fr_status fr_search_all_rows(const struct fr_asking *asking, struct fr_work *work,
        struct fr_answer *answers, size_t count);

/* Drop what is beyond the limit, if there is one. */
void fr_search_keep_limit(const struct fr_asking *asking, struct fr_answer *answer);

#endif
