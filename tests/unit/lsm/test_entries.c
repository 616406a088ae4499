#include "tests/unit/lsm/test_entries.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/compiler.h"
#include "lsm/place.h"

static fr_slice copy(fr_slice slice)
{
    uint8_t *to = fr_alloc(slice.size);

    cr_assert_not_null(to);
    if (slice.size > 0) memcpy(to, slice.data, slice.size);
    return fr_slice_of(to, slice.size);
}

void test_entries_deinit(struct test_entries *list)
{
    for (size_t i = 0; i < list->count; i++) {
        fr_free(fr_unconst(list->entries[i].key.data));
        fr_free(fr_unconst(list->entries[i].value.data));
    }
    fr_free(list->entries);
    *list = TEST_ENTRIES_EMPTY;
}

void test_entries_add(struct test_entries *list, const struct fr_entry *entry)
{
    if (list->count == list->capacity) {
        list->capacity = 2 * list->capacity + 8;
        list->entries = fr_realloc(list->entries, list->capacity * sizeof(*entry));
        cr_assert_not_null(list->entries);
    }
    struct fr_entry *to = &list->entries[list->count++];
    *to = *entry;
    to->key = copy(entry->key);
    to->value = copy(entry->value);
}

static uint8_t kind_of(const char *word)
{
    static const char *const words[] = {"", "put", "del", "range", "app"};

    for (uint8_t kind = 1; kind < FR_ARRAY_COUNT(words); kind++)
        if (strcmp(words[kind], word) == 0) return kind;
    cr_assert(false, "no kind: %s", word);
    return 0;
}

void test_entries_parse(struct test_entries *list, const char *line)
{
    struct fr_entry entry = {0};
    uint8_t place[FR_PLACE_SIZE_MAX];
    char text[256];
    char *save = NULL;

    snprintf(text, sizeof(text), "%s", line);
    char *key = strtok_r(text, " @", &save), *seq = strtok_r(NULL, " @", &save);
    char *kind = strtok_r(NULL, " ", &save);
    cr_assert(key != NULL && seq != NULL && kind != NULL, "no entry: %s", line);
    entry.key = fr_slice_of_text(key);
    entry.seq = strtoull(seq, NULL, 10);
    entry.kind = kind_of(kind);
    if (entry.kind != FR_KIND_DELETE) entry.value = fr_slice_of_text(strtok_r(NULL, " ", &save));
    for (char *word; (word = strtok_r(NULL, " ", &save)) != NULL;) {
        if (strcmp(word, "until") == 0) {
            entry.flags |= FR_ENTRY_EXPIRES;
            entry.expires_us = strtoull(strtok_r(NULL, " ", &save), NULL, 10);
        } else if (strcmp(word, "placed") == 0) {
            /* The number in the text is the place's offset: what it stands for is up to the test.
             */
            struct fr_place p = {.file = 1, .size = 4};
            p.offset = strtoull((const char *)entry.value.data, NULL, 10);
            entry.flags |= FR_ENTRY_PLACED;
            entry.value = fr_slice_of(place, fr_place_put(place, &p));
        }
    }
    test_entries_add(list, &entry);
}

void test_entry_print(struct fr_buf *to, const struct fr_entry *entry)
{
    static const char *const words[] = {"", "put", "del", "range", "app"};
    struct fr_place place = {0};

    fr_buf_printf(to, "%.*s@%" PRIu64 " %s", (int)entry->key.size, (const char *)entry->key.data,
            entry->seq, words[entry->kind]);
    if (entry->flags & FR_ENTRY_PLACED) {
        cr_assert(fr_place_get(entry->value, &place));
        fr_buf_printf(to, " %" PRIu64 " placed", place.offset);
    } else if (entry->kind != FR_KIND_DELETE) {
        fr_buf_printf(to, " %.*s", (int)entry->value.size, (const char *)entry->value.data);
    }
    if (entry->flags & FR_ENTRY_EXPIRES) fr_buf_printf(to, " until %" PRIu64, entry->expires_us);
    fr_buf_u8(to, '\n');
}

