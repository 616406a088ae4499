#include "wal/wal_reader.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/cover.h"
#include "base/museum.h"
#include "io/dir.h"
#include "io/file.h"
#include "wal/file_name.h"
#include "wal/wal_cursor.h"
#include "wal/wal_segment.h"

/* A file that has the name of a segment. */
struct found {
    uint64_t number;
    uint64_t file_size;
    bool valid;    /* the header is right; else it is blank, or torn, or damaged */
    bool stranger; /* the header is right, but it is of another beginning */
    struct fr_wal_header header;
    struct found *successor; /* in the chain; NULL for the newest */
    char name[FR_FILE_NAME_SIZE];
};

struct fr_wal_reader {
    struct fr_dir *dir;
    struct fr_wal_reader_options options;
    struct found *files; /* by number */
    size_t file_count;

    struct found *at;   /* the segment that is read; NULL for an empty log */
    uint64_t stands_in; /* number of the segment that r->in.offset is in, once the end is reached */
    struct fr_file *file;
    struct fr_wal_cursor in; /* on that file */

    /* A chain of groups that is put together. */
    struct fr_buf batch;
    bool in_batch;
    struct fr_wal_link batch_start; /* what was there before it */
    fr_lsn batch_lsn;
    uint64_t batch_tag;

    fr_status done; /* FR_OK while there may be more */
    struct fr_error error;
    struct fr_wal_end end;
};

/* ---- finding the segments ---------------------------------------------------------------------
 */

static int compare_files(const void *a, const void *b)
{
    uint64_t x = ((const struct found *)a)->number, y = ((const struct found *)b)->number;
    return (x > y) - (x < y);
}

static fr_status list_files(struct fr_wal_reader *r)
{
    struct fr_dir_names names = {0};
    enum fr_file_kind kind;
    fr_status st;

    FR_TRY(fr_dir_list(r->dir, &names));
    r->files = fr_alloc_zeroed(names.count + 1, sizeof(*r->files));
    if (r->files == NULL) {
        st = FR_FAIL(FR_ERR_NOMEM, "%s: no memory to read the log", fr_dir_path(r->dir));
        goto out;
    }
    for (size_t i = 0; i < names.count; i++) {
        struct found *f = &r->files[r->file_count];
        if (!fr_file_name_parse(names.names[i], &kind, &f->number)) continue;
        if (kind != fr_wal_file_kind(r->options.kind)) continue;
        fr_file_name_format(kind, f->number, f->name);
        r->file_count++;
    }
    qsort(r->files, r->file_count, sizeof(*r->files), compare_files);
out:
    fr_dir_names_deinit(&names);
    return st;
}

static fr_status open_file(struct fr_wal_reader *r, const struct found *f)
{
    unsigned flags = (r->options.flags & FR_WAL_READ_SETTLE) ? FR_OPEN_DIRECT : 0;

    fr_file_close(r->file);
    r->file = NULL;
    return fr_file_open(r->dir, f->name, flags, &r->file);
}

/* Whether a header that is right in itself is that of this file; FR_NOT_FOUND: of a former life. */
static fr_status check_identity(const struct fr_wal_reader *r, const struct found *f)
{
    const struct fr_wal_header *h = &f->header;
    const char *path = fr_file_path(r->file);

    if (memcmp(h->store, r->options.store, FR_STORE_ID_SIZE) != 0)
        return FR_FAIL(FR_ERR_FOREIGN, "%s: a log segment of another store", path);
    if (h->kind == r->options.kind && h->number < f->number && h->first < r->options.start) {
        FR_COVER("wal: a segment's former life");
        return FR_NOT_FOUND;
    }
    if (h->kind != r->options.kind || h->number != f->number)
        return FR_FAIL(FR_ERR_FOREIGN, "%s: is segment %" PRIu64 " of a log of kind %d", path,
                h->number, (int)h->kind);
    if (f->file_size < h->size)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: ends at %" PRIu64 ", the segment has %" PRIu64 " bytes",
                path, f->file_size, h->size);
    return FR_OK;
}

