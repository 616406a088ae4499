/*
 * expiry_test.c - puts that expire, in an engine on a simulated machine whose time of day is moved:
 * whoever asks, and wherever the put lies by then, it is gone, and what it hid stays hidden.
 */
#include "io/sim.h"
#include "lsm/batch.h"
#include "lsm/engine_priv.h"
#include "tests/unit/io/test_world.h"

#define SECOND 1000000

/* Where what was written lies when it expires. */
enum place { IN_MEMTABLE, IN_LEVEL0, IN_LEVELS, PLACES };

static struct fr_sim *sim;
static struct fr_env *env;
static struct fr_engine_options options;
static struct fr_engine *engine;
static uint64_t soon; /* puts of a test expire then */

static void set_up(void)
{
    struct fr_sim_options how = {.seed = 1};

    must(fr_sim_open(&how, &sim));
    env = fr_sim_env(sim);
    options = fr_engine_options_default();
    options.memtable_size = 64 << 10;
    options.log_segment_size = 128 << 10;
    options.cache_size = 64 << 10;
    options.value_threshold = 100;
    options.disk_reserve = 0;
    options.picker.level0_trigger = options.picker.level0_most = 100;
    must(fr_engine_open(env, "store", &options, &engine));
    soon = fr_env_wall_us(env) + 100 * (uint64_t)SECOND;
}

static void tear_down(void)
{
    must(fr_engine_close(engine));
    fr_sim_close(sim);
}

TestSuite(expiry, .init = set_up, .fini = tear_down, .timeout = 60);

/* ---- writing and moving */

enum { NEVER };

/* expires_us NEVER: a plain put. Large values lie in value files. */
static void write_one(enum fr_kind kind, const char *key, const char *value, uint64_t expires_us)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    fr_slice k = fr_slice_of_text(key), v = fr_slice_of_text(value), bytes;

    if (kind == FR_KIND_APPEND)
        must(fr_batch_add_append(&batch, k, v));
    else if (expires_us != NEVER)
        must(fr_batch_add_put_until(&batch, k, v, expires_us));
    else
        must(fr_batch_add_put(&batch, k, v));
    must(fr_batch_finish(&batch, &bytes));
    must(fr_engine_write(engine, bytes, 1, FR_DURABLE_OS));
    fr_batch_deinit(&batch);
}

static void put(const char *key, const char *value)
{
    write_one(FR_KIND_PUT, key, value, NEVER);
}

static void put_until(const char *key, const char *value, uint64_t expires_us)
{
    write_one(FR_KIND_PUT, key, value, expires_us);
}

static void append(const char *key, const char *fragment)
{
    write_one(FR_KIND_APPEND, key, fragment, NEVER);
}

