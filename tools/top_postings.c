#include "tools/top_postings.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "io/dir.h"
#include "lsm/batch.h"
#include "lsm/place.h"
#include "lsm/table.h"
#include "lsm/value_file.h"
#include "wal/wal_reader.h"

/* Numbers are slots, handed out from 0 on; one beyond belongs to no index that was ever made. */
#define NUMBER_MAX ((uint32_t)1 << 23)

/* Keys that begin alike. */
struct kind {
    struct fr_index_key key;
    fr_seq dropped; /* a range delete of them: older entries say nothing */
};

struct top {
    struct fr_dir *dir;
    const struct fr_super *super;
    const struct fr_manifest_state *manifest;
    struct fr_index_key prefix; /* of all keys of the index */
    uint32_t generation;        /* of postings and centroids */
    struct kind settings, space, postings, centroids;
    fr_seq dropped;            /* the index was dropped there: older entries say nothing */
    struct fr_buf slots;       /* struct fr_top_posting, by number */
    struct fr_buf options;     /* the value, once it is found */
    struct fr_buf calibration; /* and that of the space, which says which generation counts */
    size_t dims;               /* of centroids; 0: not known yet */
    struct fr_buf log;         /* batches that are in no table, one behind the other */
    struct fr_buf batches;     /* struct batch: these */
};

/* A batch of the log. */
struct batch {
    size_t at, size;
    fr_seq first_seq;
};

/* ---- What an entry says ---- */

static struct fr_top_posting *slot_of(struct top *t, uint32_t number)
{
    size_t size = ((size_t)number + 1) * sizeof(struct fr_top_posting);

    if (number >= NUMBER_MAX) return NULL;
    if (size > t->slots.size) fr_buf_append_zeros(&t->slots, size - t->slots.size);
    if (t->slots.failed) return NULL;
    return (struct fr_top_posting *)(void *)t->slots.data + number;
}

static uint64_t value_size(const struct fr_entry *entry)
{
    struct fr_place place;

    if (!(entry->flags & FR_ENTRY_PLACED)) return entry->value.size;
    return fr_place_get(entry->value, &place) ? place.size : 0;
}

/* Entries of a posting come from the newest on. */
static void take_posting(struct top *t, const struct fr_entry *entry, uint32_t number)
{
    struct fr_top_posting *p = slot_of(t, number);

    if (p == NULL || p->complete) return;
    p->number = number;
    if (entry->kind == FR_KIND_DELETE) {
        p->gone = p->bytes == 0;
    } else {
        p->bytes += value_size(entry);
    }
    p->complete = entry->kind != FR_KIND_APPEND;
}

/* A value as it was put, in memory if it lies in a value file. */
static fr_status value_of(struct top *t, const struct fr_entry *entry, struct fr_buf *memory,
        fr_slice *ret_value)
{
    struct fr_file_id id;
    struct fr_value_file *file = NULL;
    struct fr_place place;
    fr_status st = FR_OK;

    *ret_value = entry->value;
    if (!(entry->flags & FR_ENTRY_PLACED)) return FR_OK;
    if (!fr_place_get(entry->value, &place) || place.file == 0)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: an entry's place of its value makes no sense",
                fr_dir_path(t->dir));
    id = (struct fr_file_id){
            .store = {fr_get_u64(t->super->store), fr_get_u64(t->super->store + 8)},
            .number = place.file};
    FR_TRY(fr_value_file_open(t->dir, &id, &file));
    FR_TRY(fr_value_read(file, &place, entry->key, entry->seq, memory));
    *ret_value = fr_buf_slice(memory);
out:
    fr_value_file_unref(file);
    return st;
}

/* One that lies in a value file costs a transfer; they do only where rows are of many dimensions.
 */
static fr_status take_centroid(struct top *t, const struct fr_entry *entry, uint32_t number)
{
    struct fr_top_posting *p = slot_of(t, number);
    struct fr_buf memory = FR_BUF_EMPTY;
    struct fr_stored_centroid centroid;
    fr_slice value;
    fr_status st = FR_OK;

    if (p == NULL || p->has_radius) return FR_OK;
    p->has_radius = true;
    if (entry->kind != FR_KIND_PUT) return FR_OK;
    FR_TRY(value_of(t, entry, &memory, &value));
    FR_TRY(fr_stored_read_centroid(value, t->dims, &centroid));
    p->written = centroid.count;
    p->radius = centroid.radius;
out:
    fr_buf_deinit(&memory);
    return st;
}

