/*
 * repair_survey.c - what there is to repair a store from, and what is known to be missing.
 *
 * The manifest says which tables count and where the log begins. Where it cannot be read, all
 * tables in the directory are taken, and the log from the earliest place from which it can be read:
 * then what compaction had thrown away may be back, and that is told.
 *
 * The log is read up to the first damage. What is behind stays out even where it could be read: a
 * store is as of one moment, an earlier one if need be.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "io/dir.h"
#include "lsm/memtable.h"
#include "lsm/range_set.h"
#include "lsm/super.h"
#include "lsm/version.h"
#include "recovery/repair_priv.h"
#include "recovery/store_id.h"
#include "wal/file_name.h"
#include "wal/wal_reader.h"

/* --- Tables --- */

static fr_status find_version(struct fr_repair *r)
{
    const struct fr_loss loss = {.kind = FR_LOSS_HISTORY};
    fr_status st = fr_super_read(r->dir, &r->super);
    bool named = st == FR_OK;

    if (named) st = fr_manifest_replay(r->dir, &r->super, &r->obsolete, false, &r->state);
    if (st == FR_OK || st == FR_ERR_NOMEM || st == FR_ERR_TOO_NEW) return st;
    r->stats->history_lost = true;
    r->stats->damaged_files++;
    st = fr_repair_tell(r, &loss);
    if (st == FR_OK && !named) st = fr_store_id_guess(r->dir, r->super.store);
    return st;
}

static const char *words_or(const char *words, const char *other)
{
    return words[0] != '\0' ? words : other;
}

static fr_status tell_gaps(struct fr_repair *r, const struct fr_salvage *salvage)
{
    size_t count;
    const struct fr_gap *gaps = fr_salvage_gaps(salvage, &count);
    fr_status st = FR_OK;

    for (size_t i = 0; i < count; i++) {
        struct fr_loss loss = {.kind = FR_LOSS_KEYS,
                .key = gaps[i].low.size == 0 ? NULL : gaps[i].low.data,
                .key_size = gaps[i].low.size,
                .end = gaps[i].high.size == 0 ? NULL : gaps[i].high.data,
                .end_size = gaps[i].high.size,
                .seq = gaps[i].newest};
        (void)FR_FAIL(FR_ERR_CORRUPT, "%s",
                words_or(fr_salvage_words(salvage),
                        "a table has fewer entries than it should have"));
        FR_TRY(fr_repair_tell(r, &loss));
        r->stats->lost_spans++;
    }
out:
    return st;
}

/* Once through, so that its gaps are known. */
static fr_status survey_table(struct fr_repair *r, uint64_t number,
        const struct fr_edit_table *meta)
{
    struct fr_file_id id = {.store = {fr_get_u64(r->super.store), fr_get_u64(r->super.store + 8)},
            .number = number};
    struct fr_repair_source *source = &r->sources[r->source_count];
    struct fr_entry entry;
    fr_status st;

    FR_TRY(fr_salvage_open(r->dir, &id, meta, &source->salvage));
    r->source_count++;
    r->stats->files++;
    while ((st = fr_salvage_next(source->salvage, &entry)) == FR_OK) {
        r->state.last_seq = FR_MAX(r->state.last_seq, entry.seq);
        FR_TRY(fr_repair_count(r));
    }
    if (st < 0) return st;
    r->stats->damaged_files += fr_salvage_words(source->salvage)[0] != '\0';
    FR_TRY(tell_gaps(r, source->salvage));
out:
    return st;
}

static fr_status room_for_sources(struct fr_repair *r, size_t count)
{
    r->sources = fr_alloc_zeroed(count + 1, sizeof(*r->sources)); /* and the log */
    r->heap = fr_alloc_zeroed(count + 1, sizeof(struct fr_repair_source *));
    if (r->sources != NULL && r->heap != NULL) return FR_OK;
    return FR_FAIL(FR_ERR_NOMEM, "no memory for %zu tables", count);
}

