/*
 * db_operations_test.c - checkpoints, ingest and following, through the public headers, on a real
 * file system. What a crash leaves of them is the matter of tests/crash.
 */
#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "freshet/freshet.h"

static char root[64];
static struct fr_db *db;

#define must(call)                                                                                 \
    do {                                                                                           \
        fr_status must_st_ = (call);                                                               \
        cr_assert_eq(must_st_, FR_OK, "%s: %s: %s", #call, fr_status_name(must_st_),               \
                must_st_ < 0 ? fr_last_error() : "");                                              \
    } while (0)

/* Several paths at once: a caller may hold four. */
static const char *path_of(const char *name)
{
    static _Thread_local char paths[4][400];
    static _Thread_local unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", root, name);
    return path;
}

static void remove_tree(const char *path)
{
    char inner[600];
    struct dirent *entry;
    DIR *stream = opendir(path);

    if (stream == NULL) {
        (void)!unlink(path);
        return;
    }
    while ((entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
        remove_tree(inner);
    }
    closedir(stream);
    rmdir(path);
}

static size_t count_names(const char *path, const char *ending)
{
    struct dirent *entry;
    size_t count = 0;
    DIR *stream = opendir(path);

    cr_assert_not_null(stream, "%s", path);
    while ((entry = readdir(stream)) != NULL) {
        size_t size = strlen(entry->d_name), wanted = strlen(ending);
        count += size >= wanted && strcmp(entry->d_name + size - wanted, ending) == 0;
    }
    closedir(stream);
    return count;
}

static struct fr_db *open_at(const char *name, bool read_only)
{
    struct fr_db_options options;
    struct fr_db *opened;

    fr_db_options_init(&options);
    must(fr_db_options_set(&options, "memory_budget", "4 MiB"));
    must(fr_db_options_set(&options, "log_segment_size", "256K"));
    must(fr_db_options_set(&options, "memtable_size", "256K"));
    must(fr_db_options_set(&options, "table_size", "256K"));
    must(fr_db_options_set(&options, "sync", "os"));
    options.read_only = read_only;
    must(fr_db_open(path_of(name), &options, &opened));
    return opened;
}

static void set_up(void)
{
    snprintf(root, sizeof(root), "db-operations-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    db = open_at("store", false);
}

static void tear_down(void)
{
    must(fr_db_close(db));
    remove_tree(root);
}

static void put_in(struct fr_db *to, const char *key, const char *value)
{
    must(fr_db_put(to, NULL, key, strlen(key), value, strlen(value)));
}

static void put(const char *key, const char *value)
{
    put_in(db, key, value);
}

static void has_at(struct fr_db *from, const struct fr_read_options *how, const char *key,
        const char *value)
{
    struct fr_pinned found;
    fr_status st = fr_db_get(from, how, key, strlen(key), &found);

    if (value == NULL) {
        cr_assert_eq(st, FR_NOT_FOUND, "%s: %s", key, fr_status_name(st));
        return;
    }
    cr_assert_eq(st, FR_OK, "%s: %s", key, fr_status_name(st));
    cr_assert(found.size == strlen(value) && memcmp(found.data, value, found.size) == 0,
            "%s is %.*s, not %s", key, (int)found.size, (const char *)found.data, value);
    fr_pinned_release(&found);
}

static void has_in(struct fr_db *from, const char *key, const char *value)
{
    has_at(from, NULL, key, value);
}

static void has(const char *key, const char *value)
{
    has_in(db, key, value);
}

static size_t count_keys(struct fr_db *from)
{
    struct fr_iterator *it;
    size_t count = 0;
    fr_status st;

    must(fr_iterator_new(from, NULL, &it));
    while ((st = fr_iterator_next(it)) == FR_OK)
        count++;
    cr_assert_eq(st, FR_END, "%s", st < 0 ? fr_last_error() : "");
    fr_iterator_free(it);
    return count;
}

static uint64_t level_tables(unsigned level)
{
    struct fr_db_stats stats = {.size = sizeof(stats)};

    must(fr_db_stats_get(db, &stats));
    return stats.level_tables[level];
}

/* ---- checkpoints */

TestSuite(checkpoint, .init = set_up, .fini = tear_down, .timeout = 60);

/* Large enough for a value file, and saying whose it is. */
static const char *large_value(int i, char *text, size_t size)
{
    memset(text, 'a' + i % 26, size - 1);
    text[size - 1] = '\0';
    snprintf(text, size, "%d", i);
    text[strlen(text)] = '-';
    return text;
}

static void fill(struct fr_db *to, int from, int end)
{
    char key[16], value[400];

    for (int i = from; i < end; i++) {
        snprintf(key, sizeof(key), "key%05d", i);
        put_in(to, key, large_value(i, value, sizeof(value)));
    }
}

static void has_filled(struct fr_db *in, int from, int end)
{
    char key[16], value[400];

    for (int i = from; i < end; i++) {
        snprintf(key, sizeof(key), "key%05d", i);
        has_in(in, key, large_value(i, value, sizeof(value)));
    }
}

Test(checkpoint, has_all_that_was_written_before_and_nothing_after)
{
    struct fr_db *copy;

    put("a", "1"), put("b", "2");
    must(fr_db_checkpoint(db, path_of("copy"), NULL));
    put("a", "3"), put("c", "4");
    copy = open_at("copy", false);
    has_in(copy, "a", "1"), has_in(copy, "b", "2"), has_in(copy, "c", NULL);
    cr_assert_eq(count_keys(copy), 2);
    must(fr_db_close(copy));
}

Test(checkpoint, of_an_empty_store_is_an_empty_store)
{
    must(fr_db_checkpoint(db, path_of("copy"), NULL));
    struct fr_db *copy = open_at("copy", false);
    cr_assert_eq(count_keys(copy), 0);
    must(fr_db_close(copy));
}

Test(checkpoint, and_its_origin_live_on_without_harm_to_each_other)
{
    struct fr_db *copy;

    fill(db, 0, 3000);
    must(fr_db_checkpoint(db, path_of("copy"), NULL));
    copy = open_at("copy", false);
    /* Each deletes what the other keeps, and works its files over. */
    must(fr_db_delete_range(db, NULL, "key00000", 8, "key02000", 8));
    must(fr_db_delete_range(copy, NULL, "key01000", 8, "key03000", 8));
    fill(db, 3000, 5000);
    fill(copy, 5000, 7000);
    must(fr_db_compact_range(db, NULL, 0, NULL, 0));
    must(fr_db_compact_range(copy, NULL, 0, NULL, 0));
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(count_keys(db), 3000);
        has_filled(db, 2000, 5000);
        cr_assert_eq(count_keys(copy), 3000);
        has_filled(copy, 0, 1000), has_filled(copy, 5000, 7000);
        must(fr_db_close(db));
        must(fr_db_close(copy));
        db = open_at("store", false), copy = open_at("copy", false);
    }
    must(fr_db_close(copy));
}

Test(checkpoint, outlives_its_origin)
{
    fill(db, 0, 500);
    must(fr_db_checkpoint(db, path_of("copy"), NULL));
    must(fr_db_close(db));
    remove_tree(path_of("store"));
    db = open_at("copy", false);
    has_filled(db, 0, 500);
}

Test(checkpoint, by_copying_shares_no_file)
{
    struct fr_checkpoint_options how = {.size = sizeof(how), .copy = true};
    struct dirent *entry;
    struct stat info;

    fill(db, 0, 500);
    must(fr_db_checkpoint(db, path_of("copy"), &how));
    DIR *stream = opendir(path_of("copy"));
    while ((entry = readdir(stream)) != NULL) {
        char name[300];
        snprintf(name, sizeof(name), "copy/%s", entry->d_name);
        cr_assert_eq(stat(path_of(name), &info), 0);
        cr_assert(S_ISDIR(info.st_mode) || info.st_nlink == 1, "%s", name);
    }
    closedir(stream);
    struct fr_db *copy = open_at("copy", false);
    has_filled(copy, 0, 500);
    must(fr_db_close(copy));
}

Test(checkpoint, needs_a_free_path)
{
    cr_assert_eq(fr_db_checkpoint(db, path_of("store"), NULL), FR_ERR_EXISTS);
    cr_assert_eq(fr_db_checkpoint(db, path_of("no/such/place"), NULL), FR_ERR_MISSING);
    cr_assert_eq(fr_db_checkpoint(db, NULL, NULL), FR_ERR_MISUSE);
    cr_assert_eq(fr_db_checkpoint(db, "..", NULL), FR_ERR_MISUSE);
    cr_assert_eq(count_names(root, ".unfinished"), 0);
}

Test(checkpoint, takes_over_what_a_crash_has_left_of_another_but_nothing_else)
{
    cr_assert_eq(mkdir(path_of("copy.unfinished"), 0755), 0);
    close(open(path_of("copy.unfinished/000007.table"), O_CREAT | O_WRONLY, 0644));
    close(open(path_of("copy.unfinished/SUPER.tmp"), O_CREAT | O_WRONLY, 0644));
    put("a", "1");
    must(fr_db_checkpoint(db, path_of("copy"), NULL));
    cr_assert_eq(count_names(root, ".unfinished"), 0);

    cr_assert_eq(mkdir(path_of("other.unfinished"), 0755), 0);
    close(open(path_of("other.unfinished/letter.txt"), O_CREAT | O_WRONLY, 0644));
    cr_assert_eq(fr_db_checkpoint(db, path_of("other"), NULL), FR_ERR_FOREIGN);
    cr_assert_eq(access(path_of("other.unfinished/letter.txt"), F_OK), 0);
}

struct counting {
    _Atomic(bool) stop;
    _Atomic(uint64_t) acked;
};

/* Both keys of a batch have the same number. */
static void *count_up(void *arg)
{
    struct counting *c = arg;
    struct fr_batch *batch;
    char text[400];

    must(fr_batch_new(&batch));
    for (uint64_t i = 1; !atomic_load(&c->stop); i++) {
        memset(text, ' ', sizeof(text));
        snprintf(text, sizeof(text), "%llu", (unsigned long long)i);
        fr_batch_clear(batch);
        must(fr_batch_put(batch, "first", 5, text, sizeof(text)));
        must(fr_batch_put(batch, "second", 6, text, 20));
        must(fr_batch_put(batch, text, strlen(text), text, sizeof(text)));
        must(fr_db_write(db, NULL, batch));
        atomic_store(&c->acked, i);
    }
    fr_batch_free(batch);
    return NULL;
}

static uint64_t number_in(struct fr_db *in, const char *key)
{
    struct fr_pinned found;
    char text[24]; /* nothing ends a pinned value, and digits may follow it */
    fr_status st = fr_db_get(in, NULL, key, strlen(key), &found);

    if (st == FR_NOT_FOUND) return 0;
    must(st);
    snprintf(text, sizeof(text), "%.*s", (int)found.size, (const char *)found.data);
    uint64_t number = strtoull(text, NULL, 10);
    fr_pinned_release(&found);
    return number;
}

Test(checkpoint, is_one_moment_while_everything_goes_on)
{
    struct counting c = {0};
    pthread_t thread;
    char name[16];

    pthread_create(&thread, NULL, count_up, &c);
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "copy%d", i);
        uint64_t before = atomic_load(&c.acked);
        must(fr_db_checkpoint(db, path_of(name), NULL));
        struct fr_db *copy = open_at(name, i % 2 == 0);
        uint64_t number = number_in(copy, "first");
        cr_assert_geq(number, before);
        cr_assert_eq(number_in(copy, "second"), number);
        cr_assert_eq(count_keys(copy), number == 0 ? 0 : number + 2);
        must(fr_db_close(copy));
    }
    atomic_store(&c.stop, true);
    pthread_join(thread, NULL);
}