static fr_status read_header(struct fr_wal_reader *r, struct found *f)
{
    struct fr_file_info info;
    uint8_t page[FR_WAL_HEADER_SIZE];
    size_t size;
    fr_status st;

    FR_TRY(open_file(r, f));
    FR_TRY(fr_file_info_get(r->file, &info));
    f->file_size = info.size;
    FR_TRY(fr_file_read(r->file, 0, page, sizeof(page), &size));
    if (size < sizeof(page)) return FR_OK; /* it was being made */
    st = fr_wal_header_decode(page, &f->header);
    if (st == FR_ERR_CORRUPT) return FR_OK; /* what that means depends on the others */
    if (st < 0) return FR_FAIL(st, "%s: was written by a later version", fr_file_path(r->file));
    st = check_identity(r, f);
    f->valid = st == FR_OK;
    if (st == FR_NOT_FOUND) st = FR_OK;
out:
    return st;
}

static struct found *newest_valid_before(struct fr_wal_reader *r, uint64_t number)
{
    for (size_t i = r->file_count; i > 0; i--)
        if (r->files[i - 1].valid && r->files[i - 1].number < number) return &r->files[i - 1];
    return NULL;
}

/*
 * The segment that this one's header names as the one before. FR_NOT_FOUND: it has no valid header,
 * so the chain is broken there.
 */
static fr_status find_previous(struct fr_wal_reader *r, struct found *f, struct found **ret)
{
    const struct fr_wal_link *link = &f->header.previous;
    struct found *p = NULL;

    for (size_t i = 0; i < r->file_count; i++)
        if (r->files[i].number == link->number) p = &r->files[i];
    if (p == NULL)
        return FR_FAIL(FR_ERR_MISSING,
                "%s/%s: the segment before it, number %" PRIu64 ", is not there",
                fr_dir_path(r->dir), f->name, link->number);
    *ret = p;
    if (!p->valid) return FR_NOT_FOUND;
    if (link->lsn < p->header.first ||
            link->lsn - p->header.first > p->header.size - FR_WAL_HEADER_SIZE)
        return FR_FAIL(FR_ERR_CORRUPT, "%s/%s: follows LSN %" PRIu64 ", which is not in %s",
                fr_dir_path(r->dir), f->name, link->lsn, p->name);
    return FR_OK;
}

/* Whether the segments before this one are of no interest. */
static bool is_first(const struct fr_wal_reader *r, const struct found *f)
{
    if (f->header.previous.number == 0) return true;
    if (r->options.number > 0) return f->number <= r->options.number;
    return f->header.first <= r->options.start;
}

/*
 * Back from the newest to the segment with the start, or to the first one there ever was; and anew
 * from below each break.
 */
static fr_status follow_back(struct fr_wal_reader *r, struct found **ret_first)
{
    struct found *f = newest_valid_before(r, UINT64_MAX), *p = NULL;

    while (f != NULL && !is_first(r, f)) {
        fr_status st = find_previous(r, f, &p);
        if (st < 0) return st;
        if (st == FR_OK) {
            p->successor = f;
            f = p;
        } else {
            FR_COVER("wal: a segment without the one before it");
            f = newest_valid_before(r, p->number);
        }
    }
    *ret_first = f;
    return FR_OK;
}

static void pass_over(struct found *f)
{
    FR_COVER("wal: another beginning is passed over");
    while (f != NULL) {
        struct found *next = f->successor;
        f->valid = false;
        f->stranger = true;
        f->successor = NULL;
        f = next;
    }
}

static fr_status find_chain(struct fr_wal_reader *r)
{
    struct found *f;

    for (;;) {
        fr_status st = follow_back(r, &f);
        if (st < 0) return st;
        if (f == NULL || r->options.number == 0 || f->number == r->options.number) break;
        pass_over(f);
    }
    r->at = f;
    return FR_OK;
}