static void compact(void)
{
    must(fr_engine_compact_range(engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
}

static void move_to(enum place place)
{
    if (place == IN_LEVEL0) must(fr_engine_flush(engine));
    if (place == IN_LEVELS) compact();
}

static void time_passes(void)
{
    fr_sim_wall_jump(sim, (int64_t)(soon - fr_env_wall_us(env)));
}

/* ---- reading, in each way that there is */

static void print(struct fr_buf *to, fr_slice key, fr_slice value)
{
    fr_buf_printf(to, "%.*s=%.*s ", (int)key.size, (const char *)key.data,
            (int)FR_MIN(value.size, (size_t)20), (const char *)value.data);
}

static void scan(struct fr_engine *from, fr_seq at, bool forwards, struct fr_buf *to)
{
    struct fr_engine_scan_options how = {.at = at};
    struct fr_iter *it;
    fr_status st;

    must(fr_engine_scan(from, &how, &it));
    if (!forwards) fr_iter_seek_last(it);
    while ((st = forwards ? fr_iter_next(it) : fr_iter_prev(it)) == FR_OK)
        print(to, it->entry.key, it->entry.value);
    must_be(FR_END, st);
    fr_iter_close(it);
}

static void get_each(struct fr_engine *from, fr_seq at, const fr_slice *keys, size_t count,
        struct fr_buf *to)
{
    for (size_t i = 0; i < count; i++) {
        struct fr_engine_value value;
        fr_status st = fr_engine_get(from, keys[i], at, &value);
        cr_assert(st == FR_OK || st == FR_NOT_FOUND);
        if (st != FR_OK) continue;
        print(to, keys[i], value.bytes);
        fr_engine_value_release(&value);
    }
}

static void get_together(struct fr_engine *from, fr_seq at, const fr_slice *keys, size_t count,
        struct fr_buf *to)
{
    struct fr_engine_value values[4];
    fr_status statuses[4] = {FR_OK, FR_OK, FR_OK, FR_OK};

    struct fr_view *view = fr_engine_view_take(from, &at);
    must(fr_engine_multi_get(from, view, at, &(uint64_t){0}, count, keys, values, statuses));
    fr_engine_view_release(from, view);
    for (size_t i = 0; i < count; i++) {
        cr_assert(statuses[i] == FR_OK || statuses[i] == FR_NOT_FOUND);
        if (statuses[i] != FR_OK) continue;
        print(to, keys[i], values[i].bytes);
        fr_engine_value_release(&values[i]);
    }
}

static void is(struct fr_buf *found, const char *wanted, const char *how)
{
    fr_buf_u8(found, 0);
    must(fr_buf_status(found));
    cr_assert_str_eq((const char *)found->data, wanted, "%s: \"%s\", not \"%s\"", how,
            (const char *)found->data, wanted);
    fr_buf_clear(found);
}

/* Of keys a, b, c: what `wanted` says ("a=1 c=2 "), and backwards the same. */
static void shows_at(struct fr_engine *from, fr_seq at, const char *wanted, const char *backwards)
{
    const fr_slice keys[] = {fr_slice_of_text("a"), fr_slice_of_text("b"), fr_slice_of_text("c")};
    struct fr_buf found = FR_BUF_EMPTY;

    get_each(from, at, keys, FR_ARRAY_COUNT(keys), &found);
    is(&found, wanted, "get");
    get_together(from, at, keys, FR_ARRAY_COUNT(keys), &found);
    is(&found, wanted, "multi_get");
    scan(from, at, true, &found);
    is(&found, wanted, "forwards");
    scan(from, at, false, &found);
    is(&found, backwards, "backwards");
    fr_buf_deinit(&found);
}

static void shows(const char *wanted, const char *backwards)
{
    shows_at(engine, FR_SEQ_MAX, wanted, backwards);
}

static const char large[] = "a value that is long enough to lie in a value file: it has more than "
                            "a hundred bytes, and all of them are needed for that to be so.";
#define LARGE_PART "a value that is long"

/* ---- what is gone */

Test(expiry, is_the_same_wherever_the_put_lies)
{
    for (enum place place = IN_MEMTABLE; place < PLACES; place++) {
        put("a", "old"), put("b", "old"), put("c", "old");
        move_to(place);
        put_until("a", "new", soon), put_until("b", large, soon), put("c", "new");
        move_to(place);
        shows("a=new b=" LARGE_PART " c=new ", "c=new b=" LARGE_PART " a=new ");
        time_passes();
        shows("c=new ", "c=new ");
        must(fr_engine_flush(engine));
        shows("c=new ", "c=new ");
        compact();
        shows("c=new ", "c=new ");
        must(fr_engine_close(engine));
        must(fr_engine_open(env, "store", &options, &engine));
        shows("c=new ", "c=new ");
        soon += 100 * (uint64_t)SECOND;
    }
}

/* What a snapshot sees is not what there was, but what is left of it now. */
Test(expiry, is_for_readers_of_snapshots_too)
{
    fr_seq snapshot;

    for (enum place place = IN_MEMTABLE; place < PLACES; place++) {
        put("a", "old"), put_until("b", "new", soon);
        must(fr_engine_snapshot_take(engine, &snapshot));
        put("a", "later"), put("b", "later");
        move_to(place);
        shows_at(engine, snapshot, "a=old b=new ", "b=new a=old ");
        time_passes();
        shows_at(engine, snapshot, "a=old ", "a=old ");
        compact();
        shows_at(engine, snapshot, "a=old ", "a=old ");
        shows("a=later b=later ", "b=later a=later ");
        fr_engine_snapshot_release(engine, snapshot);
        soon += 100 * (uint64_t)SECOND;
    }
}

Test(expiry, of_a_base_leaves_its_fragments)
{
    for (enum place place = IN_MEMTABLE; place < PLACES; place++) {
        put("a", "old"), put("b", "old");
        put_until("a", "base", soon), put_until("b", large, soon);
        move_to(place);
        append("a", "+1"), append("a", "+2"), append("b", "+3");
        move_to(place);
        shows("a=base+1+2 b=" LARGE_PART " ", "b=" LARGE_PART " a=base+1+2 ");
        time_passes();
        shows("a=+1+2 b=+3 ", "b=+3 a=+1+2 ");
        append("a", "+4");
        shows("a=+1+2+4 b=+3 ", "b=+3 a=+1+2+4 ");
        compact();
        shows("a=+1+2+4 b=+3 ", "b=+3 a=+1+2+4 ");
        soon += 100 * (uint64_t)SECOND;
    }
}

/* ---- what is left on the disk */

static struct fr_engine_stats stats_now(void)
{
    struct fr_engine_stats stats;

    fr_engine_stats_get(engine, &stats);
    return stats;
}

static uint64_t count_entries(bool puts)
{
    struct fr_view *view = fr_engine_view(engine);
    uint64_t count = 0;

    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < view->version->levels[level].count; i++) {
            const struct fr_edit_table *meta = &view->version->levels[level].tables[i]->meta;
            count += puts ? meta->entry_count - meta->delete_count : meta->delete_count;
        }
    fr_view_unref(view);
    return count;
}

Test(expiry, before_the_flush_leaves_no_value_in_a_table)
{
    put_until("a", "1", soon), put_until("b", large, soon);
    time_passes();
    must(fr_engine_flush(engine));
    cr_assert_eq(count_entries(true), 0);
    cr_assert_eq(count_entries(false), 2); /* there may be older ones beneath */
    cr_assert_eq(stats_now().value_file_count, 0);
    compact();
    cr_assert_eq(stats_now().table_count, 0);
}

Test(expiry, before_a_compaction_leaves_nothing)
{
    put("a", "old"), put("b", large);
    compact();
    put_until("a", "1", soon), put_until("b", large, soon), put_until("c", large, soon);
    must(fr_engine_flush(engine));
    cr_assert_geq(stats_now().value_file_count, 2);
    time_passes();
    compact();
    cr_assert_eq(stats_now().table_count, 0);
    cr_assert_eq(stats_now().value_file_count, 0);
}

/* ---- the clock goes backwards */

Test(expiry, that_is_undone_by_the_clock_brings_back_nothing_older)
{
    for (enum place place = IN_MEMTABLE; place < PLACES; place++) {
        put("a", "old"), put("b", "old"), put("c", "old");
        move_to(place);
        put_until("a", "new", soon), put_until("b", "new", soon), append("b", "+1");
        move_to(place);
        time_passes();
        shows("b=+1 c=old ", "c=old b=+1 ");
        fr_sim_wall_jump(sim, -50 * SECOND);
        shows("a=new b=new+1 c=old ", "c=old b=new+1 a=new "); /* nobody has dropped it yet */
        time_passes();
        if (place == IN_LEVELS) put("a", "newer"), put("b", "newer"), put("c", "newer");
        compact(); /* which drops it for good */
        fr_sim_wall_jump(sim, -50 * SECOND);
        if (place == IN_LEVELS)
            shows("a=newer b=newer c=newer ", "c=newer b=newer a=newer ");
        else
            shows("b=+1 c=old ", "c=old b=+1 ");
        fr_sim_wall_jump(sim, 100 * SECOND);
        soon += 100 * (uint64_t)SECOND;
    }
}

/* ---- others who read */

Test(expiry, is_for_followers_and_copies_too)
{
    struct fr_engine_options reading = options;
    struct fr_engine *follower, *copy;

    put("a", "old"), put_until("b", "1", soon);
    must(fr_engine_flush(engine));
    put_until("a", "new", soon), put_until("c", large, soon + SECOND);
    must(fr_engine_checkpoint(engine, "copy", false));
    must(fr_engine_open(env, "copy", &options, &copy));
    reading.read_only = true;
    must(fr_engine_open(env, "store", &reading, &follower));
    shows_at(follower, FR_SEQ_MAX, "a=new b=1 c=" LARGE_PART " ", "c=" LARGE_PART " b=1 a=new ");
    shows_at(copy, FR_SEQ_MAX, "a=new b=1 c=" LARGE_PART " ", "c=" LARGE_PART " b=1 a=new ");
    time_passes();
    shows_at(follower, FR_SEQ_MAX, "c=" LARGE_PART " ", "c=" LARGE_PART " ");
    shows_at(copy, FR_SEQ_MAX, "c=" LARGE_PART " ", "c=" LARGE_PART " ");
    must(fr_engine_refresh(follower));
    shows_at(follower, FR_SEQ_MAX, "c=" LARGE_PART " ", "c=" LARGE_PART " ");
    fr_sim_wall_jump(sim, SECOND);
    shows_at(follower, FR_SEQ_MAX, "", "");
    shows_at(copy, FR_SEQ_MAX, "", "");
    must(fr_engine_close(follower));
    must(fr_engine_close(copy));
}

/* ---- one moment */

/* One key is in memory, the other is read from the disk, which takes a while. */
Test(expiry, is_of_one_moment_for_keys_that_are_read_together)
{
    const fr_slice keys[] = {fr_slice_of_text("a"), fr_slice_of_text("b")};
    unsigned both = 0, none = 0;

    for (uint64_t left = 0; left < 40; left++) {
        struct fr_buf found = FR_BUF_EMPTY;
        put_until("b", "2", soon);
        must(fr_engine_close(engine)); /* nothing of it stays in the cache */
        must(fr_engine_open(env, "store", &options, &engine));
        must(fr_engine_flush(engine));
        must(fr_engine_close(engine));
        must(fr_engine_open(env, "store", &options, &engine));
        put_until("a", "1", soon);
        fr_sim_wall_jump(sim, (int64_t)(soon - left - fr_env_wall_us(env)));
        get_together(engine, FR_SEQ_MAX, keys, 2, &found);
        fr_buf_u8(&found, 0);
        must(fr_buf_status(&found));
        both += strcmp((const char *)found.data, "a=1 b=2 ") == 0;
        none += strcmp((const char *)found.data, "") == 0;
        cr_assert_eq(both + none, left + 1, "%s", (const char *)found.data);
        fr_buf_deinit(&found);
        soon += 100 * (uint64_t)SECOND;
    }
    cr_assert(both > 0 && none > 0);
}