/* ---- ingest */

TestSuite(ingest, .init = set_up, .fini = tear_down, .timeout = 60);

static struct fr_table_writer *writer_at(const char *name)
{
    struct fr_table_writer *writer;

    must(fr_table_writer_open(path_of(name), NULL, &writer));
    return writer;
}

static void write_pairs(const char *name, const char *const *pairs, size_t count)
{
    struct fr_table_writer *writer = writer_at(name);

    for (size_t i = 0; i < count; i += 2)
        must(pairs[i + 1] == NULL ? fr_table_writer_delete(writer, pairs[i], strlen(pairs[i]))
                                  : fr_table_writer_put(writer, pairs[i], strlen(pairs[i]),
                                            pairs[i + 1], strlen(pairs[i + 1])));
    must(fr_table_writer_finish(writer));
    fr_table_writer_close(writer);
}

#define write_table(name, ...)                                                                     \
    do {                                                                                           \
        const char *const pairs_[] = {__VA_ARGS__};                                                \
        write_pairs(name, pairs_, sizeof(pairs_) / sizeof(pairs_[0]));                             \
    } while (0)

static fr_status ingest(const char *name)
{
    const char *path = path_of(name);

    return fr_db_ingest(db, &path, 1, NULL);
}

Test(ingest, puts_and_deletes_are_above_what_was_there)
{
    put("a", "old"), put("b", "old"), put("z", "old");
    write_table("t", "a", "new", "b", NULL, "c", "new");
    must(ingest("t"));
    has("a", "new"), has("b", NULL), has("c", "new"), has("z", "old");
    must(fr_db_close(db));
    db = open_at("store", false);
    has("a", "new"), has("b", NULL), has("c", "new"), has("z", "old");
    must(fr_db_compact_range(db, NULL, 0, NULL, 0));
    has("a", "new"), has("b", NULL), has("c", "new"), has("z", "old");
    cr_assert_eq(count_keys(db), 3);
}

