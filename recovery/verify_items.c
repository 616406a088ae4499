/*
 * verify_items.c - every byte of tables and value files, and whether pointers lead to values.
 *
 * Value files are read first, and of each record is kept where it stands and a fingerprint of whose
 * it is. Then tables are read, and each pointer is looked up. So nothing is read twice, and no read
 * is a small one. If the records of all value files are too much for the memory that may be taken,
 * they are done in several walks: each takes as many value files as fit, and goes over those tables
 * again that point into them. Tables are small where values lie apart.
 *
 * In a value file that is damaged, pointers whose record was not seen are tried by a read each:
 * what cannot be found that way is what is lost, and is told with its key's table and place.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/thread.h"
#include "io/env.h"
#include "lsm/place.h"
#include "lsm/table.h"
#include "lsm/value_file.h"
#include "recovery/verify.h"
#include "recovery/verify_priv.h"
#include "spfresh/row_digest.h"

#define MEMORY_DEFAULT ((uint64_t)256 << 20)
#define THREADS_MAX    16

void fr_verify_found(struct fr_verify *v, struct fr_verify_item *item, fr_finding_kind kind,
        uint64_t offset, fr_status st)
{
    char name[FR_FILE_NAME_SIZE];

    if (st == FR_ERR_NOMEM) {
        atomic_store_explicit(&v->failed, st, memory_order_relaxed);
        return;
    }
    fr_file_name_format(item->kind, item->number, name);
    item->damaged = true;
    fr_findings_add(&v->findings, kind, st, name, offset, &item->told);
}

static bool is_stopped(const struct fr_verify *v)
{
    return v->stop != NULL && atomic_load_explicit(v->stop, memory_order_relaxed);
}

bool fr_verify_goes_on(const struct fr_verify *v)
{
    return atomic_load_explicit(&v->failed, memory_order_relaxed) == FR_OK && !is_stopped(v);
}

/* --- Value files --- */

/* One item and who looks at it. */
struct walk {
    struct fr_verify *v;
    struct fr_verify_item *item;
    fr_finding_kind kind; /* what a damaged block is told as */

    /* Of a table: what its entries point to, as far as it can be compared. */
    uint64_t entries;
    uint64_t placed_bytes;
    uint64_t placed_count;

    struct fr_row_digester *digester; /* of a value file; NULL: nobody asks */
};

static bool on_value_finding(void *ctx, uint64_t offset, fr_status st)
{
    struct walk *w = ctx;

    fr_verify_found(w->v, w->item, fr_finding_kind_of(st), offset, st);
    return fr_verify_goes_on(w->v) && st != FR_ERR_IO;
}

static bool on_record(void *ctx, const struct fr_value_item *record)
{
    struct walk *w = ctx;
    struct fr_verify_item *item = w->item;
    const struct fr_value_meta *meta = fr_value_file_meta(item->values);

    if (item->record_count < meta->count) {
        if (item->digests != NULL)
            item->digests[item->record_count] =
                    fr_row_digest(w->digester, record->key, record->value);
        item->records[item->record_count++] =
                (struct fr_known_value){.offset = record->place.offset,
                        .print = fr_known_print(record->key, record->seq, record->place.size)};
    }
    return fr_verify_goes_on(w->v);
}

/* For who reads the store afterwards. It may do without. */
static void begin_digests(struct walk *w, size_t count)
{
    const struct fr_verify_keep *keep = w->v->keep;

    if (keep == NULL || fr_row_digester_new(keep->digests, &w->digester) < 0) return;
    w->item->digests = fr_alloc((count + 1) * sizeof(*w->item->digests));
}

static void look_at_values(struct fr_verify *v, struct fr_verify_item *item)
{
    struct walk walk = {.v = v, .item = item};
    const struct fr_value_check check = {
            .finding = on_value_finding, .record = on_record, .ctx = &walk, .limiter = v->limiter};

    if (item->values == NULL) return;
    size_t count = (size_t)fr_value_file_meta(item->values)->count;
    item->records = fr_alloc((count + 1) * sizeof(*item->records));
    if (item->records == NULL) {
        fr_verify_found(v, item, FR_FINDING_DAMAGE, 0,
                FR_FAIL(FR_ERR_NOMEM, "no memory for the places of %zu values", count));
        return;
    }
    begin_digests(&walk, count);
    (void)!fr_value_check(item->values, &check); /* each failure was told */
    fr_row_digester_free(walk.digester);
    item->loaded = true;
    item->looked_at = true;
    atomic_fetch_add_explicit(&v->values, item->record_count, memory_order_relaxed);
}

