#include "tests/unit/lsm/test_version.h"

#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "lsm/range_set.h"

void test_version_open(struct test_version *t)
{
    fr_obsolete_init(&t->obsolete);
    cr_assert_eq(fr_version_new(&t->version), FR_OK);
}

void test_version_close(struct test_version *t)
{
    fr_version_unref(t->version);
    fr_obsolete_deinit(&t->obsolete);
}

/* What a table's word may say besides. */
struct table_words {
    struct fr_edit_table meta;
    struct fr_value_ref refs[8];
    struct fr_range ranges[8];
    char keys[8][2][16];
    size_t range_count;
    bool busy;
};

struct parsed {
    struct fr_version_change change;
    struct fr_version_table *tables[64]; /* one reference each */
    size_t table_count;
    struct fr_version_values *values[64];
    size_t values_count;
};

static void parse_range(const char *word, struct table_words *w)
{
    struct fr_range *range = &w->ranges[w->range_count];
    char(*keys)[16] = w->keys[w->range_count++];

    cr_assert_leq(w->range_count, FR_ARRAY_COUNT(w->ranges));
    cr_assert_eq(sscanf(word, "r%15[^-]-%15s", keys[0], keys[1]), 2, "no range: %s", word);
    *range = (struct fr_range){.start = fr_slice_of_text(keys[0]),
            .end = fr_slice_of_text(keys[1]),
            .seq = w->meta.largest_seq};
    w->meta.range_count++;
}

static void parse_option(const char *word, struct table_words *w)
{
    struct fr_value_ref *ref = &w->refs[w->meta.ref_count];

    if (sscanf(word, "v%" SCNu64 "=%" SCNu64, &ref->file, &ref->bytes) == 2)
        w->meta.ref_count++;
    else if (word[0] == 'd')
        w->meta.delete_count = strtoull(word + 1, NULL, 10);
    else if (word[0] == 'a')
        w->meta.append_count = strtoull(word + 1, NULL, 10);
    else if (strcmp(word, "open") == 0)
        w->meta.largest_open = true;
    else if (strcmp(word, "busy") == 0)
        w->busy = true;
    else if (word[0] == 'r')
        parse_range(word, w);
    else if (word[0] == 's')
        w->meta.smallest_seq = strtoull(word + 1, NULL, 10);
    else
        cr_assert(false, "no option of a table: %s", word);
}

static fr_status add_table(struct test_version *t, char *word, struct parsed *p)
{
    struct table_words w = {.meta = {.entry_count = 100}};
    struct fr_version_table **table = &p->tables[p->table_count];
    struct fr_range_set *ranges = NULL;
    char smallest[16], largest[16];
    char *save = NULL;
    unsigned level;
    int used = 0;
    fr_status st;

    cr_assert_eq(sscanf(word, "%u:%" SCNu64 ":%15[^-]-%15[^:]:%" SCNu64 "%n", &level,
                         &w.meta.number, smallest, largest, &w.meta.size, &used),
            5, "no table: %s", word);
    w.meta.smallest = fr_slice_of_text(smallest);
    w.meta.largest = fr_slice_of_text(largest);
    w.meta.smallest_seq = w.meta.largest_seq = w.meta.number;
    w.meta.refs = w.refs;
    for (char *o = strtok_r(word + used, ":", &save); o != NULL; o = strtok_r(NULL, ":", &save))
        parse_option(o, &w);
    if (w.range_count > 0)
        cr_assert_eq(fr_range_set_build(w.ranges, w.range_count, &ranges), FR_OK);
    st = fr_version_table_new(&t->obsolete, &w.meta, NULL, NULL, ranges, table);
    if (st < 0) {
        fr_range_set_unref(ranges);
        return st;
    }
    (*table)->busy = w.busy;
    p->table_count++;
    return fr_version_change_add_table(&p->change, level, *table);
}