/* Durable before it is believed: the chain, and what is newer. */
static fr_status settle(struct fr_wal_reader *r)
{
    uint64_t first = r->at == NULL ? 0 : r->at->number;
    fr_status st = FR_OK;

    for (size_t i = 0; i < r->file_count && st == FR_OK; i++) {
        if (r->files[i].number < first) continue;
        st = open_file(r, &r->files[i]);
        if (st == FR_OK) st = fr_file_sync(r->file);
    }
    return st;
}

/* Turn to a segment, but for the place in it. */
static fr_status use_segment(struct fr_wal_reader *r, struct found *f)
{
    r->at = f;
    fr_status st = open_file(r, f);
    if (st < 0) return st;
    fr_wal_cursor_use(&r->in, r->file, f->file_size, f->valid ? &f->header : NULL, r->options.store,
            f->number);
    return FR_OK;
}

static fr_status enter_segment(struct fr_wal_reader *r, struct found *f)
{
    fr_status st = use_segment(r, f);
    if (st == FR_OK) fr_wal_cursor_rewind(&r->in);
    return st;
}

static fr_status find_segments(struct fr_wal_reader *r)
{
    fr_status st;

    FR_TRY(list_files(r));
    for (size_t i = 0; i < r->file_count; i++)
        FR_TRY(read_header(r, &r->files[i]));
    st = find_chain(r);
out:
    return st;
}

fr_status fr_wal_reader_open(struct fr_dir *dir, const struct fr_wal_reader_options *options,
        struct fr_wal_reader **ret_reader)
{
    struct fr_wal_reader *r = FR_NEW(struct fr_wal_reader);
    fr_status st;

    if (r == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to read the log", fr_dir_path(dir));
    r->dir = dir;
    r->options = *options;
    r->error.size = sizeof(r->error);
    if (options->flags & FR_WAL_READ_SETTLE) FR_TRY(fr_dir_sync(dir));
    FR_TRY(find_segments(r));
    if (options->flags & FR_WAL_READ_SETTLE) FR_TRY(settle(r));
    if (r->at != NULL) FR_TRY(enter_segment(r, r->at));
    if (r->file_count > 0) r->end.last_number = r->files[r->file_count - 1].number;
    *ret_reader = FR_TAKE(r);
out:
    fr_wal_reader_close(r);
    return st;
}

void fr_wal_reader_close(struct fr_wal_reader *r)
{
    if (r == NULL) return;
    fr_file_close(r->file);
    fr_buf_deinit(&r->batch);
    fr_wal_cursor_deinit(&r->in);
    fr_free(r->files);
    fr_free(r);
}

/* ---- places ------------------------------------------------------------------------------------
 */

static fr_lsn here(const struct fr_wal_reader *r)
{
    return fr_wal_cursor_lsn_at(&r->in, r->in.offset);
}

static fr_status fail_damaged_at(const struct fr_wal_reader *r, const struct found *f,
        uint64_t offset, const char *why)
{
    return FR_FAIL(FR_ERR_CORRUPT, "%s/%s: group at %" PRIu64 " (LSN %" PRIu64 ") is damaged; %s",
            fr_dir_path(r->dir), f->name, offset, f->header.first + offset - FR_WAL_HEADER_SIZE,
            why);
}

static fr_status fail_damaged(const struct fr_wal_reader *r, const char *why)
{
    return fail_damaged_at(r, r->at, r->in.offset, why);
}

/* ---- the end ----------------------------------------------------------------------------------
 */

/* What lies behind a flaw. */
struct traces {
    fr_lsn durable; /* the largest that any credible header names */
    fr_lsn first;   /* of the first such group */
    fr_lsn end;     /* of the last such group; 0: there is none */
};

/* Look for group headers from an offset of r->at's file to its end. */
static fr_status find_traces(struct fr_wal_reader *r, uint64_t from, fr_lsn reach,
        struct traces *traces)
{
    struct fr_wal_group g;
    fr_status st;

