#include "wal/wal_writer.h"

#include <inttypes.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/cover.h"
#include "base/museum.h"
#include "base/mutex.h"
#include "io/dir.h"
#include "io/map.h"
#include "wal/wal_segment.h"

struct fr_wal_writer {
    /* Constant after open. */
    struct fr_dir *dir;
    struct fr_wal_writer_options options;
    uint32_t payload_max;
    fr_lsn start;
    uint64_t first_number;

    struct fr_mutex mu;     /* rank FR_RANK_WAL */
    struct fr_cond changed; /* syncing or preparing has become false */

    /* Guarded by mu. */
    struct fr_wal_segment *segments; /* in use, oldest first; the last one is current */
    struct fr_wal_segment *unsynced; /* of them, the oldest that may not be durable */
    struct fr_wal_segment *current;
    struct fr_wal_segment *blank; /* the next ones, in their order, or NULL */
    unsigned blank_count;
    struct fr_wal_segment *spares;
    unsigned spare_count;
    uint64_t file_bytes; /* of all files */
    bool syncing;        /* one thread is, from `unsynced` on: these stay in the list */
    bool preparing;      /* one thread makes a blank */
    bool begun;          /* the current segment's header is durable */
    bool sealed;         /* there is no more to come */
    bool failed;         /* for good; failure says why */
    fr_lsn marked;       /* the latest `durable` of any group */
    struct fr_error failure;

    /* Written under mu with release, read without it with acquire: what is before them is done. */
    _Atomic(uint64_t) end;
    _Atomic(uint64_t) durable;
};

/* ---- failing ----------------------------------------------------------------------------------
 */

/* Every way into the log asks this first. */
static fr_status check_locked(const struct fr_wal_writer *w) FR_REQUIRES(w->mu)
{
    if (FR_UNLIKELY(w->failed))
        return fr_error_set(FR_ERR_POISONED, w->failure.os_error, __FILE__, __LINE__,
                "%s: the log takes nothing any more since: %.300s", fr_dir_path(w->dir),
                w->failure.text);
    if (FR_UNLIKELY(w->sealed))
        return FR_FAIL(FR_ERR_MISUSE, "%s: the log has been sealed", fr_dir_path(w->dir));
    return FR_OK;
}

fr_status fr_wal_writer_check(struct fr_wal_writer *w)
{
    fr_mutex_lock(&w->mu);
    fr_status st = check_locked(w);
    fr_mutex_unlock(&w->mu);
    return st;
}

/*
 * The bytes of the log, or their durability, are unknown from here on. Yields the status: never one
 * that says that nothing was changed and that it may be tried again.
 */
static fr_status poison_locked(struct fr_wal_writer *w, fr_status st) FR_REQUIRES(w->mu)
{
    if (st >= 0 || w->failed) return st;
    if (FR_MUSEUM(13) && w->options.kind == FR_WAL_KIND_MANIFEST) return st;
    FR_COVER("wal: poisoned");
    w->failed = true;
    w->failure.size = sizeof(w->failure);
    fr_error_save(&w->failure);
    if (st == FR_ERR_NOSPACE || st == FR_ERR_NOMEM) {
        w->failure.status = FR_ERR_IO;
        st = fr_error_restore(&w->failure);
    }
    return st;
}

static fr_lsn durable_of(const struct fr_wal_writer *w)
{
    return atomic_load_explicit(&w->durable, memory_order_acquire);
}

/* ---- successors -------------------------------------------------------------------------------
 */

static struct fr_wal_segment *take_spare_locked(struct fr_wal_writer *w) FR_REQUIRES(w->mu)
{
    struct fr_wal_segment *spare = w->spares;

    if (spare == NULL) return NULL;
    w->spares = spare->next;
    w->spare_count--;
    spare->next = NULL;
    return spare;
}

static void count_bytes(struct fr_wal_writer *w, int64_t by)
{
    fr_mutex_lock(&w->mu);
    w->file_bytes += (uint64_t)by;
    fr_mutex_unlock(&w->mu);
}

/* Forget a file of ours. A failure is the caller's to report; the file is only left behind. */
static fr_status discard(struct fr_wal_writer *w, struct fr_wal_segment *s)
{
    fr_status st = fr_dir_unlink(w->dir, s->name);

    count_bytes(w, -(int64_t)s->size);
    fr_wal_segment_close(s);
    return st == FR_NOT_FOUND ? FR_OK : st;
}

