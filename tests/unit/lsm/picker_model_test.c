/*
 * picker_model_test.c - the picker against a model of a store that is small enough to know of each
 * table which keys it holds, and of each key how new it is.
 *
 * Jobs are picked, run side by side, and end in any order, while tables are flushed. Whatever is
 * picked, a key is newer the higher it lies, tables of a level do not overlap, and it ends.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "lsm/picker.h"
#include "tests/unit/io/test_world.h"

#define KEYS        64
#define TABLES      200 /* there may be at once */
#define CUT_KEYS    7   /* an output table has at most so many */
#define JOBS        3
#define STEPS_LIMIT 2000

static const struct fr_picker_options small = {
        .level0_trigger = 2, .level0_most = 3, .ratio = 3, .base_bytes = 40};

struct model_table {
    bool there, busy, dense;
    bool open; /* its largest key is the next one, which it does not have */
    unsigned level;
    uint64_t number;
    uint64_t seqs[KEYS]; /* 0: it does not have the key */
};

struct model_job {
    bool running;
    unsigned output_level;
    size_t tables[TABLES];
    size_t table_count;
};

struct model {
    struct fr_rng rng;
    uint64_t seed;
    struct model_table tables[TABLES];
    struct model_job jobs[JOBS];
    uint64_t last_seq;
    uint64_t next_number;

    /* How its version is made; what is picked must not depend on it. */
    unsigned key_shift;
    uint64_t number_mask; /* numbers are told with these bits flipped */

    struct fr_obsolete obsolete;
    struct fr_version *version;
};

/* ---- the model and its version */

static fr_slice key_of(const struct model *m, size_t key, char text[16])
{
    int size = snprintf(text, 16, "k%04zu", key + m->key_shift);

    return fr_slice_of(text, (size_t)size);
}

static size_t first_key(const struct model_table *t)
{
    size_t key = 0;

    while (t->seqs[key] == 0)
        key++;
    return key;
}

static size_t last_key(const struct model_table *t)
{
    size_t key = KEYS - 1;

    while (t->seqs[key] == 0)
        key--;
    return key;
}

/* A few bytes for each entry, other ones for others. */
static uint64_t size_of(const struct model_table *t)
{
    uint64_t size = 0;

    for (size_t key = 0; key < KEYS; key++)
        if (t->seqs[key] > 0) size += 1 + t->seqs[key] % 9;
    return size;
}

static struct fr_version_table *table_of(struct model *m, const struct model_table *t)
{
    struct fr_edit_table meta = {.number = t->number ^ m->number_mask,
            .size = size_of(t),
            .entry_count = 100,
            .delete_count = t->dense ? 90 : 0,
            .largest_open = t->open,
            .smallest_seq = UINT64_MAX};
    struct fr_version_table *table;
    char smallest[16], largest[16];

    meta.smallest = key_of(m, first_key(t), smallest);
    meta.largest = key_of(m, last_key(t) + t->open, largest);
    for (size_t key = 0; key < KEYS; key++) {
        if (t->seqs[key] == 0) continue;
        meta.smallest_seq = FR_MIN(meta.smallest_seq, t->seqs[key]);
        meta.largest_seq = FR_MAX(meta.largest_seq, t->seqs[key]);
    }
    must(fr_version_table_new(&m->obsolete, &meta, NULL, NULL, NULL, &table));
    table->busy = t->busy;
    return table;
}

/* The version of the model's tables. It fails if those of a level overlap. */
static void make_version(struct model *m)
{
    struct fr_version_change change = {0};
    struct fr_version *empty;

    fr_version_unref(m->version);
    must(fr_version_new(&empty));
    for (size_t i = 0; i < TABLES; i++)
        if (m->tables[i].there)
            must(fr_version_change_add_table(&change, m->tables[i].level,
                    table_of(m, &m->tables[i])));
    fr_status st = fr_version_apply(empty, &change, &m->version);
    cr_assert_eq(st, FR_OK, "seed %" PRIu64 ": %s", m->seed, st < 0 ? fr_last_error() : "");
    fr_version_change_unref_added(&change);
    fr_version_change_deinit(&change);
    fr_version_unref(empty);
}

static size_t index_of(const struct model *m, const struct fr_version_table *table)
{
    for (size_t i = 0; i < TABLES; i++)
        if (m->tables[i].there && (m->tables[i].number ^ m->number_mask) == table->meta.number)
            return i;
    cr_assert(false, "seed %" PRIu64 ": no such table", m->seed);
    return 0;
}

static struct model_table *new_table(struct model *m, unsigned level)
{
    size_t i = 0;