    for (uint64_t offset = from;; offset += 8) {
        st = fr_wal_cursor_find(&r->in, reach, &offset, &g);
        if (st != FR_OK) return st == FR_END ? FR_OK : st;
        if (traces->end == 0) traces->first = g.lsn;
        traces->durable = FR_MAX(traces->durable, g.durable);
        traces->end = FR_MAX(traces->end, g.lsn + fr_wal_group_extent(g.size));
    }
}

/* An end of the log: with a flaw, or with a seal. */
struct ending {
    struct found *at; /* NULL: no segment was found */
    uint64_t offset;
    fr_lsn lsn;
    bool sealed;
    struct found *broken; /* the first newer file without a valid header */
    fr_lsn reach;         /* where the log would be with all of the files that follow */
};

/*
 * A newer file: one that was begun before this one's end was durable; or without a valid header,
 * and perhaps one that others relied on. Neither may know the log durable beyond its end.
 */
static fr_status judge_newer(struct fr_wal_reader *r, struct found *f, struct ending *ending)
{
    fr_lsn limit = FR_MAX(ending->lsn, r->options.start);
    struct traces traces = {0};

    if (!f->valid && ending->broken == NULL) ending->broken = f;
    if (f->file_size < FR_WAL_HEADER_SIZE) return FR_OK;
    ending->reach += f->file_size;
    fr_status st = use_segment(r, f);
    if (st == FR_OK) st = find_traces(r, FR_WAL_HEADER_SIZE, ending->reach, &traces);
    if (st < 0) return st;
    if (f->valid) traces.durable = FR_MAX(traces.durable, f->header.durable);
    if (f->valid && traces.durable > limit && ending->at != NULL && !ending->sealed)
        return fail_damaged_at(r, ending->at, ending->offset, "the log was durable beyond it");
    if (traces.durable > (f->valid ? limit : fr_wal_round_up(limit)))
        return FR_FAIL(FR_ERR_CORRUPT,
                "%s/%s: header at 0 is damaged; the log was durable up to LSN %" PRIu64,
                fr_dir_path(r->dir), (ending->broken == NULL ? f : ending->broken)->name,
                traces.durable);
    if (traces.end > limit) {
        r->end.verdict = FR_WAL_END_TORN;
        r->end.dropped_bytes += traces.end - traces.first;
    }
    return FR_OK;
}

static fr_status judge_newer_files(struct fr_wal_reader *r, struct ending *ending)
{
    uint64_t than = ending->at == NULL ? 0 : ending->at->number;

    ending->reach = fr_wal_round_up(FR_MAX(ending->lsn, r->options.start));

    for (size_t i = 0; i < r->file_count; i++) {
        struct found *f = &r->files[i];
        if (f->number <= than || f->stranger) continue;
        fr_status st = judge_newer(r, f, ending);
        if (st < 0) return st;
    }
    return FR_OK;
}

static struct fr_wal_link link_here(const struct fr_wal_reader *r)
{
    return (struct fr_wal_link){.number = r->at->number, .lsn = here(r), .crc = r->in.crc};
}

/* The log ends at r->in.offset: there is a flaw, or a seal and no successor. */
static fr_status judge_end(struct fr_wal_reader *r, enum fr_wal_verdict verdict, bool sealed)
{
    struct ending ending = {.at = r->at, .offset = r->in.offset, .lsn = here(r), .sealed = sealed};
    /* museum 15: a torn tail that is not cut off */
    struct fr_wal_link link = r->in_batch && !FR_MUSEUM(15) ? r->batch_start : link_here(r);
    struct traces traces = {.durable = r->options.durable};

    r->stands_in = r->at->number;
    if (r->options.flags & FR_WAL_READ_FOLLOW) return FR_END;
    fr_status st = find_traces(r, r->in.offset, 0, &traces);

    if (st < 0) return st;
    /* museum 8: rot in the middle of the log taken for its end */
    if (FR_MUSEUM(8)) traces.durable = 0;
    if (traces.durable > FR_MAX(ending.lsn, r->options.start)) {
        FR_COVER("wal: damage told from a torn end");
        return fail_damaged(r, "the log was durable beyond it");
    }
    r->end.verdict = verdict;
    if (traces.end > ending.lsn || r->in_batch) {
        FR_COVER("wal: a torn end");
        r->end.verdict = FR_WAL_END_TORN;
        r->end.dropped_bytes = FR_MAX(traces.end, ending.lsn) - link.lsn;
    }
    if (link.lsn >= r->options.start) r->end.link = link;
    st = judge_newer_files(r, &ending);
    return st < 0 ? st : FR_END;
}

/* The file in which the log begins, as far as somebody knows that it has begun; or NULL. */
static const struct found *find_start(const struct fr_wal_reader *r)
{
    for (size_t i = 0; i < r->file_count; i++)
        if (r->options.number == 0 || r->files[i].number == r->options.number) return &r->files[i];
    return NULL;
}

/* None of the files has a header that counts, and one of them should. */
static fr_status fail_without_start(const struct fr_wal_reader *r, const struct found *start)
{
    char name[FR_FILE_NAME_SIZE];

    if (start != NULL)
        return FR_FAIL(FR_ERR_CORRUPT,
                "%s/%s: header at 0 is damaged; the log was durable up to LSN %" PRIu64,
                fr_dir_path(r->dir), start->name, r->options.durable);
    if (r->options.number == 0)
        return FR_FAIL(FR_ERR_MISSING,
                "%s: no segment of the log, which was durable up to LSN %" PRIu64,
                fr_dir_path(r->dir), r->options.durable);
    fr_file_name_format(fr_wal_file_kind(r->options.kind), r->options.number, name);
    return FR_FAIL(FR_ERR_MISSING,
            "%s/%s: is not there; the log begins in it, and was durable up to LSN %" PRIu64,
            fr_dir_path(r->dir), name, r->options.durable);
}

static fr_status judge_empty(struct fr_wal_reader *r)
{
    bool begun = r->options.number != 0 || r->options.start != 0;
    const struct found *start = find_start(r);
    struct ending ending = {.sealed = true};

    r->stands_in = 0;
    if (r->options.durable > r->options.start || (begun && start == NULL))
        return fail_without_start(r, start);
    r->end.verdict = FR_WAL_END_OPEN;
    fr_status st = judge_newer_files(r, &ending);
    return st < 0 ? st : FR_END;
}

/* A seal that does not close the log was written when its successor's file was there already. */
static fr_status check_promise(struct fr_wal_reader *r)
{
    for (size_t i = 0; i < r->file_count; i++) {
        const struct found *f = &r->files[i];
        if (f->number > r->at->number && !f->stranger && f->file_size >= FR_WAL_SEGMENT_SIZE_MIN)
            return FR_OK;
    }
    return FR_FAIL(FR_ERR_MISSING, "%s: the segment that follows it is not there",
            fr_file_path(r->file));
}

/* ---- batches ----------------------------------------------------------------------------------
 */

/* Whether this is where the segment ends, by word of its successor; FR_NOT_FOUND if not. */
static fr_status check_segment_end(struct fr_wal_reader *r)
{
    const struct found *next = r->at->successor;
    fr_lsn place = here(r);

    if (next == NULL || place < next->header.previous.lsn) return FR_NOT_FOUND;
    if (place > next->header.previous.lsn || r->in.crc != next->header.previous.crc)
        return fail_damaged(r, "the next segment follows another one");
    return FR_OK;
}

static fr_status take_seal(struct fr_wal_reader *r, const struct fr_wal_group *seal)
{
    bool closed = (seal->flags & FR_WAL_CLOSED) != 0;

    if (seal->tag != r->in.group_count - 1 || (closed && r->in_batch))
        return fail_damaged(r, "the seal before it is not what a writer writes");
    if (r->at->successor != NULL) {
        fr_status st = check_segment_end(r);
        return st == FR_NOT_FOUND ? fail_damaged(r, "it stands behind a seal") : st;
    }
    if (!closed && !(r->options.flags & FR_WAL_READ_FOLLOW)) {
        fr_status st = check_promise(r);
        if (st < 0) return st;
    }
    return judge_end(r, closed ? FR_WAL_END_CLOSED : FR_WAL_END_OPEN, true);
}

/*
 * Follow the chain over the ends of segments, and over a gap, to the next group's place.
 * FR_NOT_FOUND: the gap is not one.
 */
static fr_status step_to_group(struct fr_wal_reader *r)
{
    fr_status st;

    for (;;) {
        st = check_segment_end(r);
        if (st == FR_OK)
            st = enter_segment(r, r->at->successor);
        else if (st == FR_NOT_FOUND && fr_wal_next_place(r->in.offset) == r->in.offset)
            return FR_OK;
        else if (st == FR_NOT_FOUND)
            st = fr_wal_cursor_skip_gap(&r->in);
        if (st != FR_OK) return st;
    }
}

/* The next group, whatever its type. FR_END: the log ends before it. */
static fr_status next_group(struct fr_wal_reader *r, struct fr_wal_link *ret_before,
        struct fr_wal_group *ret_group, fr_slice *ret_payload)
{
    fr_status st = step_to_group(r);