/* The newest that was put; of a space that was given up since, the one before that. */
static fr_status take_value(struct top *t, const struct fr_entry *entry, struct fr_buf *to)
{
    struct fr_buf memory = FR_BUF_EMPTY;
    fr_slice value;
    fr_status st = FR_OK;

    if (to->size > 0 || entry->kind != FR_KIND_PUT) return FR_OK;
    FR_TRY(value_of(t, entry, &memory, &value));
    fr_buf_append(to, value.data, value.size);
    st = fr_buf_status(to);
out:
    fr_buf_deinit(&memory);
    return st;
}

static fr_status take_entry(struct top *t, const struct kind *kind, const struct fr_entry *entry)
{
    uint32_t number;

    if (entry->seq < kind->dropped || entry->kind == FR_KIND_DELETE_RANGE) return FR_OK;
    if (kind == &t->settings) return take_value(t, entry, &t->options);
    if (kind == &t->space) return take_value(t, entry, &t->calibration);
    fr_status st = fr_key_read_number(&kind->key, entry->key, &number);
    if (st < 0) return st;
    if (kind == &t->centroids) return take_centroid(t, entry, number);
    take_posting(t, entry, number);
    return fr_buf_status(&t->slots);
}

static bool begins_so(fr_slice key, const struct kind *kind)
{
    return key.size >= kind->key.size && memcmp(key.data, kind->key.bytes, kind->key.size) == 0;
}

/* ---- The log ---- */

static fr_status read_log(struct top *t)
{
    const struct fr_edit_log *log = &t->manifest->log;
    struct fr_wal_reader_options options = {.kind = FR_WAL_KIND_LOG,
            .flags = FR_WAL_READ_FOLLOW, /* there may be a writer */
            .start = log->start,
            .durable = log->durable,
            .number = log->number};
    struct fr_wal_reader *reader = NULL;
    struct batch batch = {.size = 0};
    fr_slice payload;
    fr_lsn lsn;
    fr_status st;

    memcpy(options.store, t->super->store, FR_STORE_ID_SIZE);
    FR_TRY(fr_wal_reader_open(t->dir, &options, &reader));
    while ((st = fr_wal_reader_next(reader, &payload, &batch.first_seq, &lsn)) == FR_OK) {
        batch.at = t->log.size;
        batch.size = payload.size;
        fr_buf_append(&t->log, payload.data, payload.size);
        fr_buf_append(&t->batches, &batch, sizeof(batch));
        if (t->log.failed || t->batches.failed)
            FR_TRY(FR_FAIL(FR_ERR_NOMEM, "%s: no memory for the log", fr_dir_path(t->dir)));
    }
    if (st == FR_END) st = FR_OK;
out:
    fr_wal_reader_close(reader);
    return st;
}

/* The entries of a batch that are of a kind, the newest first. */
static fr_status take_batch(struct top *t, const struct batch *batch, const struct kind *kind)
{
    struct fr_buf entries = FR_BUF_EMPTY;
    struct fr_batch_reader reader;
    struct fr_entry entry;
    fr_status st;

    if (batch->size == 0) return FR_OK;
    FR_TRY(fr_batch_read(fr_slice_of(t->log.data + batch->at, batch->size), batch->first_seq, false,
            &reader));
    while ((st = fr_batch_read_next(&reader, &entry)) == FR_OK)
        if (begins_so(entry.key, kind)) fr_buf_append(&entries, &entry, sizeof(entry));
    if (st < 0) goto out;
    FR_TRY(fr_buf_status(&entries));
    for (size_t i = entries.size / sizeof(entry); i > 0; i--)
        FR_TRY(take_entry(t, kind, (const struct fr_entry *)(const void *)entries.data + (i - 1)));
    st = FR_OK;
out:
    fr_buf_deinit(&entries);
    return st;
}

static fr_status take_log(struct top *t, const struct kind *kind)
{
    const struct batch *batches = (const struct batch *)(const void *)t->batches.data;
    fr_status st = FR_OK;

    for (size_t i = t->batches.size / sizeof(*batches); i > 0 && st == FR_OK; i--)
        st = take_batch(t, &batches[i - 1], kind);
    return st;
}

/* ---- Tables ---- */

