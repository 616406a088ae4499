#include "lsm/level_iter.h"

#include "lsm/table_builder.h"
#include "tests/unit/io/test_world.h"
#include "tests/unit/lsm/model.h"

#define TABLES_MAX 16

/* Real tables, and the level that they make. */
struct test_level {
    struct test_world world;
    struct fr_obsolete obsolete;
    struct fr_version_table *tables[TABLES_MAX];
    struct fr_version_level level;
};

/* Entries [from, to) of the model as a table; none: a table of a range delete at that key. */
static void add_table(struct test_level *t, const struct model *model, size_t from, size_t to)
{
    struct fr_file_id id = {{1, 2}, t->level.count + 1};
    struct fr_table_options options = fr_table_options_default();
    struct fr_table_builder *b;
    struct fr_table_meta meta;
    struct fr_table *table;

    options.block_size = 4096;
    must(fr_table_builder_open(t->world.dir, &id, &options, &b));
    for (size_t i = from; i < to; i++)
        must(fr_table_builder_add(b, &model->entries[i]));
    if (from == to)
        must(fr_table_builder_add_range(b, model->entries[from - 1].key, model->entries[from].key,
                9));
    must(fr_table_builder_finish(b, &meta));
    fr_table_builder_close(b);
    struct fr_edit_table edit = {.number = id.number,
            .smallest = fr_buf_slice(&meta.properties.smallest),
            .largest = fr_buf_slice(&meta.properties.largest),
            .largest_open = meta.properties.largest_open != 0};
    must(fr_table_open(t->world.dir, &id, NULL, &table));
    must(fr_version_table_new(&t->obsolete, &edit, table, fr_table_unref, NULL,
            &t->tables[t->level.count++]));
    fr_table_meta_deinit(&meta);
}

static void open_level(struct test_level *t)
{
    memset(t, 0, sizeof(*t));
    t->world = test_world_open();
    fr_obsolete_init(&t->obsolete);
    t->level.tables = t->tables;
}

static void close_level(struct test_level *t)
{
    for (size_t i = 0; i < t->level.count; i++)
        fr_version_table_unref(t->tables[i]);
    fr_obsolete_deinit(&t->obsolete);
    test_world_close(&t->world);
}

/* Where the key that the entry has begins, at or behind it. */
static size_t key_start(const struct model *model, size_t at)
{
    while (at > 0 && at < model->count &&
            fr_slice_equal(model->entries[at - 1].key, model->entries[at].key))
        at++;
    return at;
}

static void split(struct test_level *t, const struct model *model, size_t tables)
{
    size_t from = 0;

    for (size_t i = 1; i <= tables; i++) {
        size_t to = i == tables ? model->count : key_start(model, i * model->count / tables);
        if (to > from) add_table(t, model, from, to);
        from = to;
    }
}

static struct fr_iter *open_iter(struct test_level *t)
{
    struct fr_table_iter_options options = {0};
    struct fr_iter *it;

    must(fr_level_iter_new(&t->level, &options, &it));
    return it;
}

Test(level_iter, agrees_with_a_sorted_array)
{
    for (int keys = 0; keys < MODEL_KINDS; keys++)
        for (size_t tables = 1; tables < TABLES_MAX; tables += 7) {
            struct model model = {0};
            struct test_level t;

            model_fill(&model, (enum model_keys)keys, keys == MODEL_EXTREME ? 60 : 500, 40,
                    (uint64_t)keys + tables);
            open_level(&t);
            split(&t, &model, tables);
            struct fr_iter *it = open_iter(&t);
            model_check(&model, it, tables);
            fr_iter_close(it);
            close_level(&t);
            model_free(&model);
        }
}

Test(level_iter, an_empty_level_has_nothing_either_way)
{
    struct test_level t;

    open_level(&t);
    struct fr_iter *it = open_iter(&t);
    must_be(FR_END, fr_iter_next(it));
    must_be(FR_END, fr_iter_prev(it));
    fr_iter_seek(it, fr_slice_of_text("a"), FR_SEQ_MAX);
    must_be(FR_END, fr_iter_next(it));
    must_be(FR_END, fr_iter_prev(it));
    fr_iter_seek_last(it);
    must_be(FR_END, fr_iter_next(it));
    must_be(FR_END, fr_iter_prev(it));
    fr_iter_close(it);
    close_level(&t);
}

