/* db_test.c - the public interface, through the public headers, on a real file system. */
#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "freshet/freshet.h"

static char path[64];
static struct fr_db *db;

static void remove_store(void)
{
    char inner[400];
    struct dirent *entry;
    DIR *stream = opendir(path);

    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
        (void)!unlink(inner);
    }
    if (stream != NULL) closedir(stream);
    rmdir(path);
}

#define must(call)                                                                                 \
    do {                                                                                           \
        fr_status must_st_ = (call);                                                               \
        cr_assert_eq(must_st_, FR_OK, "%s: %s: %s", #call, fr_status_name(must_st_),               \
                fr_last_error());                                                                  \
    } while (0)

static void open_small(void)
{
    struct fr_db_options options;

    fr_db_options_init(&options);
    must(fr_db_options_set(&options, "memory_budget", "4 MiB"));
    must(fr_db_options_set(&options, "log_segment_size", "256K"));
    must(fr_db_options_set(&options, "sync", "os"));
    must(fr_db_open(path, &options, &db));
}

static void set_up(void)
{
    snprintf(path, sizeof(path), "db-test-XXXXXX");
    cr_assert_not_null(mkdtemp(path));
    open_small();
}

static void tear_down(void)
{
    must(fr_db_close(db));
    remove_store();
}

TestSuite(db, .init = set_up, .fini = tear_down, .timeout = 60);

static void put(const char *key, const char *value)
{
    must(fr_db_put(db, NULL, key, strlen(key), value, strlen(value)));
}

static void has(const char *key, const char *value)
{
    struct fr_pinned found;
    fr_status st = fr_db_get(db, NULL, key, strlen(key), &found);

    if (value == NULL) {
        cr_assert_eq(st, FR_NOT_FOUND, "%s: %s", key, fr_status_name(st));
        return;
    }
    must(st);
    cr_assert_eq(found.size, strlen(value));
    cr_assert(memcmp(found.data, value, found.size) == 0);
    fr_pinned_release(&found);
}

Test(db, puts_deletes_and_appends)
{
    put("a", "1");
    put("b", "2");
    must(fr_db_append(db, NULL, "b", 1, "3", 1));
    must(fr_db_append(db, NULL, "c", 1, "4", 1));
    must(fr_db_delete(db, NULL, "a", 1));
    must(fr_db_delete(db, NULL, "never", 5));
    has("a", NULL);
    has("b", "23");
    has("c", "4");
    must(fr_db_flush(db));
    has("b", "23");
    must(fr_db_close(db));
    open_small();
    has("a", NULL);
    has("b", "23");
    has("c", "4");
}

Test(db, a_range_goes_as_a_whole)
{
    put("a", "1"), put("b", "2"), put("c", "3"), put("d", "4");
    must(fr_db_delete_range(db, NULL, "b", 1, "d", 1));
    has("a", "1"), has("b", NULL), has("c", NULL), has("d", "4");
    cr_assert_eq(fr_db_delete_range(db, NULL, "d", 1, "b", 1), FR_ERR_MISUSE);
    cr_assert_eq(fr_db_delete_range(db, NULL, "d", 1, "d", 1), FR_ERR_MISUSE);
}

Test(db, a_batch_is_applied_in_its_order_and_may_be_used_again)
{
    struct fr_batch *batch;

    must(fr_batch_new(&batch));
    must(fr_batch_put(batch, "a", 1, "old", 3));
    must(fr_batch_put(batch, "a", 1, "new", 3));
    must(fr_batch_append(batch, "a", 1, "!", 1));
    must(fr_batch_put(batch, "b", 1, "x", 1));
    must(fr_batch_delete(batch, "b", 1));
    cr_assert_eq(fr_batch_count(batch), 5);
    cr_assert_gt(fr_batch_bytes(batch), 0);
    must(fr_db_write(db, NULL, batch));
    has("a", "new!"), has("b", NULL);
    must(fr_db_delete(db, NULL, "a", 1));
    must(fr_db_write(db, NULL, batch));
    has("a", "new!");
    fr_batch_clear(batch);
    cr_assert_eq(fr_batch_count(batch), 0);
    must(fr_db_write(db, NULL, batch));
    fr_batch_free(batch);
}

Test(db, many_keys_are_read_as_of_one_moment)
{
    const void *keys[] = {"a", "b", "", "c"};
    const size_t sizes[] = {1, 1, 0, 1};
    struct fr_pinned values[4];
    fr_status statuses[4];

    put("a", "1"), put("c", "3");
    must(fr_db_multi_get(db, NULL, 4, keys, sizes, values, statuses));
    cr_assert_eq(statuses[0], FR_OK);
    cr_assert_eq(statuses[1], FR_NOT_FOUND);
    cr_assert_eq(statuses[2], FR_ERR_MISUSE);
    cr_assert_eq(statuses[3], FR_OK);
    cr_assert(memcmp(values[3].data, "3", 1) == 0);
    fr_pinned_release(&values[0]);
    fr_pinned_release(&values[3]);
}

