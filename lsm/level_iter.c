#include "lsm/level_iter.h"

#include "base/alloc.h"

struct level_iter {
    struct fr_iter iter;
    const struct fr_version_level *level;
    struct fr_table_iter_options options;
    struct fr_iter *table; /* over tables[index], or NULL */
    size_t index;          /* with a NULL table: the gap in front of tables[index] */
    fr_status failed;      /* sticks until a seek */
};

static struct level_iter *of(struct fr_iter *it)
{
    return FR_CONTAINER_OF(it, struct level_iter, iter);
}

static void level_close(struct fr_iter *iter)
{
    struct level_iter *it = of(iter);

    fr_iter_close(it->table);
    fr_free(it);
}

/* Stand in the gap before tables[index]. */
static void stand_before(struct level_iter *it, size_t index)
{
    fr_iter_close(FR_TAKE(it->table));
    it->index = index;
    it->failed = FR_OK;
}

/* Open tables[index]; false: failed says why. */
static bool open_table(struct level_iter *it)
{
    struct fr_iter *table = NULL;

    it->failed = fr_table_iter_new(it->level->tables[it->index]->table, &it->options, &table);
    it->table = table;
    return table != NULL;
}

static void level_seek(struct fr_iter *iter, fr_slice key, fr_seq seq)
{
    struct level_iter *it = of(iter);

    stand_before(it, it->level->count == 0 ? 0 : fr_version_find(it->level, key));
    if (it->index < it->level->count && open_table(it)) fr_iter_seek(it->table, key, seq);
}

static void level_seek_first(struct fr_iter *iter)
{
    stand_before(of(iter), 0);
}

static void level_seek_last(struct fr_iter *iter)
{
    stand_before(of(iter), of(iter)->level->count);
}

static fr_status level_next(struct fr_iter *iter)
{
    struct level_iter *it = of(iter);

    while (it->failed == FR_OK) {
        if (it->table == NULL) {
            if (it->index == it->level->count) return FR_END;
            if (!open_table(it)) break;
        }
        fr_status st = fr_iter_next(it->table);
        if (st == FR_OK) iter->entry = it->table->entry;
        if (st < 0) it->failed = st;
        if (st != FR_END) return st;
        stand_before(it, it->index + 1);
    }
    return it->failed;
}

static fr_status level_prev(struct fr_iter *iter)
{
    struct level_iter *it = of(iter);

    while (it->failed == FR_OK) {
        if (it->table == NULL) {
            if (it->index == 0) return FR_END;
            it->index--;
            if (!open_table(it)) break;
            fr_iter_seek_last(it->table);
        }
        fr_status st = fr_iter_prev(it->table);
        if (st == FR_OK) iter->entry = it->table->entry;
        if (st < 0) it->failed = st;
        if (st != FR_END) return st;
        stand_before(it, it->index);
    }
    return it->failed;
}

static const struct fr_iter_ops level_ops = {
        .close = level_close,
        .seek = level_seek,
        .seek_first = level_seek_first,
        .seek_last = level_seek_last,
        .next = level_next,
        .prev = level_prev,
};

fr_status fr_level_iter_new(const struct fr_version_level *level,
        const struct fr_table_iter_options *options, struct fr_iter **ret_iter)
{
    struct level_iter *it = FR_NEW(struct level_iter);

    if (it == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for an iterator over a level");
    it->iter.ops = &level_ops;
    it->level = level;
    it->options = *options;
    *ret_iter = &it->iter;
    return FR_OK;
}
