/*
 * index_effort.c - which effort reaches which recall on an index's own vectors.
 *
 * Some of its vectors are taken for queries, each step of the ladder looks for their neighbours,
 * and what it finds is compared with what the last one does. Queries that are unlike all vectors
 * need more than that says.
 */
#include "base/rng.h"
#include "spfresh/index_priv.h"
#include "spfresh/tree_priv.h"

#define QUERIES 128
#define K       10

/* With fewer vectors every effort is small. */
#define COUNT_MIN 2000

struct measuring {
    struct fr_spfresh *index;
    struct fr_tree *tree;
    struct fr_work *work;
    fr_slot slot; /* the query's own, which does not count */
    struct fr_found truth[K + 1];
    size_t truth_count;
    size_t right[FR_EFFORT_STEPS];
    size_t of; /* all that there were to find */
};

static size_t count_right(const struct measuring *m, const struct fr_found *found, size_t count)
{
    size_t right = 0;

    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < m->truth_count; j++)
            right += found[i].slot != m->slot && found[i].slot == m->truth[j].slot;
    return right;
}

static fr_status run_steps(struct measuring *m)
{
    struct fr_probe *probe = m->work->probe;
    struct fr_found found[K + 1];
    struct fr_effort most = fr_effort_step(FR_EFFORT_STEPS - 1);
    size_t count;
    fr_status st;

    fr_probe_aim(probe, m->work->query);
    FR_TRY(fr_probe_search(probe, &most, K + 1, m->truth, &m->truth_count));
    m->of += count_right(m, m->truth, m->truth_count);
    for (size_t step = 0; step + 1 < FR_EFFORT_STEPS; step++) {
        struct fr_effort effort = fr_effort_step(step);

        FR_TRY(fr_probe_search(probe, &effort, K + 1, found, &count));
        m->right[step] += count_right(m, found, count);
    }
out:
    return st;
}

/* One that is alive; FR_NOT_FOUND after some attempts. */
static fr_status choose_query(struct measuring *m, struct fr_rng *rng)
{
    const struct fr_rows *rows = &m->tree->tiers[0];
    fr_slot count = atomic_load_explicit(&rows->slot_count, memory_order_acquire);
    fr_status st;

    for (int attempt = 0; attempt < 100; attempt++) {
        fr_slot slot = (fr_slot)fr_rng_below(rng, count);
        const struct fr_row *row = fr_rows_row(rows, slot);

        if (atomic_load_explicit(&row->version, memory_order_acquire) % 2 == 0) continue;
        uint64_t stamp = atomic_load_explicit(&row->stamp, memory_order_acquire);
        if ((stamp & (FR_ROW_DEAD | FR_ROW_UNBORN)) != 0) continue;
        m->slot = slot;
        FR_TRY(fr_rows_read_vector(rows, slot, &m->work->probe->room, m->work->query));
        if (st == FR_OK) return FR_OK;
    }
    st = FR_NOT_FOUND;
out:
    return st;
}

static fr_status run_queries(struct measuring *m)
{
    struct fr_rng rng;
    fr_status st = FR_OK;

    fr_rng_init(&rng, m->index->options.seed);
    for (int i = 0; i < QUERIES && st >= 0; i++) {
        unsigned reader = fr_epoch_enter(&m->tree->epoch);

        st = choose_query(m, &rng);
        if (st == FR_OK) st = run_steps(m);
        fr_epoch_leave(&m->tree->epoch, reader);
    }
    return st < 0 ? st : FR_OK;
}

/* Changes count, not how many are there: as many may be quite other ones after a while. */
static bool is_due(struct fr_spfresh *index, uint64_t *ret_due)
{
    if (fr_spfresh_written(index) < atomic_load_explicit(&index->efforts_due, memory_order_relaxed))
        return false;
    fr_mutex_lock(&index->mu);
    uint64_t count = index->map.count;
    fr_mutex_unlock(&index->mu);
    *ret_due = fr_spfresh_written(index) + (COUNT_MIN + count) / 4;
    return count >= COUNT_MIN;
}

fr_status fr_spfresh_measure_efforts(struct fr_spfresh *index)
{
    struct measuring m = {.index = index};
    double recalls[FR_EFFORT_STEPS] = {0};
    uint64_t due;
    fr_status st;

    if (fr_spfresh_tree(index) == NULL || !is_due(index, &due)) return FR_OK;
    FR_TRY(fr_spfresh_take_work(index, &m.work));
    m.tree = m.work->generation->tree;
    FR_TRY(run_queries(&m));
    atomic_store_explicit(&index->efforts_due, due, memory_order_relaxed);
    if (m.of == 0) goto out;
    for (size_t step = 0; step < FR_EFFORT_STEPS; step++)
        recalls[step] = (double)m.right[step] / (double)m.of;
    fr_efforts_set(&index->efforts, recalls);
out:
    fr_spfresh_give_work(index, m.work);
    return st;
}