Test(db, a_copy_tells_the_size_also_of_what_did_not_fit)
{
    char room[4] = "....";
    size_t size = 0;

    put("a", "123456");
    must(fr_db_get_copy(db, NULL, "a", 1, room, 2, &size));
    cr_assert_eq(size, 6);
    cr_assert(memcmp(room, "12..", 4) == 0);
}

static void next_is(struct fr_iterator *it, bool forward, const char *key)
{
    size_t size;
    fr_status st = forward ? fr_iterator_next(it) : fr_iterator_prev(it);

    if (key == NULL) {
        cr_assert_eq(st, FR_END);
        return;
    }
    must(st);
    const char *found = fr_iterator_key(it, &size);
    cr_assert(size == strlen(key) && memcmp(found, key, size) == 0, "%.*s, not %s", (int)size,
            found, key);
}

Test(db, an_iterator_keeps_to_bounds_and_prefix)
{
    struct fr_read_options how = {
            .size = sizeof(how), .lower = "b", .lower_size = 1, .upper = "bd", .upper_size = 2};
    struct fr_iterator *it;

    put("a", "1"), put("b", "2"), put("ba", "3"), put("bc", "4"), put("bd", "5"), put("c", "6");
    must(fr_iterator_new(db, &how, &it));
    next_is(it, true, "b"), next_is(it, true, "ba"), next_is(it, true, "bc");
    next_is(it, true, NULL);
    next_is(it, false, "bc");
    fr_iterator_seek(it, "bb", 2);
    next_is(it, false, "ba"), next_is(it, false, "b"), next_is(it, false, NULL);
    fr_iterator_seek_last(it);
    next_is(it, false, "bc");
    fr_iterator_seek_first(it);
    next_is(it, true, "b");
    fr_iterator_free(it);

    how = (struct fr_read_options){.size = sizeof(how), .prefix = "b", .prefix_size = 1};
    must(fr_iterator_new(db, &how, &it));
    next_is(it, true, "b"), next_is(it, true, "ba"), next_is(it, true, "bc");
    next_is(it, true, "bd"), next_is(it, true, NULL);
    fr_iterator_free(it);
}

Test(db, a_snapshot_sees_what_was)
{
    struct fr_read_options how = {.size = sizeof(how)};
    struct fr_snapshot *snapshot;
    struct fr_pinned value;

    put("a", "old");
    must(fr_snapshot_new(db, &snapshot));
    put("a", "new");
    must(fr_db_compact_range(db, NULL, 0, NULL, 0));
    how.snapshot = snapshot;
    must(fr_db_get(db, &how, "a", 1, &value));
    cr_assert(value.size == 3 && memcmp(value.data, "old", 3) == 0);
    fr_pinned_release(&value);
    has("a", "new");
    fr_snapshot_free(snapshot);
}

Test(db, a_pinned_value_outlives_its_key)
{
    struct fr_pinned value;

    put("a", "here");
    must(fr_db_get(db, NULL, "a", 1, &value));
    must(fr_db_delete(db, NULL, "a", 1));
    must(fr_db_compact_range(db, NULL, 0, NULL, 0));
    cr_assert(value.size == 4 && memcmp(value.data, "here", 4) == 0);
    fr_pinned_release(&value);
    fr_pinned_release(&value);
}

Test(db, what_has_expired_is_gone)
{
    struct fr_write_options how = {.size = sizeof(how), .sync = FR_SYNC_OS};

    how.expires_us = 1;
    must(fr_db_put(db, &how, "past", 4, "x", 1));
    how.expires_us = ((uint64_t)time(NULL) + 3600) * 1000000;
    must(fr_db_put(db, &how, "future", 6, "x", 1));
    has("past", NULL), has("future", "x");
}

Test(db, only_a_put_expires)
{
    struct fr_write_options how = {.size = sizeof(how), .sync = FR_SYNC_OS, .expires_us = 1};
    struct fr_batch *batch;

    must(fr_batch_new(&batch));
    must(fr_batch_put(batch, "a", 1, "x", 1));
    must(fr_batch_put_until(batch, "b", 1, "x", 1, 1));
    cr_assert_eq(fr_db_write(db, &how, batch), FR_ERR_MISUSE);
    cr_assert_eq(fr_db_append(db, &how, "a", 1, "x", 1), FR_ERR_MISUSE);
    has("a", NULL);
    how.expires_us = 0;
    must(fr_db_write(db, &how, batch));
    has("a", "x"), has("b", NULL);
    how.expires_us = 1;
    must(fr_db_delete(db, &how, "a", 1)); /* a delete is for good, and puts nothing */
    has("a", NULL);
    fr_batch_free(batch);
}

