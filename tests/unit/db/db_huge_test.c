/*
 * db_huge_test.c - the largest values, the largest batch, and a byte more.
 *
 * They take gigabytes of memory and of disk for a while, so they run on request only (suite slow).
 */
#define FR_ALLOW_MALLOC
#include <sys/mman.h>

#include "base/compiler.h"
#include "tests/unit/db/test_store.h"

#define KEY_MAX   65535
#define VALUE_MAX ((size_t)256 << 20)
#define BATCH_MAX ((size_t)1 << 30)

static char path[64];
static struct fr_db *db;
static char bytes[KEY_MAX];

static void set_up(void)
{
    struct fr_db_options options;

    test_store_name(path);
    fr_db_options_init(&options);
    must(fr_db_options_parse(&options, "memory_budget=64MiB,sync=none"));
    must(fr_db_open(path, &options, &db));
}

static void tear_down(void)
{
    must(fr_db_close(db));
    test_store_remove(path);
}

TestSuite(db_huge, .init = set_up, .fini = tear_down, .timeout = 600);

/* Bytes that no compression makes small, and of which each eighth one knows its place. */
static uint8_t *huge_bytes(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    cr_assert_neq(memory, MAP_FAILED);
    uint64_t *words = memory, state = 88172645463325252u;
    for (size_t i = 0; i < size / sizeof(*words); i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        words[i] = state;
    }
    return memory;
}

static void must_have(const void *key, size_t key_size, const uint8_t *value, size_t size)
{
    struct fr_pinned found;

    must(fr_db_get(db, NULL, key, key_size, &found));
    cr_assert_eq(found.size, size, "%zu, not %zu", found.size, size);
    cr_assert(memcmp(found.data, value, size) == 0);
    fr_pinned_release(&found);
}

static void reopen(const char *text)
{
    struct fr_db_options options;

    must(fr_db_close(db));
    fr_db_options_init(&options);
    must(fr_db_options_parse(&options, text));
    must(fr_db_open(path, &options, &db));
}

static fr_status put_huge(const uint8_t *value, size_t size)
{
    return fr_db_put(db, NULL, bytes, KEY_MAX, value, size);
}

/* Through the log, a table or a value file, and both. */
static void live_with_huge_values(const char *options, const uint8_t *value)
{
    reopen(options);
    must(put_huge(value, VALUE_MAX));
    must_have(bytes, KEY_MAX, value, VALUE_MAX);
    reopen(options);
    must_have(bytes, KEY_MAX, value, VALUE_MAX);
    must(fr_db_flush(db));
    must_have(bytes, KEY_MAX, value, VALUE_MAX);
    uint64_t seq = test_store_number(db, "seq.last");
    must_fail(put_huge(value, VALUE_MAX + 1), FR_ERR_LIMIT, "268435457 bytes");
    cr_assert_eq(test_store_number(db, "seq.last"), seq);
    must(fr_db_compact_range(db, NULL, 0, NULL, 0));
    reopen(options);
    must_have(bytes, KEY_MAX, value, VALUE_MAX);
}

Test(db_huge, the_largest_value_under_the_largest_key_in_a_value_file)
{
    uint8_t *value = huge_bytes(VALUE_MAX + 8);

    live_with_huge_values("memory_budget=64MiB", value);
    munmap(value, VALUE_MAX + 8);
}

Test(db_huge, the_largest_value_under_the_largest_key_in_a_table)
{
    uint8_t *value = huge_bytes(VALUE_MAX + 8);

    live_with_huge_values("memory_budget=64MiB,value_threshold=0", value);
    munmap(value, VALUE_MAX + 8);
}