    while (i < TABLES && m->tables[i].there)
        i++;
    cr_assert_lt(i, TABLES);
    m->tables[i] = (struct model_table){.there = true, .level = level, .number = m->next_number++};
    return &m->tables[i];
}

/* A key is newer the higher it lies; in level 0, the later its table was flushed. */
static void check_order(const struct model *m)
{
    for (size_t key = 0; key < KEYS; key++) {
        uint64_t seen = UINT64_MAX;
        for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
            for (size_t i = 0; i < m->version->levels[level].count; i++) {
                const struct fr_version_table *at = m->version->levels[level].tables[i];
                uint64_t seq = m->tables[index_of(m, at)].seqs[key];
                if (seq == 0) continue;
                cr_assert_lt(seq, seen, "seed %" PRIu64 ": key %zu of level %u is too new", m->seed,
                        key, level);
                seen = seq;
            }
    }
}

static void flush(struct model *m)
{
    size_t first = fr_rng_below(&m->rng, KEYS), last = fr_rng_between(&m->rng, first, KEYS - 1);
    struct model_table *t = new_table(m, 0);

    t->dense = fr_rng_one_in(&m->rng, 8);
    t->open = fr_rng_one_in(&m->rng, 3);
    t->seqs[first] = ++m->last_seq;
    for (size_t key = first + 1; key <= last; key++)
        if (fr_rng_one_in(&m->rng, 3)) t->seqs[key] = ++m->last_seq;
}

/* ---- what a pick promises */

static bool overlaps(const struct model_table *t, size_t low, size_t high)
{
    return first_key(t) <= high && last_key(t) >= low;
}

static bool is_of(const struct model *m, struct fr_version_table **tables, size_t count, size_t i)
{
    for (size_t at = 0; at < count; at++)
        if (index_of(m, tables[at]) == i) return true;
    return false;
}

/* The keys from the first of them to the last. */
static void hull_of(const struct model *m, struct fr_version_table **tables, size_t count,
        size_t *low, size_t *high)
{
    for (size_t at = 0; at < count; at++) {
        const struct model_table *t = &m->tables[index_of(m, tables[at])];
        *low = FR_MIN(*low, first_key(t));
        *high = FR_MAX(*high, last_key(t));
    }
}

static void check_tables(const struct model *m, struct fr_version_table **tables, size_t count,
        unsigned level)
{
    for (size_t at = 0; at < count; at++) {
        const struct model_table *t = &m->tables[index_of(m, tables[at])];
        cr_assert_not(t->busy, "seed %" PRIu64 ": a busy table was picked", m->seed);
        cr_assert_eq(t->level, level);
        for (size_t other = 0; other < at; other++)
            cr_assert_neq(tables[at], tables[other]);
    }
}

/* Nothing that overlaps what goes down is left where it goes to, or on the way there. */
static void check_closed(const struct model *m, const struct fr_pick *pick)
{
    size_t low = KEYS, high = 0;

    hull_of(m, pick->inputs, pick->input_count, &low, &high);
    for (size_t i = 0; i < TABLES; i++) {
        const struct model_table *t = &m->tables[i];
        if (!t->there) continue;
        if (t->level == 0 && pick->level == 0)
            cr_assert(is_of(m, pick->inputs, pick->input_count, i));
        if (t->level > pick->level && t->level < pick->output_level)
            cr_assert_not(overlaps(t, low, high), "seed %" PRIu64 ": a level was passed", m->seed);
        if (t->level == pick->output_level && overlaps(t, low, high))
            cr_assert(is_of(m, pick->overlaps, pick->overlap_count, i),
                    "seed %" PRIu64 ": an overlap was left out", m->seed);
    }
}

/* The bottom is where none of the keys lies deeper. */
static void check_bottom(const struct model *m, const struct fr_pick *pick)
{
    size_t low = KEYS, high = 0;

    if (!fr_picker_is_bottom(m->version, pick->output_level, pick->smallest, pick->largest)) return;
    hull_of(m, pick->inputs, pick->input_count, &low, &high);
    hull_of(m, pick->overlaps, pick->overlap_count, &low, &high);
    for (size_t i = 0; i < TABLES; i++)
        if (m->tables[i].there && m->tables[i].level > pick->output_level)
            cr_assert_not(overlaps(&m->tables[i], low, high));
}

static void check_pick(const struct model *m, const struct fr_pick *pick)
{
    cr_assert_gt(pick->input_count, 0);
    cr_assert_lt(pick->level, pick->output_level);
    cr_assert_lt(pick->output_level, FR_LEVEL_COUNT);
    check_tables(m, pick->inputs, pick->input_count, pick->level);
    check_tables(m, pick->overlaps, pick->overlap_count, pick->output_level);
    check_closed(m, pick);
    check_bottom(m, pick);
}

