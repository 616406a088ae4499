/*
 * top_postings.h - how large the postings of an index are and how much they have changed, from
 * what is small: the entries of their keys, and centroids.
 *
 * No store is opened and no vector is read. A posting's size follows from its entries, which say
 * how long their values are wherever these lie; in the lowest level, where it fills a block, from
 * that one's size in the table's index, so that most of what there is need not be read. If such a
 * block is compressed, it is told as that much smaller. A posting's centroid says how many rows it
 * had when it was last written as a whole (spfresh/stored.h). What is beyond has come since. So the
 * numbers are as good as that, and each posting is told as if all of its records were of the longer
 * kind.
 */
#ifndef FR_TOOLS_TOP_POSTINGS_H
#define FR_TOOLS_TOP_POSTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"
#include "lsm/manifest.h"
#include "spfresh/stored.h"

struct fr_dir;

struct fr_top_posting {
    uint32_t number;
    bool complete;    /* older entries of the posting say nothing more */
    bool has_radius;  /* its centroid was met, and so for older ones of that */
    bool gone;        /* deleted, and nothing came since */
    uint64_t bytes;   /* of all its records */
    uint32_t written; /* rows when it was written as a whole */
    float radius;     /* its square */
    uint32_t rows;    /* by its bytes: came, and not yet swept if they left */
    uint32_t changed; /* of these, since it was written as a whole */
};

struct fr_top_index {
    bool exists;
    struct fr_stored_options options;
    struct fr_buf postings; /* struct fr_top_posting: those that are there */
    uint64_t bytes;
    uint64_t rows, changed;
};

/*
 * Read a store's index of that name. FR_ERR_MISUSE: there can be none. FR_ERR_NOMEM, and failures
 * to read files. ret_index is to be deinited in any case.
 */
FR_NODISCARD fr_status fr_top_index_read(struct fr_dir *dir, const struct fr_super *super,
        const struct fr_manifest_state *manifest, const char *name, struct fr_top_index *ret_index);
void fr_top_index_deinit(struct fr_top_index *index);

static inline struct fr_top_posting *fr_top_postings(const struct fr_top_index *index,
        size_t *ret_count)
{
    *ret_count = index->postings.size / sizeof(struct fr_top_posting);
    return (struct fr_top_posting *)(void *)index->postings.data;
}

#endif