/* A fragment is not compared with what it goes behind, so nothing is refused; see db.h. */
Test(db_huge, appends_that_make_a_value_larger_than_the_largest_lose_nothing)
{
    size_t size = VALUE_MAX + ((size_t)1 << 20);
    uint8_t *value = huge_bytes(size);

    must(fr_db_put(db, NULL, "k", 1, value, VALUE_MAX));
    for (size_t at = VALUE_MAX; at < size; at += (size_t)1 << 18)
        must(fr_db_append(db, NULL, "k", 1, value + at, (size_t)1 << 18));
    must_have("k", 1, value, size);
    must(fr_db_flush(db));
    must_have("k", 1, value, size);
    must(fr_db_compact_range(db, NULL, 0, NULL, 0));
    must(fr_db_wait_idle(db));
    must_have("k", 1, value, size);
    struct fr_iterator *it;
    must(fr_iterator_new(db, NULL, &it));
    must(fr_iterator_next(it));
    size_t found;
    cr_assert(memcmp(fr_iterator_value(it, &found), value, size) == 0);
    cr_assert_eq(found, size);
    fr_iterator_free(it);
    munmap(value, size);
}

/* Fill a batch up to so many bytes before the largest. */
static void fill_batch(struct fr_batch *batch, const uint8_t *value, size_t left)
{
    char key[16];
    unsigned i = 0;

    while (BATCH_MAX - fr_batch_bytes(batch) > left) {
        size_t room = BATCH_MAX - fr_batch_bytes(batch) - left;
        size_t around = 12 + 8; /* what a batch keeps of a record besides its value */
        snprintf(key, sizeof(key), "key%05u", i++);
        if (fr_batch_bytes(batch) == 0) around += 16;
        cr_assert_gt(room, around);
        size_t size = room - around < VALUE_MAX ? room - around : VALUE_MAX - 4096;
        must(fr_batch_put(batch, key, 8, value, size));
    }
    cr_assert_eq(fr_batch_bytes(batch), BATCH_MAX - left);
}

/* Sanitizers would need several times the several gigabytes. */
#ifndef FR_SANITIZED
Test(db_huge, the_largest_batch)
{
    uint8_t *value = huge_bytes(VALUE_MAX);
    struct fr_batch *batch;

    must(fr_batch_new(&batch));
    fill_batch(batch, value, 0);
    size_t count = fr_batch_count(batch);
    must_fail(fr_batch_delete(batch, "k", 1), FR_ERR_LIMIT, "1073741824 bytes");
    cr_assert_eq(fr_batch_bytes(batch), BATCH_MAX);
    cr_assert_eq(fr_batch_count(batch), count);
    uint64_t seq = test_store_number(db, "seq.last");
    must(fr_db_write(db, NULL, batch));
    cr_assert_eq(test_store_number(db, "seq.last"), seq + count);
    fr_batch_free(batch);
    must_have("key00002", 8, value, VALUE_MAX - 4096);
    reopen("memory_budget=64MiB"); /* all of it comes back from the log */
    must_have("key00000", 8, value, VALUE_MAX - 4096);
    must_have("key00002", 8, value, VALUE_MAX - 4096);
    cr_assert_eq(test_store_number(db, "seq.last"), seq + count);
    munmap(value, VALUE_MAX);
}
#endif

Test(db_huge, one_byte_more_than_the_largest_batch)
{
    uint8_t *value = huge_bytes(VALUE_MAX);
    struct fr_batch *batch;

    must(fr_batch_new(&batch));
    fill_batch(batch, value, 20);
    must_fail(fr_batch_put(batch, "key", 3, value, 6), FR_ERR_LIMIT, "1073741824 bytes");
    must_fail(fr_batch_append(batch, "key", 3, value, 6), FR_ERR_LIMIT, "1073741824 bytes");
    cr_assert_eq(fr_batch_bytes(batch), BATCH_MAX - 20);
    must(fr_batch_put(batch, "key", 3, value, 5));
    cr_assert_eq(fr_batch_bytes(batch), BATCH_MAX);
    fr_batch_free(batch);
    munmap(value, VALUE_MAX);
}