static fr_status open_table(const struct top *t, const struct fr_version_table *table,
        struct fr_table **ret_table)
{
    struct fr_file_id id = {.store = {fr_get_u64(t->super->store), fr_get_u64(t->super->store + 8)},
            .number = table->meta.number};

    return fr_table_open(t->dir, &id, NULL, ret_table);
}

static fr_status take_entries(struct top *t, struct fr_iter *it, const struct kind *kind)
{
    fr_status st;

    fr_iter_seek(it, fr_index_key_slice(&kind->key), FR_SEQ_MAX);
    while ((st = fr_iter_next(it)) == FR_OK && begins_so(it->entry.key, kind))
        FR_TRY(take_entry(t, kind, &it->entry));
    if (st == FR_END) st = FR_OK;
out:
    return st;
}

/* ---- The lowest level, where nearly all of them are and nothing lies beneath. A block in which
 * only one posting can be holds that one's only entry, so it need not be read: its size says how
 * long the value is. What a block has beside that, the first one of a table tells. ---- */

/* A block that is smaller may hold the place of a value that lies elsewhere. */
#define ALONE_LEAST 1024

/* What lies beside a value varies by the bytes of its length; so many at most. */
#define BESIDE_VARIES 2

struct walk {
    struct top *t;
    struct fr_table *table;
    struct fr_iter *it;
    size_t first, last; /* blocks that may hold other kinds, too */
    uint64_t beside;    /* bytes; 0: not known yet */
};

/* FR_NOT_FOUND: the table has no block for that number, nor for those above. */
static fr_status block_of(const struct walk *w, uint32_t number, struct fr_table_spot *ret_spot)
{
    struct fr_index_key key = fr_key_posting(&w->t->prefix, w->t->generation, number);

    return fr_table_locate(w->table, fr_index_key_slice(&key), FR_SEQ_MAX, ret_spot);
}

static bool is_alone(const struct walk *w, const struct fr_table_spot *spot)
{
    return spot->index > w->first && spot->index < w->last && !spot->goes_on &&
           !fr_table_spot_at(w->table, spot->index - 1).goes_on && spot->handle.size >= ALONE_LEAST;
}

/* Entries from one number up to, but without, another. */
static fr_status read_run(struct walk *w, uint32_t from, uint64_t to)
{
    const struct kind *kind = &w->t->postings;
    struct fr_index_key key = fr_key_posting(&w->t->prefix, w->t->generation, from);
    uint32_t number;
    fr_status st;

    fr_iter_seek(w->it, fr_index_key_slice(&key), FR_SEQ_MAX);
    while ((st = fr_iter_next(w->it)) == FR_OK && begins_so(w->it->entry.key, kind)) {
        FR_TRY(fr_key_read_number(&kind->key, w->it->entry.key, &number));
        if (number >= to) break;
        FR_TRY(take_entry(w->t, kind, &w->it->entry));
    }
    if (st == FR_END) st = FR_OK;
out:
    return st;
}

static fr_status take_alone(struct walk *w, uint32_t number, uint64_t block_size)
{
    struct fr_top_posting *p = slot_of(w->t, number);
    fr_status st;

    if (w->beside == 0) {
        uint64_t before = p == NULL ? 0 : p->bytes;
        FR_TRY(read_run(w, number, (uint64_t)number + 1));
        uint64_t value = p == NULL ? 0 : p->bytes - before;
        if (value > 0 && value < block_size) w->beside = block_size - value + BESIDE_VARIES;
        return FR_OK;
    }
    if (p == NULL || p->complete) return FR_OK;
    p->number = number;
    p->bytes += block_size > w->beside ? block_size - w->beside : 0;
    p->complete = true;
    st = FR_OK;
out:
    return st;
}

/* Numbers that one block would hold, if they are there, go together. */
static fr_status take_blocks(struct walk *w, uint32_t from)
{
    struct fr_table_spot spot, next;
    uint64_t to;
    fr_status st = FR_OK;

    for (uint64_t number = from; number < NUMBER_MAX; number = to) {
        if (block_of(w, (uint32_t)number, &spot) != FR_OK) return FR_OK;
        if (spot.index >= w->last) return read_run(w, (uint32_t)number, NUMBER_MAX);
        to = number + 1;
        while (to < NUMBER_MAX && block_of(w, (uint32_t)to, &next) == FR_OK &&
                next.index == spot.index)
            to++;
        FR_TRY(to == number + 1 && is_alone(w, &spot)
                        ? take_alone(w, (uint32_t)number, spot.handle.size)
                        : read_run(w, (uint32_t)number, to));
    }
out:
    return st;
}