/* A blank file under the next number: a spare if there is one, else a new one. Takes the spare. */
static fr_status make_blank(struct fr_wal_writer *w, struct fr_wal_segment *spare,
        struct fr_wal_segment **ret_blank)
{
    const struct fr_wal_writer_options *o = &w->options;
    uint64_t number = o->next_number(o->next_number_ctx);
    unsigned flags = o->no_shared_mapping ? FR_MAP_PRIVATE : 0;
    fr_status st;

    if (spare != NULL) {
        FR_COVER("wal: a segment is used again");
        st = fr_wal_segment_rename(spare, o->kind, number);
        if (st == FR_OK) *ret_blank = spare;
        if (st < 0) (void)!discard(w, spare);
        return st;
    }
    bool first = w->first_number == 0 && o->first_size != 0;
    uint64_t size = first ? o->first_size : o->segment_size;
    st = fr_wal_segment_create(w->dir, o->kind, number, size, flags, ret_blank);
    if (st == FR_OK) count_bytes(w, (int64_t)size);
    return st;
}

static void add_blank_locked(struct fr_wal_writer *w, struct fr_wal_segment *blank)
        FR_REQUIRES(w->mu)
{
    struct fr_wal_segment **end = &w->blank;

    while (*end != NULL)
        end = &(*end)->next;
    *end = blank;
    w->blank_count++;
}

/*
 * Returns with so many blank segments in place, or why there are less. Gives up the lock while it
 * makes one or waits for one, but not if there are enough.
 */
static fr_status prepare_locked(struct fr_wal_writer *w, unsigned count) FR_REQUIRES(w->mu)
{
    struct fr_wal_segment *blank = NULL;
    fr_status st = FR_OK;

    while (w->blank_count < count && st == FR_OK) {
        if (w->preparing) {
            fr_cond_wait(&w->changed, &w->mu);
            continue;
        }
        struct fr_wal_segment *spare = take_spare_locked(w);
        w->preparing = true;
        fr_mutex_unlock(&w->mu);
        st = make_blank(w, spare, &blank);
        fr_mutex_lock(&w->mu);
        w->preparing = false;
        if (st == FR_OK) add_blank_locked(w, blank);
        fr_cond_broadcast(&w->changed);
    }
    return st;
}

/* The last of more blanks than one, out of the list; NULL if there are no more. */
static struct fr_wal_segment *take_surplus(struct fr_wal_writer *w)
{
    struct fr_wal_segment **last = &w->blank, *surplus = NULL;

    fr_mutex_lock(&w->mu);
    if (w->blank_count > 1) {
        while ((*last)->next != NULL)
            last = &(*last)->next;
        surplus = FR_TAKE(*last);
        w->blank_count--;
    }
    fr_mutex_unlock(&w->mu);
    return surplus;
}

/* A full disk is no place for files in advance. The first error is the one to tell. */
static fr_status drop_surplus_locked(struct fr_wal_writer *w, fr_status st) FR_REQUIRES(w->mu)
{
    struct fr_error error = {.size = sizeof(error)};
    struct fr_wal_segment *s;

    if (st >= 0) return st;
    fr_error_save(&error);
    fr_mutex_unlock(&w->mu);
    while ((s = take_surplus(w)) != NULL)
        (void)!discard(w, s);
    fr_mutex_lock(&w->mu);
    return fr_error_restore(&error);
}

fr_status fr_wal_writer_prepare(struct fr_wal_writer *w)
{
    fr_mutex_lock(&w->mu);
    fr_status st = check_locked(w);
    if (st == FR_OK) st = prepare_locked(w, 1);
    fr_mutex_unlock(&w->mu);
    return st;
}

/* Make the blank segment the current one. previous: where the log is up to there. */
static void begin_locked(struct fr_wal_writer *w, struct fr_wal_link previous, fr_lsn first)
        FR_REQUIRES(w->mu)
{
    struct fr_wal_segment *s = w->blank;
    struct fr_wal_header header = {.kind = w->options.kind,
            .epoch = w->options.epoch,
            .first = first,
            .previous = previous,
            .durable = durable_of(w)};
    enum fr_file_kind kind;

    FR_ASSERT(fr_file_name_parse(s->name, &kind, &header.number));
    FR_ASSERT(header.number > previous.number);
    w->blank = FR_TAKE(s->next);
    w->blank_count--;
    memcpy(header.store, w->options.store, FR_STORE_ID_SIZE);
    fr_wal_segment_begin(s, &header);
    if (w->current != NULL)
        w->current->next = s;
    else
        w->segments = w->unsynced = s;
    w->current = s;
    w->begun = false;
}