Test(ingest, what_is_written_after_it_is_above_it)
{
    write_table("t", "a", "table", "b", "table", "c", "table", "d", "table");
    must(ingest("t"));
    put("a", "later");
    must(fr_db_append(db, NULL, "b", 1, "+more", 5));
    must(fr_db_delete(db, NULL, "c", 1));
    for (int i = 0; i < 3; i++) {
        has("a", "later"), has("b", "table+more"), has("c", NULL), has("d", "table");
        if (i == 0) must(fr_db_flush(db));
        if (i == 1) must(fr_db_compact_range(db, NULL, 0, NULL, 0));
    }
}

Test(ingest, over_appends_in_memory_and_in_tables)
{
    must(fr_db_append(db, NULL, "a", 1, "1", 1));
    must(fr_db_flush(db));
    must(fr_db_append(db, NULL, "a", 1, "2", 1));
    must(fr_db_append(db, NULL, "b", 1, "1", 1));
    write_table("t", "a", "table");
    must(ingest("t"));
    must(fr_db_append(db, NULL, "a", 1, "3", 1));
    has("a", "table3"), has("b", "1");
    must(fr_db_compact_range(db, NULL, 0, NULL, 0));
    has("a", "table3"), has("b", "1");
}

Test(ingest, a_range_delete_before_it_does_not_cover_it_and_one_after_it_does)
{
    put("a", "old"), put("b", "old");
    must(fr_db_delete_range(db, NULL, "a", 1, "m", 1));
    write_table("t", "b", "new", "c", "new", "x", "new");
    must(ingest("t"));
    has("a", NULL), has("b", "new"), has("c", "new");
    must(fr_db_delete_range(db, NULL, "c", 1, "z", 1));
    has("b", "new"), has("c", NULL), has("x", NULL);
    must(fr_db_compact_range(db, NULL, 0, NULL, 0));
    has("a", NULL), has("b", "new"), has("c", NULL), has("x", NULL);
}