/* ---- jobs */

static void begin_job(struct model *m, struct model_job *job, const struct fr_pick *pick)
{
    *job = (struct model_job){.running = true, .output_level = pick->output_level};
    for (size_t i = 0; i < pick->input_count; i++)
        job->tables[job->table_count++] = index_of(m, pick->inputs[i]);
    for (size_t i = 0; i < pick->overlap_count; i++)
        job->tables[job->table_count++] = index_of(m, pick->overlaps[i]);
    for (size_t i = 0; i < job->table_count; i++)
        m->tables[job->tables[i]].busy = true;
}

/* The newest of each key, cut into tables. Some of them are dense again. */
static void end_job(struct model *m, struct model_job *job)
{
    uint64_t newest[KEYS] = {0};
    struct model_table *out = NULL;
    size_t in_table = 0;

    for (size_t i = 0; i < job->table_count; i++) {
        struct model_table *t = &m->tables[job->tables[i]];
        for (size_t key = 0; key < KEYS; key++)
            newest[key] = FR_MAX(newest[key], t->seqs[key]);
        t->there = false;
    }
    for (size_t key = 0; key < KEYS; key++) {
        if (newest[key] == 0) continue;
        if (out == NULL || in_table == CUT_KEYS || fr_rng_one_in(&m->rng, 6)) {
            out = new_table(m, job->output_level);
            out->dense = fr_rng_one_in(&m->rng, 8);
            in_table = 0;
        }
        out->seqs[key] = newest[key];
        in_table++;
    }
    job->running = false;
    make_version(m);
    check_order(m);
}

static bool end_some_job(struct model *m)
{
    size_t first = fr_rng_below(&m->rng, JOBS);

    for (size_t i = 0; i < JOBS; i++) {
        struct model_job *job = &m->jobs[(first + i) % JOBS];
        if (!job->running) continue;
        end_job(m, job);
        return true;
    }
    return false;
}

/* What the engine asks for: mostly what is due, sometimes what somebody wants. */
static fr_status ask(struct model *m, struct fr_pick *pick)
{
    char start[16], end[16];
    size_t from = fr_rng_below(&m->rng, KEYS);

    if (fr_rng_one_in(&m->rng, 10)) return fr_picker_pick_level0(m->version, &small, pick);
    if (!fr_rng_one_in(&m->rng, 6)) return fr_picker_pick(m->version, &small, pick);
    return fr_picker_pick_range(m->version, &small,
            (unsigned)fr_rng_below(&m->rng, FR_LEVEL_COUNT - 1), key_of(m, from, start),
            key_of(m, fr_rng_between(&m->rng, from, KEYS), end), pick);
}

static void begin_some_job(struct model *m)
{
    struct fr_pick pick = {0};

    for (size_t i = 0; i < JOBS; i++) {
        if (m->jobs[i].running) continue;
        fr_status st = ask(m, &pick);
        cr_assert(st == FR_OK || st == FR_NOT_FOUND || st == FR_ERR_BUSY);
        if (st != FR_OK) return;
        check_pick(m, &pick);
        begin_job(m, &m->jobs[i], &pick);
        fr_pick_deinit(&pick);
        make_version(m);
        return;
    }
}

static void open_model(struct model *m, uint64_t seed)
{
    *m = (struct model){.seed = seed, .next_number = 1};
    fr_rng_init(&m->rng, seed);
    fr_obsolete_init(&m->obsolete);
    make_version(m);
}

static void close_model(struct model *m)
{
    fr_version_unref(m->version);
    fr_obsolete_deinit(&m->obsolete);
}

/* So many steps of a life; what is running stays so. */
static void live(struct model *m, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        uint64_t what = fr_rng_below(&m->rng, 5);
        if (what == 0) {
            flush(m);
            make_version(m);
            check_order(m);
        } else if (what <= 2) {
            begin_some_job(m);
        } else {
            (void)end_some_job(m);
        }
    }
}

Test(picker_model, keys_stay_in_order_whatever_is_picked_side_by_side)
{
    static struct model m;

    for (uint64_t seed = 1; seed <= 300; seed++) {
        open_model(&m, seed);
        live(&m, 150);
        close_model(&m);
    }
}

/* ---- an end */

/* Bytes times the levels that they can still go down: less after each job. */
static uint64_t height(const struct model *m)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < TABLES; i++)
        if (m->tables[i].there)
            sum += size_of(&m->tables[i]) * (FR_LEVEL_COUNT - 1 - m->tables[i].level);
    return sum;
}

