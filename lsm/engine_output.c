/*
 * engine_output.c - what flush and compaction write: the entries of a fold, cut into tables, with
 * values from the threshold on in a value file beside them.
 *
 * A table ends only where a key begins, so all versions of a key are in one table of a level. Range
 * deletes are cut at the same places: each table gets the part of them from its own first key (or
 * from the beginning) to the first key of the next table (or to the end). So tables do not overlap
 * by their range deletes either.
 */
#include "base/alloc.h"
#include "base/cover.h"
#include "base/hash.h"
#include "io/dir.h"
#include "lsm/engine_priv.h"
#include "lsm/place.h"
#include "lsm/table.h"

/* Of so many entries of a flush one is looked up, to know how much it shadows. */
#define SAMPLE_ONE_IN 8

struct writer {
    struct fr_engine *engine;
    struct fr_engine_options wanted; /* as they were when it began */
    const struct fr_output_options *options;
    struct fr_output *output;
    const struct fr_range_set *ranges;
    struct fr_table_builder *table;
    struct fr_value_builder *values;
    uint64_t values_number;
    struct fr_buf low; /* the first key of the open table; empty for the first table */
    struct fr_buf scratch;

    /* Where the output is among the tables of the level below its own. */
    size_t grandparent;  /* the first that does not end before the last key */
    uint64_t overlap;    /* bytes of those that the open table has left behind */
    bool at_grandparent; /* one ends before the key that comes */

    uint64_t sample_count; /* entries since the last one that was looked up */
    uint64_t shadowed_bytes;
};

static fr_status open_table(struct writer *w)
{
    struct fr_table_options options = fr_table_options_default();
    const struct fr_engine_options *wanted = &w->wanted;
    struct fr_file_id id = fr_engine_file_id(w->engine, fr_engine_next_number(w->engine));

    options.block_size = wanted->block_size;
    options.filter_bits = wanted->filter_bits;
    options.compression = wanted->compress ? FR_CODEC_ZSTD : FR_CODEC_NONE;
    if (w->options->bottommost) options.dictionary_size = fr_engine_dictionary_size(wanted);
    options.verify = wanted->verify_tables;
    options.direct = wanted->direct_reads;
    options.write_buffer_size = fr_engine_write_buffer(wanted);
    options.origin = w->options->origin;
    options.level = w->options->level;
    options.limiter = &w->engine->limiter;
    options.urgent = w->options->origin == FR_TABLE_ORIGIN_FLUSH;
    return fr_table_builder_open(w->engine->dir, &id, &options, &w->table);
}

static fr_slice later(fr_slice a, fr_slice b)
{
    return fr_slice_compare(a, b) >= 0 ? a : b;
}

static fr_slice earlier(fr_slice a, fr_slice b)
{
    return fr_slice_compare(a, b) <= 0 ? a : b;
}

/* The parts of the range deletes from the table's low key up to high; no high: to their end. */
static fr_status add_ranges(struct writer *w, const fr_slice *high)
{
    fr_slice low = fr_buf_slice(&w->low);
    fr_status st = FR_OK;

    for (size_t i = 0; i < fr_range_set_count(w->ranges); i++) {
        const struct fr_range_fragment *fragment = fr_range_set_at(w->ranges, i);
        fr_slice start = low.size == 0 ? fragment->start : later(fragment->start, low);
        fr_slice end = high == NULL ? fragment->end : earlier(fragment->end, *high);
        if (fr_slice_compare(start, end) >= 0) continue;
        for (size_t s = 0; s < fragment->seq_count; s++)
            FR_TRY(fr_table_builder_add_range(w->table, start, end, fragment->seqs[s]));
    }
out:
    return st;
}