static fr_status take_lowest(struct top *t, const struct fr_version_table *which,
        struct fr_table *table, struct fr_iter *it)
{
    struct fr_index_key behind = fr_key_behind(&t->postings.key);
    struct walk w = {.t = t, .table = table, .it = it, .last = fr_table_block_count(table)};
    struct fr_table_spot spot;
    uint32_t from = 0;
    fr_status st;

    if (begins_so(which->meta.smallest, &t->postings))
        FR_TRY(fr_key_read_number(&t->postings.key, which->meta.smallest, &from));
    st = block_of(&w, from, &spot);
    if (st != FR_OK) return FR_OK;
    w.first = spot.index;
    if (fr_table_locate(table, fr_index_key_slice(&behind), FR_SEQ_MAX, &spot) == FR_OK)
        w.last = spot.index;
    st = take_blocks(&w, from);
out:
    return st;
}

/* All of a table must count, as nobody looks at single entries. */
static bool is_lowest(const struct top *t, const struct fr_version_table *which, unsigned level)
{
    for (unsigned below = level + 1; below < FR_LEVEL_COUNT; below++)
        if (t->manifest->version->levels[below].count > 0) return false;
    return level > 0 && which->meta.smallest_seq > t->postings.dropped;
}

static fr_status take_table(struct top *t, unsigned level, const struct fr_version_table *which,
        const struct kind *kind)
{
    struct fr_index_key behind = fr_key_behind(&kind->key);
    struct fr_table *table = NULL;
    struct fr_iter *it = NULL;
    fr_status st = FR_OK;

    if (fr_slice_compare(which->meta.largest, fr_index_key_slice(&kind->key)) < 0 ||
            fr_slice_compare(which->meta.smallest, fr_index_key_slice(&behind)) >= 0)
        return FR_OK;
    FR_TRY(open_table(t, which, &table));
    FR_TRY(fr_table_iter_new(table, NULL, &it));
    if (kind == &t->postings && is_lowest(t, which, level))
        FR_TRY(take_lowest(t, which, table, it));
    else
        FR_TRY(take_entries(t, it, kind));
    st = fr_buf_status(&t->slots);
out:
    fr_iter_close(it);
    fr_table_unref(table);
    return st;
}

/* All entries of a kind, each key's from the newest on. */
static fr_status take_all(struct top *t, const struct kind *kind)
{
    const struct fr_version *version = t->manifest->version;
    fr_status st;

    FR_TRY(take_log(t, kind));
    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < version->levels[level].count; i++)
            FR_TRY(take_table(t, level, version->levels[level].tables[i], kind));
out:
    return st;
}

/* ---- Range deletes: of all of an index, or of what is derived, before that is made anew ---- */

static void take_range_of(struct kind *kind, fr_slice start, fr_slice end, fr_seq seq)
{
    fr_slice key = fr_index_key_slice(&kind->key);

    if (fr_slice_compare(start, key) <= 0 && fr_slice_compare(key, end) < 0 && seq > kind->dropped)
        kind->dropped = seq;
}

static void take_range(struct top *t, fr_slice start, fr_slice end, fr_seq seq)
{
    take_range_of(&t->settings, start, end, seq);
    take_range_of(&t->space, start, end, seq);
    take_range_of(&t->postings, start, end, seq);
    take_range_of(&t->centroids, start, end, seq);
}

static fr_status find_drop_in_table(struct top *t, const struct fr_version_table *which)
{
    struct fr_table *table = NULL;
    const struct fr_range *ranges;
    size_t count;
    fr_status st = FR_OK;

    if (which->meta.range_count == 0) return FR_OK;
    FR_TRY(open_table(t, which, &table));
    ranges = fr_table_ranges(table, &count);
    for (size_t i = 0; i < count; i++)
        take_range(t, ranges[i].start, ranges[i].end, ranges[i].seq);
out:
    fr_table_unref(table);
    return st;
}