static void check_nothing_is_due(const struct model *m)
{
    const struct fr_version_level *levels = m->version->levels;
    uint64_t targets[FR_LEVEL_COUNT];
    unsigned base;

    fr_picker_targets(m->version, &small, targets, &base);
    cr_assert_lt(levels[0].count, small.level0_most);
    cr_assert(levels[0].count < small.level0_trigger || levels[0].file_bytes < small.base_bytes);
    for (unsigned level = 1; level < FR_LEVEL_COUNT; level++) {
        if (level < base) cr_assert_eq(levels[level].count, 0);
        if (level >= base) cr_assert_lt(levels[level].file_bytes, targets[level]);
    }
    cr_assert_eq(fr_picker_debt(m->version, &small), 0);
    unsigned last = FR_LEVEL_COUNT - 1;
    while (last > 0 && levels[last].count == 0)
        last--;
    for (size_t i = 0; i < TABLES; i++)
        if (m->tables[i].there && m->tables[i].dense)
            cr_assert(m->tables[i].level == 0 || m->tables[i].level == last);
}

Test(picker_model, picking_ends_with_nothing_over_its_target)
{
    static struct model m;

    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct fr_pick pick = {0};
        fr_status st;
        size_t steps = 0;

        open_model(&m, seed);
        live(&m, 20 + seed % 200);
        while (end_some_job(&m))
            continue;
        while ((st = fr_picker_pick(m.version, &small, &pick)) == FR_OK) {
            uint64_t before = height(&m);
            check_pick(&m, &pick);
            begin_job(&m, &m.jobs[0], &pick);
            fr_pick_deinit(&pick);
            end_job(&m, &m.jobs[0]);
            cr_assert_lt(height(&m), before, "seed %" PRIu64 ": no progress", seed);
            cr_assert_lt(++steps, STEPS_LIMIT);
        }
        must_be(FR_NOT_FOUND, st);
        check_nothing_is_due(&m);
        close_model(&m);
    }
}

/* ---- what a pick does not depend on */

static void print_tables(const struct model *m, struct fr_buf *to, struct fr_version_table **tables,
        size_t count)
{
    for (size_t i = 0; i < count; i++)
        fr_buf_printf(to, " %zu", index_of(m, tables[i]));
}

/* By the model's own tables, whatever they are called in the version. */
static void print_picks(struct model *m, struct fr_buf *to)
{
    struct fr_pick pick = {0};
    char start[16], end[16];

    make_version(m);
    fr_buf_clear(to);
    for (unsigned level = 0; level <= FR_LEVEL_COUNT; level++) {
        fr_status st =
                level == FR_LEVEL_COUNT ? fr_picker_pick(m->version, &small, &pick)
                : level == FR_LEVEL_COUNT - 1
                        ? fr_picker_pick_level0(m->version, &small, &pick)
                        : fr_picker_pick_range(m->version, &small, level,
                                  key_of(m, KEYS / 4, start), key_of(m, KEYS / 2, end), &pick);
        fr_buf_printf(to, "; %u: %s %u %u:", level, fr_status_name(st), pick.level,
                pick.output_level);
        print_tables(m, to, pick.inputs, pick.input_count);
        fr_buf_printf(to, " +");
        print_tables(m, to, pick.overlaps, pick.overlap_count);
        fr_pick_deinit(&pick);
    }
    fr_buf_u8(to, 0);
    must(fr_buf_status(to));
}

static void check_same(struct model *m, const struct fr_buf *as_it_is, const char *change)
{
    struct fr_buf found = FR_BUF_EMPTY;

    print_picks(m, &found);
    cr_assert_str_eq((const char *)found.data, (const char *)as_it_is->data, "seed %" PRIu64 ": %s",
            m->seed, change);
    fr_buf_deinit(&found);
}

Test(picker_model, numbers_of_files_and_names_of_keys_do_not_matter)
{
    struct fr_buf as_it_is = FR_BUF_EMPTY;
    static struct model m;

    for (uint64_t seed = 1; seed <= 300; seed++) {
        open_model(&m, seed);
        live(&m, 20 + seed % 200);
        print_picks(&m, &as_it_is);
        m.number_mask = 0xffff;
        check_same(&m, &as_it_is, "numbers the other way round");
        m.number_mask = 0x55;
        check_same(&m, &as_it_is, "numbers mixed");
        m.key_shift = 1000;
        check_same(&m, &as_it_is, "other keys");
        m.number_mask = 0;
        check_same(&m, &as_it_is, "other keys alone");
        close_model(&m);
    }
    fr_buf_deinit(&as_it_is);
}