static void fill_edit(const struct fr_table_meta *meta, struct fr_edit_table *ret_edit)
{
    const struct fr_table_properties *p = &meta->properties;

    *ret_edit = (struct fr_edit_table){
            .number = meta->id.number,
            .size = meta->file_size,
            .smallest = fr_buf_slice(&p->smallest),
            .largest = fr_buf_slice(&p->largest),
            .largest_open = p->largest_open != 0,
            .smallest_seq = p->seq_least,
            .largest_seq = p->seq_most,
            .entry_count = fr_table_entry_count(p),
            .delete_count = p->delete_count,
            .range_count = p->range_count,
            .append_count = p->append_count,
            .refs = fr_table_value_refs(p),
            .ref_count = fr_table_value_ref_count(p),
    };
    fr_put_u64(ret_edit->hash, meta->hash.low);
    fr_put_u64(ret_edit->hash + 8, meta->hash.high);
}

static fr_status keep_table(struct writer *w, const struct fr_table_meta *meta)
{
    struct fr_version_table *table;
    struct fr_edit_table edit;
    fr_status st;

    fill_edit(meta, &edit);
    FR_TRY(fr_engine_open_table(w->engine, &edit, &table));
    w->output->bytes += meta->file_size;
    fr_engine_file_written(w->engine, FR_FILE_TABLE, edit.number, edit.size, w->options->level);
    st = fr_version_change_add_table(&w->output->change, w->options->level, table);
    if (st < 0) fr_version_table_unref(table);
out:
    return st;
}

static fr_status finish_table(struct writer *w, const fr_slice *high)
{
    struct fr_table_meta meta;
    fr_status st;

    if (w->table == NULL) return FR_OK;
    FR_TRY(add_ranges(w, high));
    fr_table_builder_set_shadowed(w->table, w->options->shadowed_bytes + w->shadowed_bytes);
    FR_TRY(fr_table_builder_finish(w->table, &meta));
    st = keep_table(w, &meta);
    fr_table_meta_deinit(&meta);
    fr_table_builder_close(FR_TAKE(w->table));
out:
    return st;
}

static fr_status finish_values(struct writer *w)
{
    struct fr_version_values *values;
    struct fr_value_meta meta;
    fr_status st;

    if (w->values == NULL) return FR_OK;
    FR_TRY(fr_value_builder_finish(w->values, &meta));
    fr_value_builder_close(FR_TAKE(w->values));
    struct fr_edit_values edit = {.number = meta.id.number,
            .size = meta.file_size,
            .value_bytes = meta.bytes,
            .value_count = meta.count};
    fr_put_u64(edit.hash, meta.hash.low);
    fr_put_u64(edit.hash + 8, meta.hash.high);
    FR_TRY(fr_engine_open_values(w->engine, &edit, &values));
    w->output->bytes += meta.file_size;
    fr_engine_file_written(w->engine, FR_FILE_VALUES, edit.number, edit.size, 0);
    st = fr_version_change_add_values(&w->output->change, values);
    if (st < 0) fr_version_values_unref(values);
out:
    return st;
}

static bool must_rewrite(const struct writer *w, fr_slice place_bytes)
{
    struct fr_place place;

    if (w->options->victims == NULL || w->options->victims->count == 0) return false;
    return fr_place_get(place_bytes, &place) && fr_victims_have(w->options->victims, place.file);
}

static bool may_have(const struct fr_version *version, fr_slice key)
{
    uint64_t hash = fr_hash64(key);

    for (size_t i = 0; i < version->levels[0].count; i++)
        if (fr_table_may_contain(version->levels[0].tables[i]->table, hash)) return true;
    for (unsigned level = 1; level < FR_LEVEL_COUNT; level++) {
        size_t at = fr_version_find(&version->levels[level], key);
        if (at == version->levels[level].count) continue;
        if (fr_table_may_contain(version->levels[level].tables[at]->table, hash)) return true;
    }
    return false;
}