/* ---- syncing ----------------------------------------------------------------------------------
 */

/* Wait until no thread is syncing, which makes this one the next. */
static fr_status await_turn_locked(struct fr_wal_writer *w) FR_REQUIRES(w->mu)
{
    while (w->syncing)
        fr_cond_wait(&w->changed, &w->mu);
    return check_locked(w);
}

/* From one segment to another, without the lock; appends to the last one may go on meanwhile. */
static fr_status sync_segments(struct fr_wal_segment *first, struct fr_wal_segment *last,
        uint64_t from, uint64_t to)
{
    fr_status st = FR_OK;

    /* museum 2: a newer log segment durable before the older one */
    if (FR_MUSEUM(2)) first = last;
    for (struct fr_wal_segment *s = first; s != last && st == FR_OK; s = s->next)
        st = fr_wal_segment_sync(s, s->synced, s->at);
    return st == FR_OK ? fr_wal_segment_sync(last, from, to) : st;
}

/*
 * Publish the current segment, and make all segments durable up to its present end. The turn is
 * ours; the lock is given up during the sync.
 */
static fr_status sync_all_locked(struct fr_wal_writer *w) FR_REQUIRES(w->mu)
{
    struct fr_wal_segment *first = w->unsynced, *last = w->current;
    fr_status st = poison_locked(w, fr_wal_segment_publish(last));
    fr_lsn target = fr_wal_segment_end(last);
    uint64_t from = last->synced, to = last->at;

    if (st < 0) return st;
    FR_ASSERT(target % FR_WAL_BLOCK_SIZE == 0);
    last->synced = to;
    w->syncing = true;
    fr_mutex_unlock(&w->mu);
    st = sync_segments(first, last, from, to);
    fr_mutex_lock(&w->mu);
    w->syncing = false;
    w->unsynced = last;
    fr_cond_broadcast(&w->changed);
    if (st < 0) return poison_locked(w, st);
    if (w->failed) return check_locked(w); /* a write has failed meanwhile: trust nothing */
    FR_ASSERT(target >= atomic_load_explicit(&w->durable, memory_order_relaxed));
    atomic_store_explicit(&w->durable, target, memory_order_release);
    if (last == w->current) w->begun = true;
    return FR_OK;
}

static void set_end_locked(struct fr_wal_writer *w) FR_REQUIRES(w->mu)
{
    fr_lsn end = fr_wal_segment_end(w->current);
    atomic_store_explicit(&w->end, end, memory_order_release);
}

/* End the current block or segment, and remember what the group says. */
static void fill_locked(struct fr_wal_writer *w, enum fr_wal_type type, uint8_t flags)
        FR_REQUIRES(w->mu)
{
    uint64_t before = w->current->group_count;

    fr_wal_segment_fill(w->current, type, flags, durable_of(w));
    if (w->current->group_count > before) w->marked = durable_of(w);
    set_end_locked(w);
}

static fr_status sync_locked(struct fr_wal_writer *w) FR_REQUIRES(w->mu)
{
    fr_lsn wanted = fr_wal_segment_end(w->current);
    fr_status st = await_turn_locked(w);

    if (st < 0 || (durable_of(w) >= wanted && w->begun)) return st;
    fill_locked(w, FR_WAL_PAD, 0);
    return sync_all_locked(w);
}

fr_status fr_wal_writer_sync(struct fr_wal_writer *w, fr_lsn *ret_durable)
{
    fr_mutex_lock(&w->mu);
    fr_status st = check_locked(w);
    if (st == FR_OK) st = sync_locked(w);
    if (st == FR_OK) *ret_durable = durable_of(w);
    fr_mutex_unlock(&w->mu);
    return st;
}

/* ---- appending --------------------------------------------------------------------------------
 */

/*
 * Go on in the next segment. What can fail without harm comes first; then this one is sealed and
 * handed to the system, so that the next one can never survive the process alone.
 */
static fr_status rotate_locked(struct fr_wal_writer *w) FR_REQUIRES(w->mu)
{
    fr_status st = prepare_locked(w, 1);

    if (st < 0) return st;
    FR_TRY(check_locked(w)); /* the lock was given up */
    fill_locked(w, FR_WAL_SEAL, 0);
    st = fr_wal_segment_publish(w->current);
    if (!FR_MUSEUM(12)) FR_TRY(poison_locked(w, st));
    begin_locked(w, fr_wal_segment_link(w->current), fr_wal_segment_end(w->current));
    set_end_locked(w);
out:
    return st;
}