static fr_status survey_version(struct fr_repair *r)
{
    const struct fr_version *version = r->state.version;
    size_t count = 0;
    fr_status st;

    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++) {
        count += version->levels[level].count;
        for (size_t i = 0; i < version->levels[level].count; i++)
            r->total_entries += r->walks * version->levels[level].tables[i]->meta.entry_count;
    }
    FR_TRY(room_for_sources(r, count));
    r->stats->files += version->values_count;
    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < version->levels[level].count; i++) {
            const struct fr_edit_table *meta = &version->levels[level].tables[i]->meta;
            FR_TRY(survey_table(r, meta->number, meta));
        }
out:
    return st;
}

static fr_status survey_directory(struct fr_repair *r)
{
    struct fr_dir_names names = {0};
    enum fr_file_kind kind;
    uint64_t number;
    fr_status st;

    FR_TRY(fr_dir_list(r->dir, &names));
    FR_TRY(room_for_sources(r, names.count));
    for (size_t i = 0; i < names.count; i++) {
        if (!fr_file_name_parse(names.names[i], &kind, &number)) continue;
        r->stats->files += kind == FR_FILE_VALUES;
        if (kind == FR_FILE_TABLE) FR_TRY(survey_table(r, number, NULL));
    }
    st = FR_OK;
out:
    fr_dir_names_deinit(&names);
    return st;
}

/* --- The log --- */

/* Sequence numbers leap at an ingest alone, whose table is known: else something is missing. */
static fr_status replay_batch(struct fr_repair *r, fr_slice batch, fr_seq first, fr_seq *last)
{
    struct fr_batch_reader reader;
    fr_status st;

    FR_TRY(fr_batch_verify(batch));
    FR_TRY(fr_batch_read(batch, first, false, &reader));
    if (first == 0 || first > *last + 1 || first > FR_SEQ_MAX - reader.count)
        return FR_FAIL(FR_ERR_CORRUPT,
                "%s: the log goes on with sequence number %" PRIu64
                ", what is known ends at %" PRIu64,
                fr_dir_path(r->dir), first, *last);
    FR_TRY(fr_memtable_reserve(r->log, batch.size, reader.count));
    FR_TRY(fr_memtable_insert_batch(r->log, batch, first));
    *last = FR_MAX(*last, first + reader.count - 1);
out:
    return st;
}

static fr_status replay(struct fr_repair *r, struct fr_wal_reader *reader, fr_seq *last)
{
    uint64_t first;
    fr_slice batch;
    fr_lsn lsn;
    fr_status st;

    while ((st = fr_wal_reader_next(reader, &batch, &first, &lsn)) == FR_OK)
        FR_TRY(replay_batch(r, batch, first, last));
    if (st == FR_END) st = FR_OK;
out:
    return st;
}

/* Where the segments begin, from the earliest on. */
static int compare_headers(const void *a, const void *b)
{
    const struct fr_wal_header *left = a, *right = b;

    return left->first < right->first ? -1 : left->first > right->first;
}

static bool read_header(struct fr_repair *r, const char *name, struct fr_wal_header *ret_header)
{
    uint8_t page[FR_WAL_HEADER_SIZE];
    struct fr_file *file;
    enum fr_file_kind kind;
    uint64_t number;

    if (!fr_file_name_parse(name, &kind, &number) || kind != FR_FILE_WAL) return false;
    if (fr_file_open(r->dir, name, 0, &file) < 0) return false;
    bool good = fr_file_read_exact(file, 0, page, sizeof(page)) == FR_OK &&
                fr_wal_header_decode(page, ret_header) == FR_OK && ret_header->number == number;
    fr_file_close(file);
    return good;
}

/* The earliest segment from which the log can be opened, where the manifest does not say. */
static fr_status open_earliest(struct fr_repair *r, struct fr_wal_reader_options *options,
        struct fr_wal_reader **ret_reader)
{
    struct fr_wal_header *headers = NULL;
    struct fr_dir_names names = {0};
    size_t count = 0;
    fr_status st;

