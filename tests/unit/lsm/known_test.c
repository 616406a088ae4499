/*
 * known_test.c - of values that were read before it is known where they stood and what they said,
 * and nothing is taken for known that is not.
 */
#include "base/alloc.h"
#include "base/buf.h"
#include "lsm/batch.h"
#include "lsm/engine.h"
#include "lsm/known.h"
#include "lsm/place.h"
#include "tests/unit/io/test_world.h"

static struct fr_known known;
static struct fr_known_reader reader;

static fr_slice key_of(uint64_t n)
{
    static char text[32];

    snprintf(text, sizeof(text), "key %u", (unsigned)n);
    return fr_slice_of_text(text);
}

/* Values of keys 0, 1, 2 ... at 100, 200, 300 ..., each as long as its number says. */
static void keep(uint64_t file, size_t count, bool with_digests)
{
    struct fr_known_value *values = fr_alloc(count * sizeof(*values));
    uint64_t *digests = with_digests ? fr_alloc(count * sizeof(*digests)) : NULL;

    for (size_t i = 0; i < count; i++) {
        values[i] = (struct fr_known_value){
                .offset = 100 * (i + 1), .print = fr_known_print(key_of(i), i + 1, i)};
        if (with_digests) digests[i] = 7000 + i;
    }
    fr_known_keep(&known, file, values, digests, count);
}

static bool find(uint64_t file, uint64_t offset, uint64_t n, fr_seq seq, uint64_t size,
        uint64_t *ret_digest)
{
    uint8_t bytes[FR_PLACE_SIZE_MAX];
    struct fr_place place = {.file = file, .offset = offset, .size = size};
    struct fr_entry entry = {.key = key_of(n),
            .value = {.data = bytes, .size = fr_place_put(bytes, &place)},
            .seq = seq,
            .kind = FR_KIND_PUT,
            .flags = FR_ENTRY_PLACED};
    uint64_t found = 0;
    bool is_known = fr_known_find(&reader, &entry, &found, ret_digest);

    if (is_known) cr_assert_eq(found, size);
    return is_known;
}

static void tear_down(void)
{
    fr_known_reader_deinit(&reader);
    fr_known_deinit(&known);
}

TestSuite(known, .fini = tear_down);

Test(known, a_value_is_found_by_its_place_in_any_order)
{
    uint64_t digest = 1;

    fr_known_init(&known, 1 << 20);
    keep(5, 50, true);
    keep(9, 60, false);
    must(fr_known_reader_init(&reader, &known));
    for (uint64_t step = 1; step < 60; step += 7)
        for (uint64_t i = 0, n = 0; i < 50; i++, n = (n + step) % 50) {
            cr_assert(find(5, 100 * (n + 1), n, n + 1, n, &digest));
            cr_assert_eq(digest, 7000 + n);
            cr_assert(find(9, 100 * (n + 1), n, n + 1, n, &digest));
            cr_assert_eq(digest, 0);
        }
}

Test(known, another_key_or_entry_or_size_or_place_is_not_known)
{
    uint64_t digest;

    fr_known_init(&known, 1 << 20);
    keep(5, 50, true);
    must(fr_known_reader_init(&reader, &known));
    cr_assert(find(5, 1000, 9, 10, 9, &digest));
    cr_assert_not(find(5, 1000, 8, 10, 9, &digest));
    cr_assert_not(find(5, 1000, 9, 11, 9, &digest));
    cr_assert_not(find(5, 1000, 9, 10, 8, &digest));
    cr_assert_not(find(5, 1001, 9, 10, 9, &digest));
    cr_assert_not(find(5, 5100, 9, 10, 9, &digest));
    cr_assert_not(find(4, 1000, 9, 10, 9, &digest));
    cr_assert_not(find(6, 1000, 9, 10, 9, &digest));
}

Test(known, what_there_is_no_room_for_is_not_known)
{
    uint64_t digest;

    fr_known_init(&known, 50 * 16);
    keep(5, 50, true);
    keep(6, 50, false);
    keep(7, 1, false);
    must(fr_known_reader_init(&reader, &known));
    cr_assert_not(find(5, 100, 0, 1, 0, &digest));
    cr_assert(find(6, 100, 0, 1, 0, &digest));
    cr_assert_not(find(7, 100, 0, 1, 0, &digest));
}

Test(known, nothing_is_known_where_nothing_was_kept)
{
    uint64_t digest;

    must(fr_known_reader_init(&reader, NULL));
    cr_assert_not(find(5, 100, 0, 1, 0, &digest));
}

/* ---- In a scan ---- */

static fr_status write_batch(struct fr_engine *engine, struct fr_batch *batch)
{
    fr_slice bytes;

    must(fr_batch_finish(batch, &bytes));
    fr_status st = fr_engine_write(engine, bytes, batch->count, FR_DURABLE_NONE);
    fr_batch_deinit(batch);
    return st;
}

static bool stand_in(void *ctx, const struct fr_entry *entry, fr_slice *ret_value)
{
    struct fr_place place = {0};

    (*(int *)ctx)++;
    cr_assert(fr_place_get(entry->value, &place));
    if (fr_slice_equal(entry->key, fr_slice_of_text("b"))) return false;
    *ret_value = fr_slice_of(NULL, place.size);
    return true;
}

Test(known, a_scan_asks_of_values_that_lie_apart_and_are_not_part_of_a_longer_one)
{
    struct test_world world = test_world_open();
    struct fr_engine_options options = fr_engine_options_default();
    struct fr_batch batch = FR_BATCH_EMPTY, more = FR_BATCH_EMPTY;
    struct fr_engine *engine;
    struct fr_iter *it;
    uint8_t large[1000];
    int asked = 0;

    memset(large, 'x', sizeof(large));
    options.value_threshold = 100;
    must(fr_engine_open(world.env, fr_dir_path(world.dir), &options, &engine));
    for (const char *key = "abc"; *key != 0; key++)
        must(fr_batch_add_put(&batch, fr_slice_of(key, 1), fr_slice_of(large, sizeof(large))));
    must(fr_batch_add_put(&batch, fr_slice_of_text("d"), fr_slice_of_text("small")));
    must(write_batch(engine, &batch));
    must(fr_engine_flush(engine));
    must(fr_batch_add_append(&more, fr_slice_of_text("c"), fr_slice_of_text("more")));
    must(write_batch(engine, &more));

    struct fr_engine_scan_options how = {.at = FR_SEQ_MAX, .known = stand_in, .known_ctx = &asked};
    must(fr_engine_scan(engine, &how, &it));
    cr_assert_eq(fr_iter_next(it), FR_OK);
    cr_assert(it->entry.value.data == NULL && it->entry.value.size == sizeof(large));
    cr_assert_eq(fr_iter_next(it), FR_OK);
    cr_assert(fr_slice_equal(it->entry.value, fr_slice_of(large, sizeof(large))));
    cr_assert_eq(fr_iter_next(it), FR_OK);
    cr_assert_eq(it->entry.value.size, sizeof(large) + 4);
    cr_assert_eq(memcmp(it->entry.value.data + sizeof(large), "more", 4), 0);
    cr_assert_eq(fr_iter_next(it), FR_OK);
    cr_assert(fr_slice_equal(it->entry.value, fr_slice_of_text("small")));
    cr_assert_eq(fr_iter_next(it), FR_END);
    cr_assert_eq(asked, 2);
    fr_iter_close(it);
    must(fr_engine_close(engine));
    test_world_close(&world);
}