Test(db, limits_are_told_and_change_nothing)
{
    size_t size = 65536;
    char *key = calloc(1, size);

    cr_assert_eq(fr_db_put(db, NULL, key, size, "x", 1), FR_ERR_LIMIT);
    must(fr_db_put(db, NULL, key, size - 1, "x", 1));
    cr_assert_eq(fr_db_put(db, NULL, key, 0, "x", 1), FR_ERR_MISUSE);
    cr_assert_eq(fr_db_put(db, NULL, key, 1, key, ((size_t)256 << 20) + 1), FR_ERR_LIMIT);
    struct fr_pinned value;
    cr_assert_eq(fr_db_get(db, NULL, key, 0, &value), FR_ERR_MISUSE);
    cr_assert_eq(fr_db_get(db, NULL, key, size, &value), FR_ERR_LIMIT);
    free(key);
}

Test(db, a_second_opener_is_told_who_has_it)
{
    struct fr_db *second;

    cr_assert_eq(fr_db_open(path, NULL, &second), FR_ERR_BUSY);
    cr_assert(strstr(fr_last_error(), "held by process") != NULL, "%s", fr_last_error());
}

Test(db, a_reader_beside_the_writer_sees_the_log)
{
    struct fr_db_options options;
    struct fr_pinned value;
    struct fr_db *reader;

    put("a", "1");
    fr_db_options_init(&options);
    options.read_only = true;
    must(fr_db_open(path, &options, &reader));
    must(fr_db_get(reader, NULL, "a", 1, &value));
    fr_pinned_release(&value);
    cr_assert_eq(fr_db_put(reader, NULL, "b", 1, "x", 1), FR_ERR_READONLY);
    cr_assert_eq(fr_db_flush(reader), FR_ERR_READONLY);
    cr_assert_eq(fr_db_compact_range(reader, NULL, 0, NULL, 0), FR_ERR_READONLY);
    cr_assert_eq(fr_db_sync(reader), FR_ERR_READONLY);
    must(fr_db_wait_idle(reader));
    must(fr_db_close(reader));
    put("b", "2");
}

Test(db, statistics_add_up)
{
    struct fr_db_stats stats = {.size = sizeof(stats)};

    for (int i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%05d", i);
        put(key, "0123456789");
    }
    must(fr_db_flush(db));
    must(fr_db_wait_idle(db));
    must(fr_db_stats_get(db, &stats));
    cr_assert_eq(stats.last_seq, 1000);
    cr_assert_eq(stats.sealed_count, 0);
    cr_assert_gt(stats.table_count, 0);
    cr_assert_geq(stats.put_bytes, 15000);
    cr_assert_gt(stats.flush_bytes, 0);
    stats.size = 8;
    cr_assert_eq(fr_db_stats_get(db, &stats), FR_ERR_MISUSE);
}

Test(db_options, every_option_has_a_name_and_a_line)
{
    const char *name, *help;
    size_t count = 0;

    for (; (name = fr_db_options_name(count, &help)) != NULL; count++)
        cr_assert(strlen(name) > 0 && strlen(help) > 0);
    cr_assert_geq(count, 10);
}

Test(db_options, text_that_is_no_value_is_refused)
{
    struct fr_db_options options, before;

    fr_db_options_init(&options);
    before = options;
    cr_assert_eq(fr_db_options_set(&options, "colour", "red"), FR_ERR_MISUSE);
    cr_assert_eq(fr_db_options_set(&options, "create", "maybe"), FR_ERR_MISUSE);
    cr_assert_eq(fr_db_options_set(&options, "sync", ""), FR_ERR_MISUSE);
    cr_assert_eq(fr_db_options_set(&options, "compression", "lz77"), FR_ERR_MISUSE);
    cr_assert_eq(fr_db_options_set(&options, "block_size", "many"), FR_ERR_MISUSE);
    cr_assert_eq(fr_db_options_set(&options, "block_size", "5 GiB"), FR_ERR_MISUSE);
    cr_assert_eq(memcmp(&options, &before, sizeof(options)), 0);
    must(fr_db_options_set(&options, "compression", "none"));
    must(fr_db_options_set(&options, "must_be_new", "yes"));
    cr_assert_eq(options.compression, FR_COMPRESSION_NONE);
    cr_assert(options.must_be_new);
}