    FR_TRY(fr_dir_list(r->dir, &names));
    headers = fr_alloc_zeroed(names.count + 1, sizeof(*headers));
    if (headers == NULL) FR_TRY(FR_FAIL(FR_ERR_NOMEM, "no memory to look for the log"));
    for (size_t i = 0; i < names.count; i++)
        count += read_header(r, names.names[i], &headers[count]);
    if (count > 0) qsort(headers, count, sizeof(*headers), compare_headers);
    st = FR_FAIL(FR_ERR_MISSING, "%s: no segment of the log can be read", fr_dir_path(r->dir));
    for (size_t i = 0; i < count && st < 0 && st != FR_ERR_NOMEM; i++) {
        options->start = headers[i].first;
        options->number = headers[i].number;
        st = fr_wal_reader_open(r->dir, options, ret_reader);
    }
out:
    fr_free(headers);
    fr_dir_names_deinit(&names);
    return st;
}

static fr_status tell_log(struct fr_repair *r, fr_seq last)
{
    struct fr_loss loss = {.kind = FR_LOSS_LOG, .seq = last + 1};

    r->stats->log_cut = true;
    r->stats->damaged_files++;
    return fr_repair_tell(r, &loss);
}

static fr_status survey_log(struct fr_repair *r)
{
    struct fr_wal_reader_options options = {.kind = FR_WAL_KIND_LOG,
            .start = r->state.log.start,
            .durable = r->state.log.durable,
            .number = r->state.log.number};
    struct fr_wal_reader *reader = NULL;
    fr_seq last = r->state.last_seq;
    fr_status st;

    memcpy(options.store, r->super.store, FR_STORE_ID_SIZE);
    r->stats->files++;
    FR_TRY(fr_memtable_new(SIZE_MAX / 4, NULL, &r->log));
    st = r->state.version != NULL ? fr_wal_reader_open(r->dir, &options, &reader)
                                  : open_earliest(r, &options, &reader);
    if (st >= 0) st = replay(r, reader, &last);
    if (st < 0 && st != FR_ERR_NOMEM) st = tell_log(r, last);
    FR_TRY(st);
    FR_TRY(fr_memtable_iter_new(r->log, false, &r->sources[r->source_count].log));
    r->source_count++;
out:
    fr_wal_reader_close(reader);
    return st;
}

/* --- What holds for all of them --- */

static fr_status gather_ranges(struct fr_repair *r)
{
    struct fr_buf all = FR_BUF_EMPTY;
    struct fr_range_set *of_log = NULL;
    fr_status st;

    for (size_t i = 0; i < r->source_count; i++) {
        size_t count = 0;
        const struct fr_range *ranges = r->sources[i].salvage == NULL
                                                ? NULL
                                                : fr_salvage_ranges(r->sources[i].salvage, &count);
        if (count > 0) fr_buf_append(&all, ranges, count * sizeof(*ranges));
    }
    FR_TRY(fr_buf_status(&all));
    FR_TRY(fr_memtable_ranges(r->log, &of_log));
    const struct fr_range_set *const sets[] = {of_log};
    FR_TRY(fr_range_set_merge(sets, 1, (const struct fr_range *)(const void *)all.data,
            all.size / sizeof(struct fr_range), &r->ranges));
out:
    fr_range_set_unref(of_log);
    fr_buf_deinit(&all);
    return st;
}

static fr_status gather_gaps(struct fr_repair *r)
{
    size_t count, all = 0;

    for (size_t i = 0; i < r->source_count; i++)
        if (r->sources[i].salvage != NULL) {
            (void)fr_salvage_gaps(r->sources[i].salvage, &count);
            all += count;
        }
    r->gaps = fr_alloc((all + 1) * sizeof(*r->gaps));
    if (r->gaps == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for what is lost");
    for (size_t i = 0; i < r->source_count; i++) {
        if (r->sources[i].salvage == NULL) continue;
        const struct fr_gap *gaps = fr_salvage_gaps(r->sources[i].salvage, &count);
        for (size_t k = 0; k < count; k++)
            r->gaps[r->gap_count++] = gaps[k];
    }
    return FR_OK;
}

fr_status fr_repair_survey(struct fr_repair *r)
{
    fr_status st;

    FR_TRY(find_version(r));
    FR_TRY(r->state.version != NULL ? survey_version(r) : survey_directory(r));
    FR_TRY(survey_log(r));
    FR_TRY(gather_ranges(r));
    FR_TRY(gather_gaps(r));
out:
    return st;
}