static void expect(struct fr_iter *it, const struct model *model, size_t at)
{
    must_be(at < model->count ? FR_OK : FR_END, fr_iter_next(it));
    if (at < model->count) cr_assert(model_entry_equal(&it->entry, &model->entries[at]));
}

static void expect_back(struct fr_iter *it, const struct model *model, size_t at)
{
    must_be(at > 0 ? FR_OK : FR_END, fr_iter_prev(it));
    if (at > 0) cr_assert(model_entry_equal(&it->entry, &model->entries[at - 1]));
}

Test(level_iter, seeks_to_the_ends_of_tables_and_between_them)
{
    struct model model = {0};
    struct test_level t;
    char key[8];

    for (unsigned i = 0; i < 90; i++) {
        snprintf(key, sizeof(key), "k%03u", 10 * (i / 2));
        model_add(&model, fr_slice_of_text(key), 100 - i % 2, FR_KIND_PUT, fr_slice_of_text("v"));
    }
    open_level(&t);
    split(&t, &model, 9);
    struct fr_iter *it = open_iter(&t);
    for (unsigned n = 0; n < 460; n++)
        for (fr_seq seq = 98; seq < 102; seq++) {
            snprintf(key, sizeof(key), "k%03u", n);
            size_t at = model_seek(&model, fr_slice_of_text(key), seq);
            fr_iter_seek(it, fr_slice_of_text(key), seq);
            expect(it, &model, at);
            fr_iter_seek(it, fr_slice_of_text(key), seq);
            expect_back(it, &model, at);
            /* And there and back again over what may be the end of a table. */
            fr_iter_seek(it, fr_slice_of_text(key), seq);
            expect(it, &model, at);
            expect_back(it, &model, at);
            if (at > 0) expect(it, &model, at);
        }
    fr_iter_close(it);
    close_level(&t);
    model_free(&model);
}

Test(level_iter, steps_over_tables_without_entries)
{
    struct model model = {0};
    struct test_level t;
    const char *const keys[] = {"a", "b", "m", "n", "y", "z"};

    for (size_t i = 0; i < FR_ARRAY_COUNT(keys); i++)
        model_add(&model, fr_slice_of_text(keys[i]), 20, FR_KIND_PUT, fr_slice_of_text("v"));
    open_level(&t);
    add_table(&t, &model, 0, 1);
    add_table(&t, &model, 2, 2); /* from b to m, without m */
    add_table(&t, &model, 2, 4);
    struct model there = {0};
    for (size_t i = 0; i < 4; i++)
        if (i != 1) model_add(&there, model.entries[i].key, 20, FR_KIND_PUT, fr_slice_of_text("v"));
    struct fr_iter *it = open_iter(&t);
    model_check(&there, it, 1);
    fr_iter_close(it);
    close_level(&t);
    model_free(&model);
    model_free(&there);
}

Test(level_iter, a_failure_sticks_until_a_seek)
{
    struct model model = {0};
    struct test_level t;

    model_fill(&model, MODEL_NUMBERS, 300, 40, 4);
    open_level(&t);
    split(&t, &model, 3);
    struct fr_iter *it = open_iter(&t);
    for (int back = 0; back < 2; back++) {
        if (back) fr_iter_seek_last(it);
        fr_alloc_fail_at(1, false);
        must_be(FR_ERR_NOMEM, back ? fr_iter_prev(it) : fr_iter_next(it));
        fr_alloc_fail_at(0, false);
        must_be(FR_ERR_NOMEM, fr_iter_next(it));
        must_be(FR_ERR_NOMEM, fr_iter_prev(it));
        fr_iter_seek_first(it);
        expect(it, &model, 0);
    }
    fr_iter_close(it);
    fr_alloc_fail_at(1, false);
    must_be(FR_ERR_NOMEM, fr_level_iter_new(&t.level, &(struct fr_table_iter_options){0}, &it));
    fr_alloc_fail_at(0, false);
    close_level(&t);
    model_free(&model);
}