static fr_status make_room_locked(struct fr_wal_writer *w, uint32_t size) FR_REQUIRES(w->mu)
{
    if (FR_LIKELY(fr_wal_segment_fits(w->current, size))) return FR_OK;
    return rotate_locked(w);
}

/*
 * Have all the segments there that a batch of several groups goes on in, so that it cannot find
 * half of its way that there is no room: whoever reads half a batch as the log's end may not read
 * on behind it, so that would be the end of writing. While the lock is given up a sync may end the
 * block that is written to, hence the second count.
 */
static fr_status make_way_locked(struct fr_wal_writer *w, uint64_t size) FR_REQUIRES(w->mu)
{
    fr_status st = FR_OK;
    unsigned count;

    while ((count = fr_wal_segment_successors(w->current, size, w->options.segment_size)) >
            w->blank_count) {
        FR_TRY(prepare_locked(w, count));
        FR_TRY(check_locked(w));
    }
out:
    return drop_surplus_locked(w, st);
}

/* A batch as one group, or as a chain of groups of the largest size. */
static fr_status add_batch_locked(struct fr_wal_writer *w, const fr_slice *parts, uint64_t size,
        uint64_t tag) FR_REQUIRES(w->mu)
{
    struct fr_wal_parts from = {.part = parts};
    uint64_t left = size;
    bool first = true;

    if (size > w->payload_max) {
        fr_status st = make_way_locked(w, size);
        if (st < 0) return st;
    }
    do {
        uint32_t step = (uint32_t)FR_MIN(left, (uint64_t)w->payload_max);
        fr_status st = make_room_locked(w, step);
        if (st < 0) return first ? st : poison_locked(w, st); /* it was published by halves */
        struct fr_wal_group group = {.type = FR_WAL_DATA,
                .tag = tag,
                .size = step,
                .durable = durable_of(w),
                .flags = (uint8_t)((first ? FR_WAL_FIRST : 0) | (step == left ? FR_WAL_LAST : 0))};
        fr_wal_segment_add(w->current, &group, &from);
        w->marked = group.durable;
        left -= step;
        first = false;
    } while (left > 0);
    set_end_locked(w);
    return FR_OK;
}

static fr_status append_locked(struct fr_wal_writer *w, const fr_slice *parts, uint64_t size,
        uint64_t tag, enum fr_wal_class durability) FR_REQUIRES(w->mu)
{
    if (FR_MUSEUM(12) && w->failed && w->options.kind == FR_WAL_KIND_LOG) {
        /* museum 12: writing resumed after the log has failed */
        w->failed = false;
        fr_status resumed = rotate_locked(w);
        if (resumed < 0) return resumed;
    }
    fr_status st = check_locked(w);

    if (st == FR_OK) st = add_batch_locked(w, parts, size, tag);
    if (st == FR_OK && durability != FR_WAL_NONE)
        st = poison_locked(w, fr_wal_segment_publish(w->current));
    return st;
}

fr_status fr_wal_writer_append(struct fr_wal_writer *w, const fr_slice *parts, size_t part_count,
        uint64_t tag, enum fr_wal_class durability, fr_lsn *ret_end)
{
    uint64_t size = 0;

    for (size_t i = 0; i < part_count; i++) {
        size += parts[i].size;
        if (parts[i].size > FR_WAL_BATCH_MAX || size > FR_WAL_BATCH_MAX)
            return FR_FAIL(FR_ERR_LIMIT, "%s: a batch of more than %" PRIu64 " bytes",
                    fr_dir_path(w->dir), FR_WAL_BATCH_MAX);
    }
    fr_mutex_lock(&w->mu);
    fr_status st = append_locked(w, parts, size, tag, durability);
    if (st == FR_OK) *ret_end = fr_wal_segment_end(w->current);
    fr_mutex_unlock(&w->mu);
    return st;
}

static fr_status mark_locked(struct fr_wal_writer *w) FR_REQUIRES(w->mu)
{
    struct fr_wal_group group = {.type = FR_WAL_PAD, .durable = durable_of(w)};
    fr_status st = check_locked(w);

    if (st < 0 || w->marked >= group.durable) return st;
    st = make_room_locked(w, 0);
    if (st < 0) return st;
    group.durable = durable_of(w);
    fr_wal_segment_add(w->current, &group, NULL);
    w->marked = group.durable;
    set_end_locked(w);
    return poison_locked(w, fr_wal_segment_publish(w->current));
}