/* The mean size of a value, for a delete, which does not say what it shadows. */
static uint64_t mean_value(const struct fr_version *version)
{
    uint64_t bytes = 0, count = 0;

    for (size_t i = 0; i < version->values_count; i++) {
        bytes += version->values[i]->meta.value_bytes;
        count += version->values[i]->meta.value_count;
    }
    return count == 0 ? 0 : bytes / count;
}

/*
 * Now and then ask the filters whether there may be an older value of the key: that is garbage now,
 * which otherwise only a compaction could tell.
 */
static void estimate(struct writer *w, const struct fr_entry *entry)
{
    const struct fr_version *older = w->options->older;

    if (older == NULL || entry->kind == FR_KIND_APPEND) return;
    if (++w->sample_count < SAMPLE_ONE_IN) return;
    w->sample_count = 0;
    if (!may_have(older, entry->key)) return;
    uint64_t bytes = entry->kind == FR_KIND_PUT ? entry->value.size : mean_value(older);
    if (bytes >= w->engine->options.value_threshold) w->shadowed_bytes += SAMPLE_ONE_IN * bytes;
}

/* Put a value in the value file and its place in the entry. */
static fr_status place_value(struct writer *w, struct fr_entry *entry, uint8_t *place_bytes)
{
    struct fr_value_options options = {.compress = w->wanted.compress,
            .write_buffer_size = fr_engine_write_buffer(&w->wanted),
            .skip_verify = !w->wanted.verify_tables,
            .direct = w->wanted.direct_reads,
            .limiter = &w->engine->limiter,
            .urgent = w->options->origin == FR_TABLE_ORIGIN_FLUSH};
    struct fr_place place;
    fr_status st;

    if (w->values == NULL) {
        w->values_number = fr_engine_next_number(w->engine);
        struct fr_file_id id = fr_engine_file_id(w->engine, w->values_number);
        FR_TRY(fr_value_builder_open(w->engine->dir, &id, &options, &w->values));
    }
    FR_TRY(fr_value_builder_add(w->values, entry->key, entry->seq, entry->value, &place));
    entry->value = fr_slice_of(place_bytes, fr_place_put(place_bytes, &place));
    entry->flags |= FR_ENTRY_PLACED;
    if (w->options->origin == FR_TABLE_ORIGIN_COMPACTION &&
            fr_value_builder_size(w->values) >= w->engine->options.value_file_size)
        FR_TRY(finish_values(w));
out:
    return st;
}

/*
 * Compaction places only what it takes out of a dying value file. What else is inline there and
 * large was put together from fragments, and will be again: in a value file each time would leave
 * garbage.
 */
static fr_status add_entry(struct writer *w, const struct fr_entry *given)
{
    uint32_t threshold = w->wanted.value_threshold;
    bool may_place = w->options->origin != FR_TABLE_ORIGIN_COMPACTION;
    uint8_t place_bytes[FR_PLACE_SIZE_MAX];
    struct fr_entry copy = *given, *entry = &copy;
    fr_status st;

    estimate(w, entry);
    if ((entry->flags & FR_ENTRY_PLACED) && must_rewrite(w, entry->value)) {
        FR_COVER("output: a value leaves a file that is to be emptied");
        fr_buf_clear(&w->scratch);
        FR_TRY(w->options->fetch(w->options->fetch_ctx, entry, &w->scratch));
        entry->value = fr_buf_slice(&w->scratch);
        entry->flags &= (uint8_t)~FR_ENTRY_PLACED;
        may_place = true;
    }
    if (may_place && entry->kind == FR_KIND_PUT && !(entry->flags & FR_ENTRY_PLACED) &&
            threshold > 0 && entry->value.size >= threshold)
        FR_TRY(place_value(w, entry, place_bytes));
    st = fr_table_builder_add(w->table, entry);
out:
    return st;
}