static fr_status find_drop_in_batch(struct top *t, const struct batch *batch)
{
    struct fr_batch_reader reader;
    struct fr_entry entry;
    fr_status st;

    if (batch->size == 0) return FR_OK;
    FR_TRY(fr_batch_read(fr_slice_of(t->log.data + batch->at, batch->size), batch->first_seq, false,
            &reader));
    while ((st = fr_batch_read_next(&reader, &entry)) == FR_OK)
        if (entry.kind == FR_KIND_DELETE_RANGE) take_range(t, entry.key, entry.value, entry.seq);
    if (st == FR_END) st = FR_OK;
out:
    return st;
}

static fr_status find_drop(struct top *t)
{
    const struct batch *batches = (const struct batch *)(const void *)t->batches.data;
    const struct fr_version *version = t->manifest->version;
    fr_status st = FR_OK;

    for (size_t i = 0; i < t->batches.size / sizeof(*batches); i++)
        FR_TRY(find_drop_in_batch(t, &batches[i]));
    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < version->levels[level].count; i++)
            FR_TRY(find_drop_in_table(t, version->levels[level].tables[i]));
out:
    return st;
}

/* ---- The whole ---- */

static fr_status read_options(struct top *t, struct fr_top_index *index)
{
    struct fr_space space = {.dims = 0};
    fr_status st;

    FR_TRY(take_all(t, &t->settings));
    if (t->options.size == 0) return FR_OK;
    FR_TRY(fr_stored_read_options(fr_buf_slice(&t->options), &index->options));
    FR_TRY(fr_space_init(&space, index->options.metric, index->options.dimension,
            index->options.seed));
    t->dims = space.dims;
    index->exists = true;
out:
    fr_space_deinit(&space);
    return st;
}

/* Only postings of the generation that counts are told. */
static fr_status read_generation(struct top *t)
{
    uint32_t generation = FR_GENERATION_FIRST;
    fr_status st;

    FR_TRY(take_all(t, &t->space));
    if (t->calibration.size > 0)
        FR_TRY(fr_stored_read_generation(fr_buf_slice(&t->calibration), &generation));
    t->generation = generation;
    t->postings.key = fr_key_generation(&t->prefix, 'p', generation);
    t->centroids.key = fr_key_generation(&t->prefix, 'c', generation);
out:
    return st;
}

static fr_status sum_up(struct top *t, struct fr_top_index *index)
{
    struct fr_top_posting *slots = (struct fr_top_posting *)(void *)t->slots.data;
    uint64_t size = fr_stored_came_size(t->dims);

    for (size_t i = 0; i < t->slots.size / sizeof(*slots); i++) {
        struct fr_top_posting *p = &slots[i];

        if (p->gone || (p->bytes == 0 && !p->complete)) continue;
        p->rows = (uint32_t)FR_MIN((p->bytes + size - 1) / size, (uint64_t)UINT32_MAX);
        p->changed = p->rows > p->written ? p->rows - p->written : 0;
        fr_buf_append(&index->postings, p, sizeof(*p));
        index->bytes += p->bytes;
        index->rows += p->rows;
        index->changed += p->changed;
    }
    return fr_buf_status(&index->postings);
}

static void top_deinit(struct top *t)
{
    fr_buf_deinit(&t->slots);
    fr_buf_deinit(&t->options);
    fr_buf_deinit(&t->calibration);
    fr_buf_deinit(&t->log);
    fr_buf_deinit(&t->batches);
}

fr_status fr_top_index_read(struct fr_dir *dir, const struct fr_super *super,
        const struct fr_manifest_state *manifest, const char *name, struct fr_top_index *ret_index)
{
    struct top t = {.dir = dir, .super = super, .manifest = manifest};
    fr_status st;

    FR_TRY(fr_index_name_check(name));
    fr_key_prefix(name, &t.prefix);
    t.settings.key = fr_key_options(&t.prefix);
    t.space.key = fr_key_space(&t.prefix);
    FR_TRY(read_log(&t));
    FR_TRY(find_drop(&t));
    FR_TRY(read_generation(&t));
    FR_TRY(find_drop(&t)); /* of that generation */
    FR_TRY(read_options(&t, ret_index));
    if (!ret_index->exists) goto out;
    FR_TRY(take_all(&t, &t.postings));
    FR_TRY(take_all(&t, &t.centroids));
    FR_TRY(sum_up(&t, ret_index));
out:
    top_deinit(&t);
    return st;
}

void fr_top_index_deinit(struct fr_top_index *index)
{
    fr_buf_deinit(&index->postings);
}