fr_status fr_wal_writer_mark(struct fr_wal_writer *w)
{
    fr_mutex_lock(&w->mu);
    fr_status st = mark_locked(w);
    fr_mutex_unlock(&w->mu);
    return st;
}

/* The data is made durable first, so that the seal can vouch for it. */
static fr_status seal_locked(struct fr_wal_writer *w) FR_REQUIRES(w->mu)
{
    fr_status st = check_locked(w);

    if (st < 0) return st;
    FR_TRY(sync_locked(w));
    FR_TRY(await_turn_locked(w));
    fill_locked(w, FR_WAL_SEAL, FR_WAL_CLOSED);
    FR_TRY(sync_all_locked(w));
    w->sealed = true;
out:
    return st;
}

fr_status fr_wal_writer_seal(struct fr_wal_writer *w)
{
    fr_mutex_lock(&w->mu);
    fr_status st = seal_locked(w);
    fr_mutex_unlock(&w->mu);
    return st;
}

/* ---- releasing --------------------------------------------------------------------------------
 */

/*
 * The oldest segment, out of the list, if it is wholly before lsn. It need not be durable: nobody
 * asks for it any more.
 */
static struct fr_wal_segment *take_released(struct fr_wal_writer *w, fr_lsn lsn)
{
    struct fr_wal_segment *s;

    fr_mutex_lock(&w->mu);
    while ((s = w->segments) != w->current && fr_wal_segment_end(s) <= lsn && w->syncing &&
            s == w->unsynced)
        fr_cond_wait(&w->changed, &w->mu);
    if (s == w->current || fr_wal_segment_end(s) > lsn) {
        s = NULL;
    } else {
        if (w->unsynced == s) w->unsynced = s->next;
        w->segments = FR_TAKE(s->next);
    }
    fr_mutex_unlock(&w->mu);
    return s;
}

/* false: there are enough. */
static bool reserve_spare(struct fr_wal_writer *w)
{
    fr_mutex_lock(&w->mu);
    bool wanted = w->spare_count < w->options.spares_max && !w->failed;
    if (wanted) w->spare_count++;
    fr_mutex_unlock(&w->mu);
    return wanted;
}

static void add_spare(struct fr_wal_writer *w, struct fr_wal_segment *s)
{
    fr_mutex_lock(&w->mu);
    s->next = w->spares;
    w->spares = s;
    fr_mutex_unlock(&w->mu);
}

static fr_status retire(struct fr_wal_writer *w, struct fr_wal_segment *s)
{
    /* A short first segment would come too soon again. */
    if (s->size != w->options.segment_size || !reserve_spare(w)) return discard(w, s);
    add_spare(w, s);
    return FR_OK;
}

fr_status fr_wal_writer_release(struct fr_wal_writer *w, fr_lsn lsn)
{
    struct fr_wal_segment *s;
    fr_status first = FR_OK;

    while ((s = take_released(w, lsn)) != NULL) {
        fr_status st = retire(w, s);
        if (first == FR_OK) first = st;
    }
    return first;
}

/* ---- opening and closing ----------------------------------------------------------------------
 */

static fr_status check_options(struct fr_dir *dir, const struct fr_wal_writer_options *o)
{
    uint64_t size = o->segment_size;

    if (o->kind != FR_WAL_KIND_LOG && o->kind != FR_WAL_KIND_MANIFEST)
        return FR_FAIL(FR_ERR_MISUSE, "%s: unknown kind %d of log", fr_dir_path(dir), (int)o->kind);
    if (o->epoch == 0 || o->next_number == NULL || o->spares_max > FR_WAL_SPARES_MAX)
        return FR_FAIL(FR_ERR_MISUSE, "%s: a log without epoch or numbers, or with %u spares",
                fr_dir_path(dir), o->spares_max);
    if (o->first_size != 0 &&
            (o->first_size < FR_WAL_FIRST_SIZE_MIN || o->first_size % FR_WAL_BLOCK_SIZE != 0))
        return FR_FAIL(FR_ERR_MISUSE, "%s: a first log segment of %" PRIu64 " bytes",
                fr_dir_path(dir), o->first_size);
    if (size != 0 && (size < FR_WAL_SEGMENT_SIZE_MIN || size > FR_WAL_SEGMENT_SIZE_MAX ||
                             size % FR_WAL_BLOCK_SIZE != 0))
        return FR_FAIL(FR_ERR_MISUSE, "%s: log segments of %" PRIu64 " bytes", fr_dir_path(dir),
                size);
    return FR_OK;
}