    if (st == FR_OK) {
        *ret_before = link_here(r);
        st = fr_wal_cursor_next(&r->in, ret_group, ret_payload);
    }
    if (st != FR_NOT_FOUND) return st;
    /* museum 7: a damaged log segment passed over for the next one */
    if (FR_MUSEUM(7) && r->at->successor != NULL) {
        st = enter_segment(r, r->at->successor);
        return st < 0 ? st : next_group(r, ret_before, ret_group, ret_payload);
    }
    return judge_end(r, FR_WAL_END_OPEN, false);
}

static fr_status begin_batch(struct fr_wal_reader *r, const struct fr_wal_group *g,
        struct fr_wal_link before)
{
    if (r->in_batch == ((g->flags & FR_WAL_FIRST) != 0))
        return fail_damaged(r, "the batch before it is not what a writer writes");
    if (!r->in_batch) {
        r->batch_start = before;
        r->batch_lsn = g->lsn;
        r->batch_tag = g->tag;
        r->in_batch = true;
        fr_buf_clear(&r->batch);
    }
    return FR_OK;
}

/* FR_OK: the batch is whole. FR_NOT_FOUND: there is more to come. */
static fr_status take_data(struct fr_wal_reader *r, const struct fr_wal_group *g,
        struct fr_wal_link before, fr_slice *payload)
{
    bool first = (g->flags & FR_WAL_FIRST) != 0, last = (g->flags & FR_WAL_LAST) != 0;