Test(ingest, is_not_seen_by_who_looked_before)
{
    struct fr_snapshot *snapshot;
    struct fr_iterator *it;

    put("a", "old"), put("b", "old");
    must(fr_snapshot_new(db, &snapshot));
    must(fr_iterator_new(db, NULL, &it));
    write_table("t", "a", "new", "b", NULL, "c", "new");
    must(ingest("t"));
    struct fr_read_options how = {.size = sizeof(how), .snapshot = snapshot};
    must(fr_db_compact_range(db, NULL, 0, NULL, 0));
    has_at(db, &how, "a", "old"), has_at(db, &how, "b", "old"), has_at(db, &how, "c", NULL);
    size_t size, count = 0;
    while (fr_iterator_next(it) == FR_OK) {
        cr_assert(memcmp(fr_iterator_value(it, &size), "old", 3) == 0);
        count++;
    }
    cr_assert_eq(count, 2);
    fr_iterator_free(it);
    fr_snapshot_free(snapshot);
    has("a", "new");
}

Test(ingest, goes_to_the_last_level_if_nothing_is_in_the_way)
{
    put("m", "x");
    must(fr_db_flush(db));
    write_table("t", "a", "1", "b", "2");
    write_table("u", "l", "1", "n", "2");
    must(ingest("t"));
    cr_assert_eq(level_tables(6), 1);
    cr_assert_eq(level_tables(0), 1);
    must(ingest("u"));
    cr_assert_eq(level_tables(0), 2);
    has("a", "1"), has("m", "x"), has("n", "2");
}

Test(ingest, many_files_are_one_write_and_may_be_moved)
{
    struct fr_ingest_options how = {.size = sizeof(how), .move = true};
    char paths[3][300];
    const char *list[3] = {paths[0], paths[1], paths[2]};

    write_table("t2", "c", "3", "d", "4");
    write_table("t1", "a", "1", "b", "2");
    write_table("t3", "e", "5");
    for (int i = 0; i < 3; i++)
        snprintf(paths[i], sizeof(paths[i]), "%s/t%d", root, 3 - i);
    must(fr_db_ingest(db, list, 3, &how));
    has("a", "1"), has("d", "4"), has("e", "5");
    for (int i = 0; i < 3; i++)
        cr_assert_neq(access(paths[i], F_OK), 0);
}

Test(ingest, files_that_overlap_are_refused_as_a_whole)
{
    char paths[2][300];
    const char *list[2] = {paths[0], paths[1]};

    write_table("t1", "a", "1", "c", "2");
    write_table("t2", "b", "3", "d", "4");
    for (int i = 0; i < 2; i++)
        snprintf(paths[i], sizeof(paths[i]), "%s/t%d", root, i + 1);
    cr_assert_eq(fr_db_ingest(db, list, 2, NULL), FR_ERR_MISUSE);
    has("a", NULL), has("b", NULL);
    write_table("t3", "c", "5", "x", "6");
    snprintf(paths[1], sizeof(paths[1]), "%s/t3", root);
    cr_assert_eq(fr_db_ingest(db, list, 2, NULL), FR_ERR_MISUSE, "one key is enough");
}