static fr_status begin_log(struct fr_wal_writer *w)
{
    const struct fr_wal_writer_options *o = &w->options;
    bool goes_on = o->previous.number > 0;

    fr_mutex_lock(&w->mu);
    fr_status st = prepare_locked(w, 1);
    if (st == FR_OK) {
        w->start = fr_wal_round_up(goes_on ? o->previous.lsn : o->start);
        /* Not up to the rounded start: this segment's header is not durable yet. */
        w->marked = goes_on ? o->previous.lsn : o->start;
        atomic_store_explicit(&w->durable, w->marked, memory_order_release);
        begin_locked(w, o->previous, w->start);
        w->first_number = w->current->header.number;
        set_end_locked(w);
    }
    fr_mutex_unlock(&w->mu);
    return st;
}

fr_status fr_wal_writer_open(struct fr_dir *dir, const struct fr_wal_writer_options *options,
        struct fr_wal_writer **ret_writer)
{
    struct fr_wal_writer *w;
    fr_status st = check_options(dir, options);

    if (st < 0) return st;
    w = FR_NEW(struct fr_wal_writer);
    if (w == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory for a log", fr_dir_path(dir));
    fr_mutex_init(&w->mu, FR_RANK_WAL);
    fr_cond_init(&w->changed);
    w->dir = dir;
    w->options = *options;
    if (options->segment_size == 0) w->options.segment_size = FR_WAL_SEGMENT_SIZE_DEFAULT;
    w->payload_max = fr_wal_segment_payload_max(w->options.segment_size);
    FR_TRY(begin_log(w));
    *ret_writer = FR_TAKE(w);
out:
    fr_wal_writer_close(w);
    return st;
}

static void close_all(struct fr_wal_segment *s)
{
    while (s != NULL) {
        struct fr_wal_segment *next = s->next;
        fr_wal_segment_close(s);
        s = next;
    }
}

void fr_wal_writer_close(struct fr_wal_writer *w)
{
    struct fr_wal_segment *spare, *blank;

    if (w == NULL) return;
    close_all(w->segments);
    /* A failed rotation may have left a seal that promises a successor: then the file stays. */
    while ((blank = w->blank) != NULL) {
        w->blank = blank->next;
        if (w->failed)
            fr_wal_segment_close(blank);
        else
            (void)!discard(w, blank);
    }
    while ((spare = w->spares) != NULL) {
        w->spares = spare->next;
        (void)!discard(w, spare);
    }
    fr_cond_deinit(&w->changed);
    fr_mutex_deinit(&w->mu);
    fr_free(w);
}

fr_lsn fr_wal_writer_end(const struct fr_wal_writer *w)
{
    return atomic_load_explicit(&w->end, memory_order_acquire);
}

fr_lsn fr_wal_writer_durable(const struct fr_wal_writer *w)
{
    return durable_of(w);
}

fr_lsn fr_wal_writer_start(const struct fr_wal_writer *w)
{
    return w->start;
}

uint64_t fr_wal_writer_first_number(const struct fr_wal_writer *w)
{
    return w->first_number;
}

uint64_t fr_wal_writer_number_at(struct fr_wal_writer *w, fr_lsn lsn)
{
    fr_mutex_lock(&w->mu);
    const struct fr_wal_segment *s = w->segments;
    while (s != w->current && fr_wal_segment_end(s) <= lsn)
        s = s->next;
    uint64_t number = s->header.number;
    fr_mutex_unlock(&w->mu);
    return number;
}

size_t fr_wal_writer_segment_count(struct fr_wal_writer *w)
{
    size_t count = 0;

    fr_mutex_lock(&w->mu);
    for (const struct fr_wal_segment *s = w->segments; s != NULL; s = s->next)
        count++;
    fr_mutex_unlock(&w->mu);
    return count;
}

uint64_t fr_wal_writer_bytes(struct fr_wal_writer *w)
{
    fr_mutex_lock(&w->mu);
    uint64_t bytes = w->file_bytes;
    fr_mutex_unlock(&w->mu);
    return bytes;
}