struct test_iter {
    struct fr_iter it;
    const struct test_entries *list;
    size_t at; /* the gap before this one; or, with on, the entry */
    bool on;
    unsigned moves;
    unsigned fail_at;
    struct fr_buf copy;
};

static struct test_iter *iter_of(const struct fr_iter *it)
{
    return FR_CONTAINER_OF(fr_unconst(it), struct test_iter, it);
}

static void iter_close(struct fr_iter *it)
{
    fr_buf_deinit(&iter_of(it)->copy);
    fr_free(iter_of(it));
}

static void iter_seek(struct fr_iter *it, fr_slice key, fr_seq seq)
{
    struct test_iter *t = iter_of(it);

    t->on = false;
    for (t->at = 0; t->at < t->list->count; t->at++)
        if (fr_entry_compare(t->list->entries[t->at].key, t->list->entries[t->at].seq, key, seq) >=
                0)
            break;
}

static void iter_seek_first(struct fr_iter *it)
{
    iter_of(it)->on = false;
    iter_of(it)->at = 0;
}

static void iter_seek_last(struct fr_iter *it)
{
    iter_of(it)->on = false;
    iter_of(it)->at = iter_of(it)->list->count;
}

/* The bytes of the entry before are overwritten, which shows who still looks at them. */
static fr_status hand_out(struct test_iter *t)
{
    const struct fr_entry *entry = &t->list->entries[t->at];

    t->on = true;
    t->it.entry = *entry;
    if (t->copy.data != NULL) memset(t->copy.data, '#', t->copy.capacity);
    fr_buf_clear(&t->copy);
    cr_assert_eq(fr_buf_reserve(&t->copy, entry->key.size + entry->value.size + 1), FR_OK);
    fr_buf_append(&t->copy, entry->key.data, entry->key.size);
    fr_buf_append(&t->copy, entry->value.data, entry->value.size);
    t->it.entry.key.data = t->copy.data;
    t->it.entry.value.data = t->copy.data + entry->key.size;
    return FR_OK;
}

static bool fails(struct test_iter *t)
{
    return ++t->moves >= t->fail_at && t->fail_at > 0;
}

static fr_status iter_next(struct fr_iter *it)
{
    struct test_iter *t = iter_of(it);

    if (fails(t)) return FR_FAIL(FR_ERR_IO, "as the test wants");
    if (t->on) t->at++;
    t->on = false;
    return t->at == t->list->count ? FR_END : hand_out(t);
}

static fr_status iter_prev(struct fr_iter *it)
{
    struct test_iter *t = iter_of(it);

    if (fails(t)) return FR_FAIL(FR_ERR_IO, "as the test wants");
    t->on = false;
    if (t->at == 0) return FR_END;
    t->at--;
    return hand_out(t);
}

static const struct fr_iter_ops iter_ops = {
        .close = iter_close,
        .seek = iter_seek,
        .seek_first = iter_seek_first,
        .seek_last = iter_seek_last,
        .next = iter_next,
        .prev = iter_prev,
};

struct fr_iter *test_iter_new(const struct test_entries *list)
{
    struct test_iter *t = FR_NEW(struct test_iter);

    cr_assert_not_null(t);
    t->it.ops = &iter_ops;
    t->list = list;
    /* Now, so that no allocation of a sweep is one of these. */
    cr_assert_eq(fr_buf_reserve(&t->copy, 4096), FR_OK);
    return &t->it;
}

void test_iter_fail_at(struct fr_iter *it, unsigned n)
{
    iter_of(it)->moves = 0;
    iter_of(it)->fail_at = n;
}

unsigned test_iter_moves(const struct fr_iter *it)
{
    return iter_of(it)->moves;
}