Test(ingest, places_large_values_as_the_store_does)
{
    struct fr_db_stats stats = {.size = sizeof(stats)};
    struct fr_table_writer *writer = writer_at("t");
    char key[16], value[400];

    for (int i = 0; i < 4000; i++) {
        snprintf(key, sizeof(key), "key%05d", i);
        must(fr_table_writer_put(writer, key, strlen(key), large_value(i, value, sizeof(value)),
                sizeof(value) - 1));
    }
    cr_assert_eq(fr_table_writer_count(writer), 4000);
    must(fr_table_writer_finish(writer));
    fr_table_writer_close(writer);
    must(ingest("t"));
    must(fr_db_stats_get(db, &stats));
    cr_assert_eq(stats.value_file_count, 1);
    has_filled(db, 0, 4000);
    must(fr_db_delete_range(db, NULL, "key00000", 8, "key03900", 8));
    must(fr_db_compact_range(db, NULL, 0, NULL, 0));
    has_filled(db, 3900, 4000);
}

Test(ingest, of_nothing_is_fine)
{
    struct fr_table_writer *writer = writer_at("t");

    must(fr_table_writer_finish(writer));
    fr_table_writer_close(writer);
    must(ingest("t"));
    must(fr_db_ingest(db, NULL, 0, NULL));
    cr_assert_eq(ingest("u"), FR_ERR_MISSING);
    cr_assert_eq(count_keys(db), 0);
}

Test(ingest, each_flipped_byte_is_found_and_nothing_of_the_file_is_seen)
{
    write_table("t", "a", "some value", "b", "another value", "c", NULL);
    int fd = open(path_of("t"), O_RDWR);
    off_t size = lseek(fd, 0, SEEK_END);

    cr_assert_gt(size, 100);
    for (off_t at = 0; at < size; at++) {
        unsigned char byte, flipped;
        cr_assert_eq(pread(fd, &byte, 1, at), 1);
        flipped = byte ^ 0x10;
        cr_assert_eq(pwrite(fd, &flipped, 1, at), 1);
        fr_status st = ingest("t");
        cr_assert(st == FR_ERR_CORRUPT || st == FR_ERR_TOO_NEW || st == FR_ERR_FOREIGN,
                "byte %lld: %s", (long long)at, fr_status_name(st));
        cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
    cr_assert_eq(count_keys(db), 0);
    must(ingest("t"));
    cr_assert_eq(count_keys(db), 2);
}

Test(ingest, a_table_of_a_store_is_foreign)
{
    struct dirent *entry;
    char name[300] = "";

    put("a", "1");
    must(fr_db_flush(db));
    DIR *stream = opendir(path_of("store"));
    while ((entry = readdir(stream)) != NULL)
        if (strstr(entry->d_name, ".table") != NULL)
            snprintf(name, sizeof(name), "store/%s", entry->d_name);
    closedir(stream);
    cr_assert_eq(ingest(name), FR_ERR_FOREIGN, "%s", name);
}

Test(ingest, goes_on_beside_writers_and_compactions)
{
    struct counting c = {0};
    pthread_t thread;
    char key[16], text[16], name[16];

    pthread_create(&thread, NULL, count_up, &c);
    for (int round = 1; round <= 20; round++) {
        snprintf(name, sizeof(name), "t%d", round);
        snprintf(text, sizeof(text), "%d", round);
        struct fr_table_writer *writer = writer_at(name);
        for (int i = 0; i < 200; i++) {
            snprintf(key, sizeof(key), "5%d%03d", round % 4, i); /* among the writer's keys */
            must(fr_table_writer_put(writer, key, strlen(key), text, strlen(text)));
        }
        must(fr_table_writer_finish(writer));
        fr_table_writer_close(writer);
        must(ingest(name));
        if (round % 5 == 0) must(fr_db_compact_range(db, NULL, 0, NULL, 0));
    }
    atomic_store(&c.stop, true);
    pthread_join(thread, NULL);
    uint64_t last = atomic_load(&c.acked);
    for (int pass = 0; pass < 2; pass++) {
        cr_assert_eq(number_in(db, "first"), last);
        for (int i = 0; i < 200; i++)
            for (int r = 0; r < 4; r++) {
                snprintf(key, sizeof(key), "5%d%03d", r, i);
                uint64_t number = number_in(db, key), own = strtoull(key, NULL, 10);
                cr_assert(number == own || number == (uint64_t)(r == 0 ? 20 : 16 + r), "%s is %llu",
                        key, (unsigned long long)number);
            }
        must(fr_db_close(db));
        db = open_at("store", false);
    }
}

/* ---- maintenance beside writers */

/* Of its own range of keys each; large enough that memtables are full all the time. */
struct filler {
    struct counting counting;
    char prefix;
    pthread_t thread;
};

#define FILLER_KEYS 4000

static void *fill_on(void *arg)
{
    struct filler *f = arg;
    char key[16], value[300];

    memset(value, f->prefix, sizeof(value));
    for (uint64_t i = 1; !atomic_load(&f->counting.stop); i++) {
        int size = snprintf(key, sizeof(key), "%c%06u", f->prefix, (unsigned)(i % FILLER_KEYS));
        snprintf(value, sizeof(value), "%llu", (unsigned long long)i);
        must(fr_db_put(db, NULL, key, (size_t)size, value, sizeof(value)));
        atomic_store(&f->counting.acked, i);
    }
    return NULL;
}

static void start_fillers(struct filler fillers[3])
{
    memset(fillers, 0, 3 * sizeof(*fillers));
    for (int i = 0; i < 3; i++) {
        fillers[i].prefix = (char)('a' + i);
        pthread_create(&fillers[i].thread, NULL, fill_on, &fillers[i]);
    }
    while (atomic_load(&fillers[0].counting.acked) < FILLER_KEYS)
        usleep(1000);
}

/* All that they have written is there, the last of each key. */
static void stop_fillers(struct filler fillers[3])
{
    char key[16];

    for (int i = 0; i < 3; i++) {
        atomic_store(&fillers[i].counting.stop, true);
        pthread_join(fillers[i].thread, NULL);
    }
    for (int i = 0; i < 3; i++) {
        uint64_t last = atomic_load(&fillers[i].counting.acked);
        for (uint64_t n = last; n > 0 && n + FILLER_KEYS > last; n--) {
            snprintf(key, sizeof(key), "%c%06u", fillers[i].prefix, (unsigned)(n % FILLER_KEYS));
            cr_assert_eq(number_in(db, key), n, "%s", key);
        }
    }
}

static void *compact_some(void *arg)
{
    const char *start = arg;

    for (int i = 0; i < 6; i++) {
        size_t size = i % 2 == 0 ? 0 : strlen(start);
        must(fr_db_compact_range(db, size == 0 ? NULL : start, size, NULL, 0));
    }
    return NULL;
}

static void *flush_some(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++)
        must(fr_db_flush(db));
    return NULL;
}

