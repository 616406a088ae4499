/*
 * index_build.c - an index from its rows, when there is nothing else that could be trusted, or when
 * one is to be built anew (index_rebuild.c).
 *
 * Several threads share one walk over the rows: each takes some, maps them and writes them down in
 * slots of the tree, and gives their ids to the map. When all are there they are put into postings
 * together (spfresh/tree_bulk.c). A few rows are the caller's alone, in their order.
 *
 * For that all codes are in memory at once. Where indexes may not have so much of it, rows are put
 * together as long as there is room, and those that come then are added one by one, beside codes
 * that leave memory (index_cold.c).
 */
#include "base/alloc.h"
#include "base/cover.h"
#include "base/crew.h"
#include "spfresh/index_priv.h"

/* Rows that a thread takes at once, and postings that it looks at after that. */
#define ROWS_AT_ONCE 32
#define TASKS_AFTER  4

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
    struct builder *builders;
    struct fr_mutex mu; /* rank FR_RANK_SPFRESH_INDEX: nobody holds that one beside it */

    /* Guarded by mu, and the map. */
    struct fr_row_walk rows;
    bool over;
};

/* And what each has of its own. */
struct builder {
    size_t count;
    uint64_t ids[ROWS_AT_ONCE];
    fr_slot slots[ROWS_AT_ONCE];
    float *vectors, *mapped;
    struct fr_probe *probe;
    int8_t *high;
    uint8_t *low;
};

static fr_status init_builder(struct builder *b, const struct build *build)
{
    size_t dimension = build->index->options.dimension, dims = build->how->tree->space->dims;
    fr_status st;

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

/* Some of the rows that are left. */
static fr_status read_rows_locked(struct build *build, struct builder *b) FR_REQUIRES(build->mu)
{
    fr_status st = FR_OK;

    for (b->count = 0; !build->over && b->count < ROWS_AT_ONCE; b->count++) {
        FR_TRY(fr_row_walk_next(&build->rows, &b->ids[b->count],
                b->vectors + b->count * build->index->options.dimension));
        build->over = st == FR_END;
        if (build->over) break;
    }
out:
    return st < 0 ? st : FR_OK;
}

static fr_status read_rows(struct build *build, struct builder *b)
{
    fr_mutex_lock(&build->mu);
    fr_status st = read_rows_locked(build, b);
    fr_mutex_unlock(&build->mu);
    return st;
}

static fr_status map_rows(struct build *build, const struct builder *b)
{
    struct fr_id_map *map = build->how->map;

    fr_mutex_lock(&build->mu);
    fr_status st = fr_id_map_reserve(map, b->count);
    for (size_t i = 0; i < b->count && st == FR_OK; i++)
        fr_id_map_set(map, b->slots[i]);
    fr_mutex_unlock(&build->mu);
    return st;
}

/* The n-th of those that were taken, mapped. */
static void map_vector(const struct build *build, const struct builder *b, size_t n)
{
    fr_space_map_row(build->how->tree->space, b->vectors + n * build->index->options.dimension,
            b->mapped);
}

static void count_done(const struct build *build, const struct builder *b)
{
    _Atomic(uint64_t) *done = build->how->done;

    if (done != NULL) atomic_fetch_add_explicit(done, b->count, memory_order_relaxed);
}

/* fr_crew_fn */
static fr_status put_some_together(void *ctx, size_t member, size_t piece)
{
    struct build *build = ctx;
    struct builder *b = &build->builders[member];
    struct fr_tree *tree = build->how->tree;
    fr_status st;

    (void)piece;
    if (!fr_spfresh_has_room(build->index)) return FR_END;
    FR_TRY(read_rows(build, b));
    if (b->count == 0) return FR_END;
    FR_TRY(fr_tree_bulk_take(tree, b->count, b->slots));
    for (size_t n = 0; n < b->count; n++) {
        map_vector(build, b, n);
        fr_tree_bulk_fill(tree, b->slots[n], b->ids[n], b->mapped);
    }
    FR_TRY(map_rows(build, b));
    count_done(build, b);
out:
    return st;
}

static fr_status add_row(const struct build *build, struct builder *b, size_t n)
{
    struct fr_tree *tree = build->how->tree;
    struct fr_entrant entrant = {
            .id = b->ids[n], .x = b->mapped, .high = b->high, .low = b->low, .slot = FR_SLOT_NONE};
    fr_status st;

    map_vector(build, b, n);
    FR_TRY(fr_tree_locate_one(b->probe, &entrant));
    FR_TRY(fr_tree_enter(tree, &entrant));
    fr_tree_publish(tree, &entrant, 1, NULL, 0, 0);
    b->slots[n] = entrant.slot;
out:
    return st;
}

/* fr_crew_fn */
static fr_status add_some(void *ctx, size_t member, size_t piece)
{
    struct build *build = ctx;
    struct builder *b = &build->builders[member];
    size_t left;
    fr_status st;

    (void)piece;
    FR_TRY(read_rows(build, b));
    if (b->count == 0) return FR_END;
    FR_COVER("index: rows are added one by one where there is no room for all");
    for (size_t n = 0; n < b->count; n++)
        FR_TRY(add_row(build, b, n));
    FR_TRY(map_rows(build, b));
    FR_TRY(fr_tree_maintain(build->how->tree, TASKS_AFTER, &left));
    fr_spfresh_fit_tree(build->index, build->how->tree);
    count_done(build, b);
out:
    return st;
}

static fr_status fill(struct build *build, const struct fr_crew *crew)
{
    const struct fr_filling *how = build->how;
    size_t left;
    fr_status st;

    FR_TRY(fr_crew_run(crew, SIZE_MAX, put_some_together, build));
    FR_TRY(fr_tree_bulk_end(how->tree, how->threads, how->stop));
    fr_spfresh_fit_tree(build->index, how->tree);
    if (build->over) return FR_OK;
    FR_TRY(fr_crew_run(crew, SIZE_MAX, add_some, build));
    st = fr_tree_maintain(how->tree, SIZE_MAX, &left);
out:
    return st;
}

fr_status fr_spfresh_fill(struct fr_spfresh *index, const struct fr_filling *how)
{
    struct fr_crew crew = {.name = "fr-build", .threads = how->threads, .stop = how->stop};
    struct builder builders[FR_CREW_MAX] = {0};
    struct build build = {.index = index, .how = how, .builders = builders};
    fr_status st = FR_OK;

    fr_mutex_init(&build.mu, FR_RANK_SPFRESH_INDEX);
    for (size_t i = 0; i < fr_crew_size(&crew); i++)
        FR_TRY(init_builder(&builders[i], &build));
    FR_TRY(how->view == NULL ? fr_row_walk_open(&build.rows, index)
                             : fr_row_walk_open_at(&build.rows, index, how->view, how->at));
    st = fill(&build, &crew);
out:
    fr_row_walk_close(&build.rows);
    fr_mutex_deinit(&build.mu);
    for (size_t i = 0; i < FR_CREW_MAX; i++)
        deinit_builder(&builders[i]);
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