    /* The rest of a batch that began in a segment which is no longer asked for. */
    if (!first && !r->in_batch && g->lsn < r->options.start) return FR_NOT_FOUND;
    fr_status st = begin_batch(r, g, before);
    if (st < 0) return st;
    if (r->batch.size + payload->size > FR_WAL_BATCH_MAX)
        return fail_damaged(r, "the batch before it is too large");
    r->in_batch = !last;
    if (last && r->batch.size == 0) return FR_OK; /* by far the most: no copy */
    if (r->batch_lsn >= r->options.start) {
        fr_buf_append(&r->batch, payload->data, payload->size);
        if (fr_buf_status(&r->batch) < 0) return fr_buf_status(&r->batch);
        *payload = fr_buf_slice(&r->batch);
    }
    return last ? FR_OK : FR_NOT_FOUND;
}

static fr_status next_batch(struct fr_wal_reader *r, fr_slice *ret_payload)
{
    struct fr_wal_link before = {0};
    struct fr_wal_group g = {0};
    fr_slice payload = {0};
    fr_status st;

    for (;;) {
        FR_TRY(next_group(r, &before, &g, &payload));
        /* museum 4: half a batch accepted */
        if (FR_MUSEUM(4) && st == FR_END && r->in_batch) {
            r->in_batch = false;
            *ret_payload = fr_buf_slice(&r->batch);
            return FR_OK;
        }
        if (st == FR_END) return FR_END;
        if (g.type == FR_WAL_SEAL) FR_TRY(take_seal(r, &g));
        if (g.type == FR_WAL_SEAL && st == FR_END) return FR_END;
        if (g.type != FR_WAL_DATA) continue;
        FR_TRY(take_data(r, &g, before, &payload));
        if (st == FR_NOT_FOUND) continue;
        /* museum 30: a fragment applied twice by replay */
        if (r->batch_lsn < r->options.start && !FR_MUSEUM(30)) continue;
        *ret_payload = payload;
        return FR_OK;
    }
out:
    return st;
}

fr_status fr_wal_reader_next(struct fr_wal_reader *r, fr_slice *ret_payload, uint64_t *ret_tag,
        fr_lsn *ret_lsn)
{
    if (r->done < 0) return fr_error_restore(&r->error);
    if (r->done != FR_OK) return r->done;

    fr_status st = r->at == NULL ? judge_empty(r) : next_batch(r, ret_payload);
    if (st == FR_OK) {
        *ret_tag = r->batch_tag;
        *ret_lsn = r->batch_lsn;
        return FR_OK;
    }
    r->done = st;
    if (st < 0) fr_error_save(&r->error);
    return st;
}

/* ---- looking again ----------------------------------------------------------------------------
 */

/* The segment in which the reader stands, in the chain as it is now. */
static fr_status find_again(struct fr_wal_reader *r, uint64_t number)
{
    struct found *f = r->at;

    while (f != NULL && f->number != number)
        f = f->successor;
    if (f == NULL)
        return FR_FAIL(FR_ERR_MISSING,
                "%s: segment %" PRIu64 " of the log, which was being read, "
                "is gone",
                fr_dir_path(r->dir), number);
    return use_segment(r, f); /* judging may have left it */
}

fr_status fr_wal_reader_resume(struct fr_wal_reader *r)
{
    fr_status st;

    FR_ASSERT(r->done == FR_END);
    r->options.flags |= FR_WAL_READ_FOLLOW;
    r->at = NULL;
    fr_free(FR_TAKE(r->files));
    r->file_count = 0;
    FR_TRY(find_segments(r));
    if (r->stands_in != 0)
        FR_TRY(find_again(r, r->stands_in));
    else if (r->at != NULL)
        FR_TRY(enter_segment(r, r->at));
    r->done = FR_OK;
out:
    if (st < 0) {
        r->done = st;
        fr_error_save(&r->error);
    }
    return st;
}

void fr_wal_reader_end(const struct fr_wal_reader *r, struct fr_wal_end *ret_end)
{
    FR_ASSERT(r->done == FR_END);
    *ret_end = r->end;
}

fr_status fr_wal_remove_before(struct fr_dir *dir, enum fr_wal_kind kind, uint64_t number)
{
    struct fr_dir_names names = {0};
    enum fr_file_kind file_kind;
    uint64_t file_number;
    fr_status first;

    first = fr_dir_list(dir, &names);
    for (size_t i = 0; i < names.count; i++) {
        if (!fr_file_name_parse(names.names[i], &file_kind, &file_number)) continue;
        if (file_kind != fr_wal_file_kind(kind) || file_number >= number) continue;
        fr_status st = fr_dir_unlink(dir, names.names[i]);
        if (st < 0 && first == FR_OK) first = st;
    }
    fr_dir_names_deinit(&names);
    return first;
}