TestSuite(maintenance, .init = set_up, .fini = tear_down, .timeout = 110);

Test(maintenance, of_all_kinds_ends_beside_writers_that_do_not)
{
    static char starts[3][4] = {"a", "b", "c5"};
    struct filler fillers[3];
    pthread_t workers[4];

    start_fillers(fillers);
    for (int i = 0; i < 3; i++)
        pthread_create(&workers[i], NULL, compact_some, starts[i]);
    pthread_create(&workers[3], NULL, flush_some, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(workers[i], NULL);
    stop_fillers(fillers);
    must(fr_db_wait_idle(db));
    must(fr_db_close(db));
    db = open_at("store", false);
    cr_assert_eq(count_keys(db), 3 * FILLER_KEYS);
}

/* More garbage than is left when writers rest, and less than while they are at work. */
Test(maintenance, empties_value_files_beside_writers)
{
    struct filler fillers[3];
    uint64_t merges, garbage, random = 88172645463325252;
    char key[16], value[4096];

    for (unsigned i = 0; i < 6000; i++) {
        int size = snprintf(key, sizeof(key), "large%u", i);
        for (size_t b = 0; b < sizeof(value); b++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            value[b] = (char)random;
        }
        must(fr_db_put(db, NULL, key, (size_t)size, value, sizeof(value)));
    }
    for (unsigned i = 0; i < 6000; i++) {
        int size = snprintf(key, sizeof(key), "large%u", i);
        if (i % 2 == 0) must(fr_db_delete(db, NULL, key, (size_t)size));
    }
    start_fillers(fillers);
    must(fr_db_compact_range(db, NULL, 0, NULL, 0));
    must(fr_db_property_u64(db, "compaction.garbage_count", &merges));
    must(fr_db_property_u64(db, "values.garbage_bytes", &garbage));
    stop_fillers(fillers);
    /* Or the merges of the levels have met all of these values, and there was nothing left to do.
     */
    cr_assert(merges > 0 || garbage < 3000 * sizeof(value) / 2, "%llu bytes of garbage",
            (unsigned long long)garbage);
}

TestSuite(table_writer, .init = set_up, .fini = tear_down, .timeout = 60);

Test(table_writer, wants_ascending_keys_within_limits)
{
    struct fr_table_writer *writer = writer_at("t");
    char *long_key = calloc(1, 65536);

    must(fr_table_writer_put(writer, "b", 1, "1", 1));
    cr_assert_eq(fr_table_writer_put(writer, "b", 1, "2", 1), FR_ERR_MISUSE);
    cr_assert_eq(fr_table_writer_put(writer, "a", 1, "2", 1), FR_ERR_MISUSE);
    cr_assert_eq(fr_table_writer_delete(writer, "b", 1), FR_ERR_MISUSE);
    cr_assert_eq(fr_table_writer_put(writer, "", 0, "2", 1), FR_ERR_MISUSE);
    memset(long_key, 'x', 65536);
    cr_assert_eq(fr_table_writer_put(writer, long_key, 65536, "2", 1), FR_ERR_LIMIT);
    must(fr_table_writer_put_until(writer, "c", 1, "gone", 4, 1));
    must(fr_table_writer_put(writer, "ca", 2, NULL, 0));
    must(fr_table_writer_finish(writer));
    cr_assert_eq(fr_table_writer_put(writer, "d", 1, "2", 1), FR_ERR_MISUSE);
    fr_table_writer_close(writer);
    must(ingest("t"));
    has("b", "1"), has("c", NULL), has("ca", "");
    cr_assert_eq(fr_table_writer_open(path_of("t"), NULL, &writer), FR_ERR_EXISTS);
    free(long_key);
}

Test(table_writer, leaves_nothing_if_it_is_not_finished)
{
    struct fr_table_writer *writer = writer_at("t");

    must(fr_table_writer_put(writer, "b", 1, "1", 1));
    fr_table_writer_close(writer);
    cr_assert_neq(access(path_of("t"), F_OK), 0);
    cr_assert_eq(count_names(root, ".unfinished"), 0);
}

/* ---- following */

TestSuite(follower, .init = set_up, .fini = tear_down, .timeout = 110);

Test(follower, sees_the_newest_state_when_it_asks_for_it)
{
    put("a", "1");
    struct fr_db *reader = open_at("store", true);
    put("a", "2"), put("b", "1");
    has_in(reader, "a", "1"), has_in(reader, "b", NULL);
    must(fr_db_refresh(reader));
    has_in(reader, "a", "2"), has_in(reader, "b", "1");
    must(fr_db_flush(db));
    must(fr_db_refresh(reader));
    has_in(reader, "a", "2"), has_in(reader, "b", "1");
    put("a", "3");
    must(fr_db_append(db, NULL, "b", 1, "2", 1));
    must(fr_db_compact_range(db, NULL, 0, NULL, 0));
    must(fr_db_append(db, NULL, "b", 1, "3", 1));
    must(fr_db_refresh(reader));
    has_in(reader, "a", "3"), has_in(reader, "b", "123");
    must(fr_db_refresh(db));
    must(fr_db_close(reader));
}

Test(follower, keeps_snapshots_and_iterators_while_the_writer_removes_the_files)
{
    struct fr_read_options how = {.size = sizeof(how)};
    struct fr_snapshot *snapshot;
    struct fr_iterator *it;
    struct fr_pinned held;

    fill(db, 0, 2000);
    must(fr_db_flush(db));
    struct fr_db *reader = open_at("store", true);
    must(fr_snapshot_new(reader, &snapshot));
    must(fr_iterator_new(reader, NULL, &it));
    must(fr_db_get(reader, NULL, "key00007", 8, &held));
    how.snapshot = snapshot;
    must(fr_db_delete_range(db, NULL, "key00000", 8, "key01000", 8));
    fill(db, 1000, 4000);
    must(fr_db_compact_range(db, NULL, 0, NULL, 0));
    must(fr_db_refresh(reader));
    cr_assert_eq(count_keys(reader), 3000);
    has_filled(reader, 1000, 4000);
    has_at(reader, &how, "key03000", NULL);
    char value[400];
    has_at(reader, &how, "key00500", large_value(500, value, sizeof(value)));
    size_t count = 0;
    while (fr_iterator_next(it) == FR_OK)
        count++;
    cr_assert_eq(count, 2000);
    cr_assert(memcmp(held.data, "7-", 2) == 0);
    fr_iterator_free(it);
    must(fr_iterator_new(reader, &how, &it));
    for (count = 0; fr_iterator_next(it) == FR_OK;)
        count++;
    cr_assert_eq(count, 2000);
    fr_iterator_free(it);
    fr_pinned_release(&held);
    fr_snapshot_free(snapshot);
    must(fr_db_close(reader));
}

Test(follower, follows_through_restarts_of_the_writer)
{
    char text[16];

    struct fr_db *reader = open_at("store", true);
    for (int i = 0; i < 10; i++) {
        snprintf(text, sizeof(text), "%d", i);
        put("a", text), put(text, text);
        if (i % 3 == 0) must(fr_db_refresh(reader));
        must(fr_db_close(db));
        if (i % 3 == 1) must(fr_db_refresh(reader));
        db = open_at("store", false);
        must(fr_db_refresh(reader));
        has_in(reader, "a", text);
        cr_assert_eq(count_keys(reader), (size_t)i + 2);
    }
    must(fr_db_close(reader));
}

Test(follower, sees_an_ingest_and_what_was_written_after_it)
{
    put("a", "1");
    struct fr_db *reader = open_at("store", true);
    write_table("t", "a", "2", "b", "2");
    must(ingest("t"));
    put("c", "3");
    must(fr_db_append(db, NULL, "a", 1, "+", 1));
    has_in(reader, "b", NULL);
    must(fr_db_refresh(reader));
    has_in(reader, "a", "2+"), has_in(reader, "b", "2"), has_in(reader, "c", "3");
    must(fr_db_close(reader));
    reader = open_at("store", true);
    has_in(reader, "a", "2+"), has_in(reader, "b", "2"), has_in(reader, "c", "3");
    must(fr_db_close(reader));
}

Test(follower, may_not_write)
{
    put("a", "1");
    struct fr_db *reader = open_at("store", true);
    write_table("t", "b", "2");
    const char *path = path_of("t");
    cr_assert_eq(fr_db_put(reader, NULL, "b", 1, "x", 1), FR_ERR_READONLY);
    cr_assert_eq(fr_db_checkpoint(reader, path_of("copy"), NULL), FR_ERR_READONLY);
    cr_assert_eq(fr_db_ingest(reader, &path, 1, NULL), FR_ERR_READONLY);
    must(fr_db_close(reader));
}

Test(follower, of_no_store_is_told_so)
{
    struct fr_db_options options;
    struct fr_db *reader;

    fr_db_options_init(&options);
    options.read_only = true;
    cr_assert_eq(fr_db_open(path_of("nothing"), &options, &reader), FR_ERR_MISSING);
    cr_assert_eq(mkdir(path_of("empty"), 0755), 0);
    cr_assert_eq(fr_db_open(path_of("empty"), &options, &reader), FR_ERR_MISSING);
    cr_assert_neq(access(path_of("nothing"), F_OK), 0);
}

/* As somebody who may not write there; only root has to become one. */
static int read_as_nobody(void)
{
    struct fr_db_options options;
    struct fr_pinned value;
    struct fr_db *reader;

    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) return 1;
    fr_db_options_init(&options);
    options.read_only = true;
    if (fr_db_open(path_of("store"), &options, &reader) != FR_OK) {
        fprintf(stderr, "%s\n", fr_last_error());
        return 2;
    }
    if (fr_db_refresh(reader) != FR_OK) return 3;
    if (fr_db_get(reader, NULL, "a", 1, &value) != FR_OK) return 4;
    fr_pinned_release(&value);
    return fr_db_close(reader) == FR_OK ? 0 : 5;
}

