/*
 * index_build.c - an index from its rows, when there is nothing else that could be trusted, or when
 * one is to be built anew (index_rebuild.c).
 *
 * Several threads share one walk over the rows: each takes some, finds where they belong without a
 * lock, enters them, and now and then splits a posting. A few rows are added by the caller alone,
 * in their order.
 */
#include "base/alloc.h"
#include "base/cover.h"
#include "spfresh/index_priv.h"

/* Rows that a thread takes at once, and postings that it looks at after that. */
#define ROWS_AT_ONCE 32
#define TASKS_AFTER  4

#define THREADS_MAX 16

fr_status fr_spfresh_read_row(const struct fr_spfresh *index, const struct fr_iter *it,
        uint64_t *ret_id, float *ret_vector)
{
    struct fr_index_key kind = fr_key_kind(&index->prefix, 'v');
    fr_slice payload;
    fr_status st;

    FR_TRY(fr_key_read_vector(&kind, it->entry.key, ret_id));
    st = fr_stored_read_vector(it->entry.value, index->options.dimension, ret_vector, &payload);
out:
    return st;
}

/* The first rows, as far as there are any. */
static fr_status read_sample(struct fr_spfresh *index, float *sample, size_t *ret_count)
{
    struct fr_row_walk rows = {0};
    size_t count = 0;
    uint64_t id;
    fr_status st;

    FR_TRY(fr_row_walk_open(&rows, index));
    for (; count < FR_SPFRESH_SAMPLE; count++) {
        FR_TRY(fr_row_walk_next(&rows, &id, sample + count * index->options.dimension));
        if (st == FR_END) break;
    }
    *ret_count = count;
out:
    fr_row_walk_close(&rows);
    return st < 0 ? st : FR_OK;
}

/* What all threads of a build share. */
struct build {
    struct fr_spfresh *index;
    const struct fr_filling *how;
    struct fr_mutex mu; /* rank FR_RANK_SPFRESH_INDEX: nobody holds that one beside it */

    /* Guarded by mu, and the map. */
    struct fr_row_walk rows;
    struct fr_error failure; /* the first; status 0: none */
    bool over;
};

/* And what each has of its own. */
struct builder {
    struct build *build;
    struct fr_thread thread;
    struct fr_probe *probe;
    size_t count;
    uint64_t ids[ROWS_AT_ONCE];
    float *vectors, *mapped;
    int8_t *high;
    uint8_t *low;
};

static fr_status init_builder(struct builder *b, struct build *build)
{
    size_t dimension = build->index->options.dimension, dims = build->how->tree->space->dims;
    fr_status st;

    *b = (struct builder){.build = build};
    FR_TRY(fr_probe_new(build->how->tree, &b->probe));
    b->vectors = fr_alloc(ROWS_AT_ONCE * dimension * sizeof(float));
    b->mapped = fr_alloc_aligned(dims * sizeof(float), 64);
    b->high = fr_alloc(dims);
    b->low = fr_alloc(fr_row_low_size(dims));
    if (b->vectors == NULL || b->mapped == NULL || b->high == NULL || b->low == NULL)
        st = FR_FAIL(FR_ERR_NOMEM, "no memory to build an index");
out:
    return st;
}

static void deinit_builder(struct builder *b)
{
    fr_probe_free(b->probe);
    fr_free(b->vectors);
    fr_free(b->mapped);
    fr_free(b->high);
    fr_free(b->low);
}

/* Some of the rows that are left; none: it is over. */
static fr_status take_rows_locked(struct builder *b) FR_REQUIRES(b->build->mu)
{
    struct build *build = b->build;
    const struct fr_filling *how = build->how;
    fr_status st = FR_OK;

    /* Relaxed: it only has to be seen soon. */
    if (how->stop != NULL && atomic_load_explicit(how->stop, memory_order_relaxed))
        return FR_FAIL(FR_ERR_CANCELLED, "the index is being closed");
    for (b->count = 0; !build->over && b->count < ROWS_AT_ONCE; b->count++) {
        FR_TRY(fr_row_walk_next(&build->rows, &b->ids[b->count],
                b->vectors + b->count * build->index->options.dimension));
        build->over = st == FR_END;
        if (build->over) break;
    }
    if (how->done != NULL) atomic_fetch_add_explicit(how->done, b->count, memory_order_relaxed);
out:
    return st < 0 ? st : FR_OK;
}

static fr_status take_rows(struct builder *b)
{
    fr_mutex_lock(&b->build->mu);
    fr_status st = take_rows_locked(b);
    fr_mutex_unlock(&b->build->mu);
    return st;
}

static fr_status add_row(struct builder *b, size_t n)
{
    const struct fr_spfresh *index = b->build->index;
    struct fr_tree *tree = b->build->how->tree;
    struct fr_id_map *map = b->build->how->map;
    struct fr_entrant entrant = {
            .id = b->ids[n], .x = b->mapped, .high = b->high, .low = b->low, .slot = FR_SLOT_NONE};
    fr_status st;

    fr_space_map_row(tree->space, b->vectors + n * index->options.dimension, b->mapped);
    FR_TRY(fr_tree_locate_one(b->probe, &entrant));
    FR_TRY(fr_tree_enter(tree, &entrant));
    fr_tree_publish(tree, &entrant, 1, NULL, 0, 0);
    fr_mutex_lock(&b->build->mu);
    st = fr_id_map_reserve(map, 1);
    if (st == FR_OK) fr_id_map_set(map, entrant.slot);
    fr_mutex_unlock(&b->build->mu);
out:
    return st;
}

