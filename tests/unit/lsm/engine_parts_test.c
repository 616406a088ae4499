/*
 * engine_parts_test.c - where values lie, as reads tell it, and parts of them read from there.
 */
#include "base/rng.h"
#include "lsm/batch.h"
#include "lsm/engine.h"
#include "tests/unit/io/test_world.h"

#define KEYS  60
#define BYTES 3000

/* What the values of every fifth key are. */
enum { PLAIN, SMALL, ALIKE, GROWN, OTHER, KINDS };

struct bed {
    struct test_world world;
    struct fr_engine *engine;
    uint8_t values[KEYS][BYTES];
    struct fr_spot spots[KEYS];
};

static fr_slice key_of(size_t i, char *text)
{
    return fr_slice_of(text, (size_t)sprintf(text, "key/%03zu", i));
}

static void write_one(struct bed *t, size_t i, bool as_append, fr_slice value)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    char text[32];
    fr_slice bytes;

    if (as_append)
        must(fr_batch_add_append(&batch, key_of(i, text), value));
    else
        must(fr_batch_add_put(&batch, key_of(i, text), value));
    must(fr_batch_finish(&batch, &bytes));
    must(fr_engine_write(t->engine, bytes, batch.count, FR_DURABLE_OS));
    fr_batch_deinit(&batch);
}

static void put_value(struct bed *t, size_t i)
{
    size_t kind = i % KINDS;

    if (kind == ALIKE) memset(t->values[i], 'a', BYTES);
    if (kind == GROWN) {
        write_one(t, i, false, fr_slice_of(t->values[i], BYTES / 2));
        must(fr_engine_flush(t->engine));
        write_one(t, i, true, fr_slice_of(t->values[i] + BYTES / 2, BYTES / 2));
    } else {
        write_one(t, i, false, fr_slice_of(t->values[i], kind == SMALL ? 20 : BYTES));
    }
}

static void open_bed(struct bed *t)
{
    struct fr_engine_options options = fr_engine_options_default();
    struct fr_rng rng;

    memset(t, 0, sizeof(*t));
    t->world = test_world_open();
    options.value_threshold = 100;
    options.compress = true;
    fr_rng_init(&rng, 1);
    must(fr_engine_open(t->world.env, fr_dir_path(t->world.dir), &options, &t->engine));
    for (size_t i = 0; i < KEYS; i++) {
        fr_rng_fill(&rng, t->values[i], BYTES);
        put_value(t, i);
    }
    must(fr_engine_flush(t->engine));
}

static void close_bed(struct bed *t)
{
    must(fr_engine_close(t->engine));
    test_world_close(&t->world);
}

/* By single reads, or by a walk. */
static void find_spots(struct bed *t, bool by_scan)
{
    struct fr_engine_scan_options options = {.at = FR_SEQ_MAX};
    struct fr_iter *it = NULL;
    char text[32];

    if (by_scan) must(fr_engine_scan(t->engine, &options, &it));
    for (size_t i = 0; i < KEYS; i++) {
        struct fr_engine_value value;

        if (by_scan) {
            must(fr_iter_next(it));
            t->spots[i] = fr_engine_scan_spot(it);
            continue;
        }
        must(fr_engine_get(t->engine, key_of(i, text), FR_SEQ_MAX, &value));
        t->spots[i] = value.spot;
        fr_engine_value_release(&value);
    }
    fr_iter_close(it);
}

static void check_spots(const struct bed *t)
{
    for (size_t i = 0; i < KEYS; i++) {
        size_t kind = i % KINDS;
        bool is_plain = kind == PLAIN || kind == OTHER;

        cr_assert_eq(t->spots[i].file != 0, is_plain, "key %zu", i);
    }
}

/* Some bytes out of the middle of each. Answers how many files were gone. */
static size_t check_parts(struct bed *t, size_t from, size_t size)
{
    static uint8_t bytes[KEYS][BYTES];
    struct fr_engine_part parts[KEYS];
    size_t count = 0, gone = 0, keys[KEYS];
    fr_seq at = FR_SEQ_MAX;

    for (size_t i = 0; i < KEYS; i++) {
        if (t->spots[i].file == 0) continue;
        keys[count] = i;
        parts[count] = (struct fr_engine_part){.spot = t->spots[i], .size = size, .to = bytes[i]};
        parts[count++].spot.offset += from;
    }
    struct fr_view *view = fr_engine_view_take(t->engine, &at);
    must(fr_engine_read_parts(t->engine, view, count, parts));
    fr_engine_view_release(t->engine, view);
    for (size_t n = 0; n < count; n++) {
        gone += parts[n].status == FR_NOT_FOUND;
        if (parts[n].status == FR_NOT_FOUND) continue;
        must(parts[n].status);
        cr_assert_eq(memcmp(bytes[keys[n]], t->values[keys[n]] + from, size), 0);
    }
    return gone;
}

Test(engine_parts, of_values_that_lie_as_they_are_in_value_files)
{
    static struct bed t;

    open_bed(&t);
    for (int by_scan = 0; by_scan < 2; by_scan++) {
        find_spots(&t, by_scan == 1);
        check_spots(&t);
        cr_assert_eq(check_parts(&t, 0, BYTES), 0);
        cr_assert_eq(check_parts(&t, 100, 209), 0);
    }
    close_bed(&t);
}

Test(engine_parts, of_files_that_are_gone_are_gone_and_no_others)
{
    static struct bed t;

    open_bed(&t);
    find_spots(&t, false);
    for (size_t i = 0; i < KEYS; i++)
        if (i % 10 != PLAIN) put_value(&t, i);
    must(fr_engine_flush(t.engine));
    must(fr_engine_compact_range(t.engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
    must(fr_engine_wait_idle(t.engine));
    size_t gone = check_parts(&t, 0, 100);
    cr_assert_gt(gone, 0);
    find_spots(&t, true);
    cr_assert_eq(check_parts(&t, 5, 100), 0);
    close_bed(&t);
}

Test(engine_parts, beyond_the_end_of_a_file_are_no_parts)
{
    static uint8_t bytes[BYTES];
    static struct bed t;
    fr_seq at = FR_SEQ_MAX;

    open_bed(&t);
    find_spots(&t, false);
    struct fr_engine_part part = {.spot = t.spots[PLAIN], .size = BYTES, .to = bytes};
    part.spot.offset += 1 << 30;
    struct fr_view *view = fr_engine_view_take(t.engine, &at);
    must(fr_engine_read_parts(t.engine, view, 1, &part));
    fr_engine_view_release(t.engine, view);
    cr_assert_eq(part.status, FR_ERR_CORRUPT);
    close_bed(&t);
}