Test(follower, needs_no_permission_to_write)
{
    struct dirent *entry;
    char name[300];
    int status;

    put("a", "1");
    must(fr_db_flush(db));
    put("b", "2");
    must(fr_db_close(db));
    DIR *stream = opendir(path_of("store"));
    while ((entry = readdir(stream)) != NULL) {
        snprintf(name, sizeof(name), "store/%s", entry->d_name);
        if (entry->d_name[0] != '.') cr_assert_eq(chmod(path_of(name), 0444), 0);
    }
    closedir(stream);
    cr_assert_eq(chmod(path_of("store"), 0555), 0);
    cr_assert_eq(chmod(root, 0755), 0);
    pid_t child = fork();
    if (child == 0) _exit(read_as_nobody());
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(chmod(path_of("store"), 0755), 0);
    stream = opendir(path_of("store"));
    while ((entry = readdir(stream)) != NULL) {
        snprintf(name, sizeof(name), "store/%s", entry->d_name);
        if (entry->d_name[0] != '.') cr_assert_eq(chmod(path_of(name), 0644), 0);
    }
    closedir(stream);
    db = open_at("store", false);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%d", WEXITSTATUS(status));
}

/* Beside a thread that writes: whole batches, in their order, and never back. */
Test(follower, sees_whole_batches_and_never_goes_back)
{
    struct counting c = {0};
    uint64_t before = 0;
    pthread_t thread;

    struct fr_db *reader = open_at("store", true);
    pthread_create(&thread, NULL, count_up, &c);
    /* Few rounds where the writer is fast: what there is to read grows with each. */
    for (int i = 0; i < 100 && (i < 20 || before < 20000); i++) {
        uint64_t acked = atomic_load(&c.acked);
        fr_status st = fr_db_refresh(reader);
        if (st == FR_ERR_BUSY) continue;
        must(st);
        uint64_t number = number_in(reader, "first");
        cr_assert_geq(number, acked);
        cr_assert_geq(number, before);
        cr_assert_eq(number_in(reader, "second"), number);
        if (i % 10 == 0) cr_assert_eq(count_keys(reader), number == 0 ? 0 : number + 2);
        before = number;
    }
    atomic_store(&c.stop, true);
    pthread_join(thread, NULL);
    must(fr_db_close(reader));
}