static void forget_records(const struct fr_verify *v, struct fr_verify_item *item)
{
    if (v->keep != NULL)
        fr_known_keep(v->keep->known, item->number, FR_TAKE(item->records), FR_TAKE(item->digests),
                item->record_count);
    fr_free(FR_TAKE(item->records));
    item->record_count = 0;
    item->loaded = false;
}

/* --- Pointers --- */

static struct fr_verify_item *find_values(const struct fr_verify *v, uint64_t number)
{
    size_t low = 0, high = v->values_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (v->items[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    bool there = low < v->values_count && v->items[low].number == number;
    return there ? &v->items[low] : NULL;
}

static bool is_listed(const struct fr_verify_item *values, const struct fr_place *place,
        fr_slice key, fr_seq seq)
{
    const struct fr_known_value *found =
            fr_known_search(values->records, values->record_count, place->offset);

    return found != NULL && found->print == fr_known_print(key, seq, place->size);
}

/* The reader has the words for what is wrong with a place. */
static fr_status try_value(struct fr_verify_item *values, const struct fr_place *place,
        fr_slice key, fr_seq seq)
{
    struct fr_buf value = FR_BUF_EMPTY;
    fr_status st = fr_value_read(values->values, place, key, seq, &value);

    fr_buf_deinit(&value);
    return st;
}

static void look_up(struct walk *w, uint64_t offset, const struct fr_entry *entry)
{
    struct fr_place place;

    if (!fr_place_get(entry->value, &place)) return; /* told with its block */
    w->placed_bytes += place.size;
    w->placed_count++;
    struct fr_verify_item *values = find_values(w->v, place.file);
    if (values == NULL) {
        if (w->item->looked_at) return; /* it was told in the first walk */
        fr_verify_found(w->v, w->item, FR_FINDING_POINTER, offset,
                FR_FAIL(FR_ERR_MISSING,
                        "%s: an entry of the block at %" PRIu64
                        " has its value in value file %" PRIu64 ", which is not there",
                        fr_table_path(w->item->table), offset, place.file));
        return;
    }
    /* A file that cannot be opened has been told; one of another walk is looked at then. */
    if (values->values == NULL || !values->loaded ||
            is_listed(values, &place, entry->key, entry->seq))
        return;
    fr_status st = try_value(values, &place, entry->key, entry->seq);
    if (st < 0) fr_verify_found(w->v, w->item, FR_FINDING_POINTER, offset, st);
}

/* --- Tables --- */

static bool on_table_finding(void *ctx, uint64_t offset, fr_status st)
{
    struct walk *w = ctx;

    fr_verify_found(w->v, w->item, fr_finding_kind_of(st), offset, st);
    return fr_verify_goes_on(w->v);
}

/* What the manifest says of a table against what is in it. */
static void compare_entry(struct walk *w, uint64_t offset, const struct fr_entry *entry)
{
    const struct fr_edit_table *meta = w->item->table_meta;

    if (meta == NULL) return;
    if (entry->seq < meta->smallest_seq || entry->seq > meta->largest_seq ||
            (w->v->last_seq != 0 && entry->seq > w->v->last_seq) ||
            fr_slice_compare(entry->key, meta->smallest) < 0 ||
            fr_slice_compare(entry->key, meta->largest) > 0)
        fr_verify_found(w->v, w->item, FR_FINDING_DISAGREE, offset,
                FR_FAIL(FR_ERR_CORRUPT,
                        "%s: an entry of the block at %" PRIu64 ", sequence number %" PRIu64
                        ", is outside of what the manifest says of the table",
                        fr_table_path(w->item->table), offset, entry->seq));
}

static bool on_entry(void *ctx, uint64_t offset, const struct fr_entry *entry)
{
    struct walk *w = ctx;

    w->entries++;
    compare_entry(w, offset, entry);
    if (entry->flags & FR_ENTRY_PLACED) look_up(w, offset, entry);
    return fr_verify_goes_on(w->v);
}

static void compare_figures(struct fr_verify *v, struct fr_verify_item *item)
{
    const struct fr_table_properties *own = fr_table_properties(item->table);
    const struct fr_edit_table *meta = item->table_meta;
    size_t refs = fr_table_value_ref_count(own);

    if (meta == NULL) return;
    bool same = meta->entry_count == fr_table_entry_count(own) &&
                meta->delete_count == own->delete_count && meta->range_count == own->range_count &&
                meta->append_count == own->append_count && meta->ref_count == refs &&
                meta->smallest_seq == own->seq_least && meta->largest_seq == own->seq_most &&
                fr_slice_equal(meta->smallest, fr_buf_slice(&own->smallest)) &&
                fr_slice_equal(meta->largest, fr_buf_slice(&own->largest));
    for (size_t i = 0; same && i < refs; i++) {
        const struct fr_value_ref *ref = &fr_table_value_refs(own)[i];
        same = meta->refs[i].file == ref->file && meta->refs[i].bytes == ref->bytes &&
               meta->refs[i].count == ref->count;
    }
    if (same) return;
    fr_verify_found(v, item, FR_FINDING_DISAGREE, 0,
            FR_FAIL(FR_ERR_CORRUPT, "%s: the manifest says other figures of it than it does itself",
                    fr_table_path(item->table)));
}

/* What the properties say of pointers against the entries, if all of those could be read. */
static void compare_pointers(const struct walk *w)
{
    const struct fr_table_properties *own = fr_table_properties(w->item->table);
    uint64_t bytes = 0, count = 0;

    for (size_t i = 0; i < fr_table_value_ref_count(own); i++) {
        bytes += fr_table_value_refs(own)[i].bytes;
        count += fr_table_value_refs(own)[i].count;
    }
    if (w->item->damaged || (bytes == w->placed_bytes && count == w->placed_count)) return;
    fr_verify_found(w->v, w->item, FR_FINDING_DISAGREE, 0,
            FR_FAIL(FR_ERR_CORRUPT,
                    "%s: has %" PRIu64 " values elsewhere, its properties say %" PRIu64,
                    fr_table_path(w->item->table), w->placed_count, count));
}

/* The pointers of a table that was looked at before: its blocks are known to be whole, or told. */
static void walk_again(struct walk *w)
{
    const struct fr_table_iter_options how = {.readahead_max = (size_t)1 << 20};
    struct fr_iter *it = NULL;
    fr_status st = fr_table_iter_new(w->item->table, &how, &it);

    while (st == FR_OK && fr_verify_goes_on(w->v) && (st = fr_iter_next(it)) == FR_OK)
        if (it->entry.flags & FR_ENTRY_PLACED) look_up(w, 0, &it->entry);
    if (st == FR_ERR_NOMEM) fr_verify_found(w->v, w->item, FR_FINDING_DAMAGE, 0, st);
    fr_iter_close(it);
}

static void look_at_table(struct fr_verify *v, struct fr_verify_item *item)
{
    struct walk walk = {.v = v, .item = item};
    const struct fr_table_check check = {
            .finding = on_table_finding, .entry = on_entry, .ctx = &walk, .limiter = v->limiter};

    if (item->table == NULL) return;
    if (item->looked_at) {
        walk_again(&walk);
        return;
    }
    compare_figures(v, item);
    (void)!fr_table_check(item->table, &check); /* each failure was told */
    if (fr_verify_goes_on(v)) compare_pointers(&walk);
    item->looked_at = true;
    atomic_fetch_add_explicit(&v->entries, walk.entries, memory_order_relaxed);
}

/* --- Progress --- */

static uint64_t size_of(const struct fr_verify_item *item)
{
    if (item->table != NULL) return fr_table_file_size(item->table);
    return item->values != NULL ? fr_value_file_meta(item->values)->file_size : 0;
}

static void count_bytes(struct fr_verify *v)
{
    for (size_t i = 0; i < v->item_count; i++)
        v->total_bytes += size_of(&v->items[i]);
}

/* By the thread that has called. */
static void tell_progress(struct fr_verify *v)
{
    uint64_t done = atomic_load_explicit(&v->done_bytes, memory_order_relaxed);

    if (v->how->progress == NULL || v->how->progress(v->how->ctx, done, v->total_bytes)) return;
    atomic_store_explicit(&v->failed, FR_ERR_CANCELLED, memory_order_relaxed);
}

/* --- By several threads --- */

struct crew {
    struct fr_verify *v;
    size_t first; /* items from here up to, but without, end */
    size_t end;
    _Atomic(size_t) next;
    bool (*wanted)(const struct fr_verify *v, const struct fr_verify_item *item);
};

static void look_at(struct fr_verify *v, struct fr_verify_item *item)
{
    bool again = item->looked_at;

    if (item->kind == FR_FILE_VALUES)
        look_at_values(v, item);
    else
        look_at_table(v, item);
    if (!again) atomic_fetch_add_explicit(&v->done_bytes, size_of(item), memory_order_relaxed);
}

static void work_and_tell(struct crew *crew, bool tells)
{
    struct fr_verify *v = crew->v;
    size_t i;

    while (fr_verify_goes_on(v) &&
            (i = atomic_fetch_add_explicit(&crew->next, 1, memory_order_relaxed)) < crew->end) {
        struct fr_verify_item *item = &v->items[i];
        if (crew->wanted != NULL && !crew->wanted(v, item)) continue;
        look_at(v, item);
        if (tells) tell_progress(v);
    }
}

static void work(void *arg)
{
    work_and_tell(arg, false);
}

static unsigned thread_count(const struct fr_verify *v, size_t items)
{
    unsigned wanted = v->how->threads;

    if (wanted == 0) wanted = FR_MIN(fr_thread_cpu_count(), 2u);
    wanted = FR_MIN(wanted, (unsigned)THREADS_MAX);
    return items < wanted ? (unsigned)items + (items == 0) : wanted;
}

/* This thread is one of the crew; so it gets done also where the system refuses another one. */
static fr_status run_crew(struct fr_verify *v, size_t first, size_t end,
        bool (*wanted)(const struct fr_verify *v, const struct fr_verify_item *item))
{
    struct crew crew = {.v = v, .first = first, .end = end, .wanted = wanted};
    unsigned count = thread_count(v, end - first) - 1;
    struct fr_thread threads[THREADS_MAX] = {0};

    atomic_init(&crew.next, first);
    for (unsigned i = 0; i < count; i++)
        if (fr_thread_start(&threads[i], "freshet-verify", work, &crew) < 0) break;
    work_and_tell(&crew, true);
    for (unsigned i = 0; i < count; i++)
        fr_thread_join(&threads[i]);
    fr_status st = atomic_load_explicit(&v->failed, memory_order_relaxed);
    if (st == FR_ERR_CANCELLED) return FR_FAIL(st, "given up by who is told of progress");
    if (st < 0) return FR_FAIL(st, "no memory to verify %s", "all files");
    if (is_stopped(v)) return FR_FAIL(FR_ERR_CANCELLED, "stopped before all files were verified");
    fr_findings_sort(&v->findings); /* it does not matter which thread was faster */
    return fr_findings_tell(&v->findings, v->how);
}

/* --- In as many walks as it takes --- */

/* The end of a run of value files, from first on, whose records fit; one at least. */
static size_t fill_memory(const struct fr_verify *v, size_t first)
{
    uint64_t room = v->how->memory != 0 ? v->how->memory : MEMORY_DEFAULT, taken = 0;
    size_t i = first;

    for (; i < v->values_count; i++) {
        const struct fr_verify_item *item = &v->items[i];
        if (item->values == NULL) continue;
        taken += fr_value_file_meta(item->values)->count * sizeof(struct fr_known_value);
        if (taken > room && i > first) break;
    }
    return i;
}

/* Whether a table is to be walked over now: it points into what is loaded, or it is new. */
static bool points_to_loaded(const struct fr_verify *v, const struct fr_verify_item *item)
{
    if (item->table == NULL) return false;
    if (!item->looked_at) return true;
    const struct fr_table_properties *own = fr_table_properties(item->table);
    for (size_t i = 0; i < fr_table_value_ref_count(own); i++) {
        const struct fr_verify_item *values = find_values(v, fr_table_value_refs(own)[i].file);
        if (values != NULL && values->loaded) return true;
    }
    return false;
}

fr_status fr_verify_items(struct fr_verify *v)
{
    size_t first = 0, end;
    fr_status st;

    count_bytes(v);
    do {
        end = fill_memory(v, first);
        FR_TRY(run_crew(v, first, end, NULL));
        FR_TRY(run_crew(v, v->values_count, v->item_count, points_to_loaded));
        for (; first < end; first++)
            forget_records(v, &v->items[first]);
    } while (end < v->values_count);
out:
    return st;
}