static fr_status add_values(struct test_version *t, const char *word, struct parsed *p)
{
    struct fr_edit_values meta = {.size = 5000};

    cr_assert_eq(sscanf(word, "%" SCNu64 ":%" SCNu64, &meta.number, &meta.value_bytes), 2);
    fr_status st =
            fr_version_values_new(&t->obsolete, &meta, NULL, NULL, &p->values[p->values_count]);
    if (st < 0) return st;
    return fr_version_change_add_values(&p->change, p->values[p->values_count++]);
}

static fr_status move_table(struct test_version *t, unsigned level, uint64_t number,
        struct parsed *p)
{
    fr_status st = fr_version_change_drop_table(&p->change, level, number);

    for (size_t i = 0; i < t->version->levels[level].count && st == FR_OK; i++)
        if (t->version->levels[level].tables[i]->meta.number == number)
            st = fr_version_change_add_table(&p->change, level + 1,
                    t->version->levels[level].tables[i]);
    return st;
}

static fr_status parse_word(struct test_version *t, char *word, struct parsed *p)
{
    uint64_t number = 0;
    unsigned level = 0;

    if (strncmp(word, "+v", 2) == 0) return add_values(t, word + 2, p);
    if (strncmp(word, "-v", 2) == 0)
        return fr_version_change_drop_values(&p->change, strtoull(word + 2, NULL, 10));
    if (word[0] == '+') return add_table(t, word + 1, p);
    cr_assert_eq(sscanf(word + 1, "%u:%" SCNu64, &level, &number), 2, "no change: %s", word);
    if (word[0] == '>') return move_table(t, level, number, p);
    return fr_version_change_drop_table(&p->change, level, number);
}

fr_status test_version_change(struct test_version *t, const char *words, struct fr_buf *edit)
{
    struct fr_version *next = NULL;
    struct parsed p = {0};
    fr_status st = FR_OK;
    char text[4096];
    char *save = NULL;

    snprintf(text, sizeof(text), "%s", words);
    for (char *w = strtok_r(text, " ", &save); w != NULL && st == FR_OK;
            w = strtok_r(NULL, " ", &save))
        st = parse_word(t, w, &p);
    if (st == FR_OK) st = fr_version_apply(t->version, &p.change, &next);
    if (st == FR_OK) {
        fr_version_check(next);
        if (edit != NULL) fr_version_change_encode(&p.change, edit);
        fr_version_mark_dropped(t->version, &p.change);
        fr_version_unref(t->version);
        t->version = next;
    }
    for (size_t i = 0; i < p.table_count; i++)
        fr_version_table_unref(p.tables[i]);
    for (size_t i = 0; i < p.values_count; i++)
        fr_version_values_unref(p.values[i]);
    fr_version_change_deinit(&p.change);
    return st;
}

static char printed[4096];

static void print(const char *format, ...) FR_PRINTF(1, 2);

static void print(const char *format, ...)
{
    size_t size = strlen(printed);
    va_list args;

    va_start(args, format);
    vsnprintf(printed + size, sizeof(printed) - size, size == 0 ? format + 1 : format, args);
    va_end(args);
}

const char *test_version_print(const struct fr_version *version)
{
    printed[0] = 0;
    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < version->levels[level].count; i++)
            print(" %u:%" PRIu64, level, version->levels[level].tables[i]->meta.number);
    return printed;
}

static int compare_files(const void *a, const void *b)
{
    const struct fr_obsolete_file *x = a, *y = b;

    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

const char *test_version_obsolete(struct test_version *t)
{
    struct fr_obsolete_file files[64];
    size_t count = 0;

    while (fr_obsolete_take(&t->obsolete, &files[count]))
        count++;
    qsort(files, count, sizeof(files[0]), compare_files);
    printed[0] = 0;
    for (size_t i = 0; i < count; i++)
        print(" %c%" PRIu64, files[i].kind == FR_FILE_TABLE ? 't' : 'v', files[i].number);
    return printed;
}