/* Count the tables below that end before the key that comes. */
static void pass_grandparents(struct writer *w, fr_slice key)
{
    const struct fr_version_level *level = w->options->grandparents;

    w->at_grandparent = false;
    if (level == NULL) return;
    while (w->grandparent < level->count &&
            fr_version_is_before(&level->tables[w->grandparent]->meta, key)) {
        w->overlap += level->tables[w->grandparent++]->meta.size;
        w->at_grandparent = true;
    }
}

/*
 * Whether the open table is to end before this key: it is large enough; or it is half full and a
 * table below ends here, so that neither this one nor the next drags the other's along; or it
 * already overlaps more of the level below than one compaction should have to rewrite.
 */
static bool must_cut(struct writer *w, fr_slice key)
{
    uint64_t most = w->options->table_size, size;

    if (most == 0) return false;
    pass_grandparents(w, key);
    if (w->table == NULL) return false;
    size = fr_table_builder_size_estimate(w->table);
    if (size >= most) return true;
    if (!w->at_grandparent) return false;
    if (size >= most / 2) FR_COVER("output: cut at the end of a table below");
    if (w->overlap > FR_OVERLAP_TABLES * most)
        FR_COVER("output: cut for overlapping too much below");
    return size >= most / 2 || w->overlap > FR_OVERLAP_TABLES * most;
}

static fr_status cut(struct writer *w, fr_slice key)
{
    fr_status st;

    FR_TRY(finish_table(w, &key));
    fr_buf_clear(&w->low);
    fr_buf_append(&w->low, key.data, key.size);
    FR_TRY(fr_buf_status(&w->low));
    w->overlap = 0;
out:
    return st;
}

static fr_status write_all(struct writer *w, struct fr_fold *fold)
{
    struct fr_entry entry;
    fr_status st;

    while ((st = fr_fold_next(fold, &entry)) == FR_OK) {
        if (fr_fold_at_key_start(fold) && must_cut(w, entry.key)) FR_TRY(cut(w, entry.key));
        if (w->table == NULL) FR_TRY(open_table(w));
        FR_TRY(add_entry(w, &entry));
    }
    if (st < 0) goto out;
    if (w->table == NULL && fr_range_set_count(w->ranges) > 0) FR_TRY(open_table(w));
    FR_TRY(finish_table(w, NULL));
    FR_TRY(finish_values(w));
    /* The names, before an edit may name the files. */
    if (w->output->change.add_table_count > 0) FR_TRY(fr_dir_sync(w->engine->dir));
    st = FR_OK;
out:
    return st;
}

fr_status fr_output_write(struct fr_engine *engine, struct fr_fold *fold,
        const struct fr_fold_options *fold_options, const struct fr_output_options *options,
        struct fr_output *ret_output)
{
    struct fr_output output = {0};
    struct fr_range_set *ranges = NULL;
    struct writer w = {.engine = engine,
            .wanted = fr_engine_options_now(engine),
            .options = options,
            .output = &output};
    fr_status st;

    fr_engine_balance(engine);
    FR_TRY(fr_fold_ranges(fold_options, &ranges));
    w.ranges = ranges;
    FR_TRY(write_all(&w, fold));
    *ret_output = output;
    output = (struct fr_output){0};
out:
    fr_table_builder_close(w.table);
    fr_value_builder_close(w.values);
    fr_range_set_unref(ranges);
    fr_buf_deinit(&w.low);
    fr_buf_deinit(&w.scratch);
    fr_output_deinit(&output, false);
    return st;
}

void fr_output_deinit(struct fr_output *output, bool named)
{
    const struct fr_version_change *change = &output->change;

    for (size_t i = 0; i < change->add_table_count && !named; i++)
        atomic_store_explicit(&change->add_tables[i].table->dropped, true, memory_order_relaxed);
    for (size_t i = 0; i < change->add_values_count && !named; i++)
        atomic_store_explicit(&change->add_values[i]->dropped, true, memory_order_relaxed);
    fr_version_change_unref_added(change);
    fr_version_change_deinit(&output->change);
    *output = (struct fr_output){0};
}
