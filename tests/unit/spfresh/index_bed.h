/*
 * index_bed.h - an index over an engine on a simulated disk, and a plain model beside it: the
 * latest vector of each id.
 *
 * fr_spfresh_check compares memory with what is stored, so a test only has to do things and ask.
 * Postings are left to their usual sizes: what splits them is enough vectors.
 */
#ifndef FR_TEST_INDEX_BED_H
#define FR_TEST_INDEX_BED_H

#include "base/rng.h"
#include "spfresh/index_priv.h"
#include "tests/unit/io/test_world.h"

#define DIM 20
#define IDS 3000

struct index_bed {
    struct test_world world;
    struct fr_engine *engine;
    struct fr_spfresh *index;
    struct fr_spfresh_setup setup; /* of the next opening */
    uint64_t budget;               /* the engine's, of the next opening, or by bed_set_budget */
    bool may_be_poisoned;          /* closing the engine may fail */
    struct fr_rng rng;
    size_t count; /* of those that are there */
    bool there[IDS];
    float vectors[IDS][DIM];
};

extern struct index_bed bed;

/* An empty index without a thread of its own, unless the setup is changed and it is opened again.
 */
void bed_open(enum fr_metric metric);
void bed_close(void);
void bed_open_engine(void);
void bed_open_index(void);
void bed_reopen(void); /* both */

/* So that indexes may have so many bytes; 0: as many as they like. At once. */
void bed_set_budget(uint64_t bytes);

/* A vector of one of a few clusters. */
void bed_draw(struct fr_rng *rng, float *x);

/* So many draws of an id, 64 at the most, in one batch; of `span` ids from first on. By any
 * thread. */
void bed_put_of(uint64_t first, uint64_t span, size_t count);
void bed_delete_of(uint64_t first, uint64_t span, size_t count);

/* Of all ids. */
static inline void bed_put(size_t count)
{
    bed_put_of(0, IDS, count);
}

static inline void bed_delete(size_t count)
{
    bed_delete_of(0, IDS, count);
}

/* Until nothing is left. */
void bed_maintain(void);
struct fr_index_stats bed_stats(void);

/* A search for all, by either way, finds what is there, each once, and nothing else. */
void bed_check_found(bool exhaustive);
/* And memory is what is stored. */
void bed_check_all(void);
/* Each vector is the latest one, bit by bit. */
void bed_check_vectors(void);

#endif