static fr_status build_on(struct builder *b)
{
    size_t left;
    fr_status st;

    do {
        FR_TRY(take_rows(b));
        for (size_t n = 0; n < b->count; n++)
            FR_TRY(add_row(b, n));
        FR_TRY(fr_tree_maintain(b->build->how->tree, TASKS_AFTER, &left));
        fr_spfresh_fit_tree(b->build->index, b->build->how->tree);
    } while (b->count > 0);
out:
    return st;
}

static void builder_main(void *arg)
{
    struct builder *b = arg;
    struct build *build = b->build;

    if (build_on(b) == FR_OK) return;
    fr_mutex_lock(&build->mu);
    if (build->failure.status == FR_OK) fr_error_save(&build->failure);
    build->over = true;
    fr_mutex_unlock(&build->mu);
}

/* The first is the caller itself. */
static fr_status run_builders(struct build *build, struct builder *builders, size_t count)
{
    size_t made = 0, started = 1;
    fr_status st = FR_OK;

    for (; made < count && st == FR_OK; made++)
        st = init_builder(&builders[made], build);
    for (; started < count && st == FR_OK; started++)
        st = fr_thread_start(&builders[started].thread, "fr-build", builder_main,
                &builders[started]);
    if (st == FR_OK) builder_main(&builders[0]);
    if (st < 0) {
        fr_mutex_lock(&build->mu);
        build->over = true;
        fr_mutex_unlock(&build->mu);
    }
    for (size_t i = 1; i < made; i++)
        fr_thread_join(&builders[i].thread);
    for (size_t i = 0; i < made; i++)
        deinit_builder(&builders[i]);
    if (st == FR_OK && build->failure.status < 0) st = fr_error_restore(&build->failure);
    return st;
}

fr_status fr_spfresh_fill(struct fr_spfresh *index, const struct fr_filling *how)
{
    size_t left, threads = FR_MIN(how->threads, (size_t)THREADS_MAX);
    struct builder *builders = fr_alloc_zeroed(threads, sizeof(*builders));
    struct build build = {.index = index, .how = how};
    fr_status st;

    if (builders == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to build an index");
    fr_mutex_init(&build.mu, FR_RANK_SPFRESH_INDEX);
    FR_TRY(how->view == NULL ? fr_row_walk_open(&build.rows, index)
                             : fr_row_walk_open_at(&build.rows, index, how->view, how->at));
    FR_TRY(run_builders(&build, builders, threads));
    st = fr_tree_maintain(how->tree, SIZE_MAX, &left);
out:
    fr_row_walk_close(&build.rows);
    fr_mutex_deinit(&build.mu);
    fr_free(builders);
    return st;
}

/* Of the moment of opening, but for what is damaged. */
static fr_status add_all_rows(struct fr_spfresh *index, struct fr_tree *tree, size_t threads)
{
    struct fr_filling how = {.tree = tree, .map = &index->map, .threads = threads};

    tree->changes.on = false; /* all of it will be written */
    return fr_spfresh_fill(index, &how);
}

/*
 * Once more, where rows were lost: in the space that stood before, so that what is written of them
 * in postings can go on. Nothing is done where that space is lost as well.
 */
static fr_status build_with_codes(struct fr_spfresh *index, size_t threads, struct fr_tree **tree)
{
    fr_status st = fr_spfresh_read_space(index);

    if (st != FR_OK) return st == FR_NOT_FOUND ? FR_OK : st;
    FR_COVER("index: built anew with the codes of lost rows");
    fr_tree_free(FR_TAKE(*tree));
    FR_TRY(fr_spfresh_make_tree(index, NULL, 0, false, tree));
    FR_TRY(add_all_rows(index, *tree, threads));
    FR_TRY(fr_spfresh_carry_codes(index, *tree));
    if (index->map.count == 0) fr_tree_free(FR_TAKE(*tree));
out:
    return st;
}

fr_status fr_spfresh_build(struct fr_spfresh *index, struct fr_tree **ret_tree)
{
    float *sample = fr_alloc(FR_SPFRESH_SAMPLE * index->options.dimension * sizeof(float));
    struct fr_tree *tree = NULL;
    size_t count = 0;
    fr_status st;

    *ret_tree = NULL;
    if (sample == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to build an index");
    FR_TRY(read_sample(index, sample, &count));
    if (count == 0 && !fr_lost_any(index)) goto out;
    if (count > 0) FR_TRY(fr_spfresh_make_tree(index, sample, count, false, &tree));
    fr_free(FR_TAKE(sample));
    size_t threads = count < FR_SPFRESH_SAMPLE ? 1 : fr_thread_cpu_count();
    if (tree != NULL) FR_TRY(add_all_rows(index, tree, threads));
    if (fr_lost_any(index)) FR_TRY(build_with_codes(index, threads, &tree));
    if (tree == NULL) FR_TRY(fr_lost_fail(index));
    if (tree != NULL) tree->changes.on = true;
    *ret_tree = FR_TAKE(tree);
out:
    fr_tree_free(tree);
    fr_free(sample);
    return st;
}
