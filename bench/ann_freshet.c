/* bench of internals: the index in memory, without its store.
 *
 * ann_freshet.c - our index: vectors come one by one in the file's order, and it is maintained as
 * they come. Nothing is built at once.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/status.h"
#include "bench/ann_engine.h"
#include "spfresh/probe.h"

/* As many of the first vectors tell where the data's centre is. */
#define SAMPLE 1000

/* Maintenance follows after so many. */
#define MAINTAIN_AFTER 100

struct index {
    struct fr_space space;
    struct fr_tree *tree;
};

struct session {
    struct index *index;
    struct fr_probe *probe;
    float *query;
};

static const struct fr_effort ladder[] = {{16, 8, 1.0f}, {32, 12, 1.2f}, {48, 14, 1.4f},
        {64, 16, 1.5f}, {96, 18, 1.5f}, {128, 20, 1.5f}, {180, 24, 1.5f}, {230, 27, 1.6f},
        {280, 30, 1.7f}, {360, 36, 1.9f}, {440, 40, 2.0f}, {560, 48, 2.2f}, {700, 60, 2.3f},
        {1000, 80, 2.5f}};

static void must(fr_status st)
{
    if (st < 0) ann_die("freshet: %s", fr_last_error());
}

static enum fr_metric metric_of(enum ann_metric metric)
{
    return metric == ANN_L2       ? FR_METRIC_L2
           : metric == ANN_COSINE ? FR_METRIC_COSINE
                                  : FR_METRIC_INNER_PRODUCT;
}

static void fill(struct fr_tree *tree, const struct ann_set *base)
{
    size_t left;
    fr_slot slot;

    for (size_t n = 0; n < base->count; n++) {
        must(fr_tree_add(tree, n, base->vectors + n * base->dimension, FR_SLOT_NONE, &slot));
        if (n % MAINTAIN_AFTER == MAINTAIN_AFTER - 1) must(fr_tree_maintain(tree, SIZE_MAX, &left));
    }
    must(fr_tree_maintain(tree, SIZE_MAX, &left));
    must(fr_tree_tidy(tree, SIZE_MAX, &left));
}

static void *build(const struct ann_job *job, struct ann_built *ret_built)
{
    struct index *index = FR_NEW(struct index);
    size_t sample = job->base->count < SAMPLE ? job->base->count : SAMPLE;

    if (index == NULL) ann_die("freshet: no memory");
    must(fr_space_init(&index->space, metric_of(job->metric), job->base->dimension, 1));
    must(fr_space_calibrate(&index->space, job->base->vectors, sample, 0));
    must(fr_tree_new(&index->space, NULL, &index->tree));
    fill(index->tree, job->base);
    ret_built->accounted = fr_tree_bytes(index->tree);
    return index;
}

static void level_name(size_t level, char *ret_text, size_t size)
{
    snprintf(ret_text, size, "%zu:%zu:%.1f", ladder[level].postings, ladder[level].width,
            (double)ladder[level].slack);
}

static void *session_open(void *index)
{
    struct session *session = FR_NEW(struct session);

    if (session == NULL) ann_die("freshet: no memory");
    session->index = index;
    must(fr_probe_new(session->index->tree, &session->probe));
    session->query = fr_alloc(session->index->space.dims * sizeof(float));
    if (session->query == NULL) ann_die("freshet: no memory");
    return session;
}

static void session_close(void *opened)
{
    struct session *session = opened;

    fr_probe_free(session->probe);
    fr_free(session->query);
    fr_free(session);
}

static void search(void *opened, size_t level, const float *query, size_t k, uint32_t *ret_ids)
{
    struct session *session = opened;
    struct fr_tree *tree = session->index->tree;
    struct fr_found found[128];
    size_t count;

    if (k > FR_ARRAY_COUNT(found)) ann_die("freshet: k is %zu at the most", FR_ARRAY_COUNT(found));
    fr_space_map_query(&session->index->space, query, session->query);
    unsigned reader = fr_epoch_enter(&tree->epoch);
    fr_probe_aim(session->probe, session->query);
    must(fr_probe_search(session->probe, &ladder[level], k, found, &count));
    for (size_t i = 0; i < k; i++)
        ret_ids[i] =
                i < count ? (uint32_t)fr_rows_row(&tree->tiers[0], found[i].slot)->id : UINT32_MAX;
    fr_epoch_leave(&tree->epoch, reader);
}

const struct ann_engine ann_freshet = {
        .name = "freshet",
        .about = "streamed one by one, maintained after each hundred",
        .build = build,
        .level_count = FR_ARRAY_COUNT(ladder),
        .level_name = level_name,
        .session_open = session_open,
        .session_close = session_close,
        .search = search,
};
