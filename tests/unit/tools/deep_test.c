/*
 * deep_test.c - a store that is verified without reading anything twice has the findings that each
 * of the checks has by itself, wherever a value of its files is damaged; and its keys are counted
 * as if each had been read.
 */
#define FR_ALLOW_MALLOC
#include "db/deep.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/db/test_store.h"

#define DIM 32
#define IDS 1200

static char path[64];
static struct fr_db *db;

static void put_vectors(void)
{
    struct fr_index_options options;
    struct fr_index *index;
    float vector[DIM];

    fr_index_options_init(&options);
    options.dimension = DIM;
    must(fr_index_open(db, "", &options, &index));
    for (uint64_t id = 0; id < IDS; id++) {
        for (size_t i = 0; i < DIM; i++)
            vector[i] = (float)((id * 7919 + i * i * 31) % 255);
        must(fr_index_upsert(index, NULL, 1, &id, vector, NULL));
    }
    must(fr_index_maintain(index, 0, NULL));
    fr_index_close(index);
}

/* Rows of an index and other values, all of them in value files. */
static void set_up(void)
{
    struct fr_db_options options;

    test_store_name(path);
    fr_db_options_init(&options);
    must(fr_db_options_parse(&options, "sync=os, value_threshold=64"));
    must(fr_db_open(path, &options, &db));
    put_vectors();
    test_store_fill(db, 0, 200, 600);
    must(fr_db_flush(db));
    must(fr_db_close(db));
    must(fr_db_options_parse(&options, "read_only=true"));
    must(fr_db_open(path, &options, &db));
}

static void tear_down(void)
{
    must(fr_db_close(db));
    test_store_remove(path);
}

TestSuite(deep, .init = set_up, .fini = tear_down, .timeout = 100);

/* What all checks say, one after the other. */
struct said {
    char words[4000];
    struct fr_deep_counts counts;
};

static void say(struct said *said, const char *words)
{
    size_t size = strlen(said->words);

    snprintf(said->words + size, sizeof(said->words) - size, "%s\n", words);
}

static bool on_finding(void *ctx, const struct fr_finding *finding)
{
    say(ctx, finding->words);
    return true;
}

static bool goes_on(void *ctx, const struct fr_deep_counts *counts)
{
    (void)ctx;
    (void)counts;
    return true;
}

static struct said verify_deep(void)
{
    struct said said = {0};
    const struct fr_verify_options how = {
            .size = sizeof(how), .depth = FR_VERIFY_ENGINE, .finding = on_finding, .ctx = &said};
    struct fr_verify_stats stats = {.size = sizeof(stats)};
    struct fr_index *index;
    struct fr_deep *deep;

    must(fr_deep_new(db, &deep));
    must(fr_deep_verify(deep, path, &how, &stats));
    must(fr_index_open(db, "", NULL, &index));
    say(&said, fr_deep_verify_index(deep, index) < 0 ? fr_last_error() : "index");
    fr_index_close(index);
    say(&said, fr_deep_read_keys(deep, db, goes_on, NULL, &said.counts) < 0 ? fr_last_error()
                                                                            : "keys");
    fr_deep_free(deep);
    return said;
}

static fr_status read_keys(struct fr_deep_counts *counts)
{
    struct fr_iterator *it;
    size_t size;
    fr_status st;

    must(fr_iterator_new(db, NULL, &it));
    while ((st = fr_iterator_next(it)) == FR_OK) {
        counts->keys++;
        (void)fr_iterator_key(it, &size);
        counts->key_bytes += size;
        (void)fr_iterator_value(it, &size);
        counts->value_bytes += size;
    }
    fr_iterator_free(it);
    return st;
}

static struct said verify_one_by_one(void)
{
    struct said said = {0};
    const struct fr_verify_options how = {
            .size = sizeof(how), .depth = FR_VERIFY_ENGINE, .finding = on_finding, .ctx = &said};
    struct fr_verify_stats stats = {.size = sizeof(stats)};
    struct fr_index *index;

    must(fr_verify(path, &how, &stats));
    must(fr_index_open(db, "", NULL, &index));
    say(&said, fr_index_verify(index) < 0 ? fr_last_error() : "index");
    fr_index_close(index);
    say(&said, read_keys(&said.counts) < 0 ? fr_last_error() : "keys");
    return said;
}

Test(deep, counts_what_there_is)
{
    struct said deep = verify_deep(), plain = verify_one_by_one();

    cr_assert_str_eq(deep.words, "index\nkeys\n");
    cr_assert_str_eq(deep.words, plain.words);
    cr_assert_gt(deep.counts.keys, IDS + 200);
    cr_assert_eq(deep.counts.keys, plain.counts.keys);
    cr_assert_eq(deep.counts.key_bytes, plain.counts.key_bytes);
    cr_assert_eq(deep.counts.value_bytes, plain.counts.value_bytes);
}

static off_t flip(const char *name, off_t at)
{
    uint8_t byte;
    int fd = open(name, O_RDWR | O_CLOEXEC);

    cr_assert_geq(fd, 0);
    off_t size = lseek(fd, 0, SEEK_END);
    if (at < size) {
        cr_assert_eq(pread(fd, &byte, 1, at), 1);
        byte ^= 4;
        cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
    return size;
}

Test(deep, finds_what_each_check_finds_wherever_values_are_damaged)
{
    struct dirent *entry;
    char name[400];
    unsigned cases = 0, findings = 0;
    DIR *stream = opendir(path);

    while ((entry = readdir(stream)) != NULL) {
        if (strstr(entry->d_name, ".values") == NULL) continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        for (off_t at = 4100, size = at + 1; at < size; at += 9973, cases++) {
            size = flip(name, at);
            struct said deep = verify_deep(), plain = verify_one_by_one();
            cr_assert_str_eq(deep.words, plain.words);
            findings += strcmp(deep.words, "index\nkeys\n") != 0;
            (void)flip(name, at);
        }
    }
    closedir(stream);
    cr_assert(cases > 10 && findings >= cases - 1, "%u of %u", findings, cases);
}
