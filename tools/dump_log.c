/*
 * dump_log.c - a segment of a log or of a manifest, group by group, with what is in them.
 *
 * A file by itself does not say how much of it was ever acknowledged; the groups behind a flaw do
 * (wal/wal_format.h). If one of them knows the log durable beyond it, the flaw is damage. Otherwise
 * the log ends there, as it does after a crash; groups that are found behind it all the same are
 * told as lost. Only what a newer segment knows is not seen here.
 */
#include <inttypes.h>

#include "base/assert.h"
#include "io/file.h"
#include "lsm/batch.h"
#include "tools/dump.h"
#include "wal/wal_cursor.h"

/* Where a part of a batch lies in the file, if it is cut in several groups. */
struct part {
    size_t at; /* in the batch */
    uint64_t offset;
};

struct log_dump {
    struct fr_dump *d;
    const char *path;
    struct fr_wal_cursor in;
    bool is_manifest;

    fr_lsn durable; /* what the groups behind the first flaw know */
    bool searched;  /* for that */
    bool ended;     /* what follows is behind the end */
    bool unchained; /* the next group's checksum cannot be compared with anything */
    bool stop;      /* behind a seal, or nothing can be read any more */

    /* A batch that is put together. */
    struct fr_buf batch;
    struct fr_buf parts; /* struct part */
    uint64_t tag;        /* of its first group */
};

/* ---- The header page ---- */

static void tell_header(struct log_dump *l, const struct fr_wal_header *h, const uint8_t *page)
{
    struct fr_dump *d = l->d;

    fr_dump_begin(d, 0, "header");
    fr_dump_words(d, "kind", h->kind == FR_WAL_KIND_MANIFEST ? "manifest" : "log");
    fr_dump_id(d, "store", h->store, FR_STORE_ID_SIZE);
    fr_dump_u64(d, "number", h->number);
    fr_dump_u64(d, "epoch", h->epoch);
    fr_dump_u64(d, "first", h->first);
    fr_dump_u64(d, "size", h->size);
    if (h->previous.number > 0) {
        fr_dump_u64(d, "previous", h->previous.number);
        fr_dump_u64(d, "previous_lsn", h->previous.lsn);
        fr_dump_crc(d, "previous_crc", h->previous.crc);
    }
    fr_dump_u64(d, "durable", h->durable);
    fr_dump_crc(d, "crc", h->crc);
    fr_dump_end(d, 0, fr_slice_of(page, FR_WAL_HEADER_SIZE));
}

static bool take_header(struct log_dump *l, const uint8_t *page, uint64_t size, uint64_t number)
{
    struct fr_wal_header h;
    fr_status st = fr_wal_header_decode(page, &h);

    if (st < 0) return false;
    tell_header(l, &h, page);
    if (number > h.number) {
        fr_dump_begin(l->d, 0, "note");
        fr_dump_words(l->d, "words",
                "bytes of a former life: the file waits to be a segment of the number in its name");
        fr_dump_done(l->d);
    }
    if (h.size > size) {
        (void)!FR_FAIL(FR_ERR_CORRUPT, "%s: ends at %" PRIu64 ", the segment has %" PRIu64 " bytes",
                l->path, size, h.size);
        fr_dump_damage(l->d, size);
        h.size = size;
    }
    l->is_manifest = h.kind == FR_WAL_KIND_MANIFEST;
    fr_wal_cursor_use(&l->in, l->in.file, size, &h, h.store, h.number);
    fr_wal_cursor_rewind(&l->in);
    return true;
}

/*
 * The header is no more: whose segment it was and which may still be read in it, or in its name,
 * and the rest follows from the first group that fits.
 */
static bool guess_header(struct log_dump *l, const uint8_t *page, uint64_t size, uint64_t number)
{
    struct fr_wal_header h = {.size = size};
    uint64_t offset = FR_WAL_HEADER_SIZE;
    struct fr_wal_group g;

    memcpy(h.store, page + 24, FR_STORE_ID_SIZE);
    h.number = number > 0 ? number : fr_get_u64(page + 40);
    fr_wal_cursor_use(&l->in, l->in.file, size, NULL, h.store, h.number);
    for (;; offset += 8) {
        if (fr_wal_cursor_find(&l->in, UINT64_MAX, &offset, &g) != FR_OK) return false;
        if (g.lsn >= offset - FR_WAL_HEADER_SIZE) break;
    }
    h.first = g.lsn - (offset - FR_WAL_HEADER_SIZE);
    h.epoch = g.epoch;
    fr_wal_cursor_use(&l->in, l->in.file, size, &h, h.store, h.number);
    fr_wal_cursor_rewind(&l->in);
    l->unchained = true;
    return true;
}

/* false: there is nothing to go on with. */
static bool read_header(struct log_dump *l, uint64_t size, uint64_t number)
{
    struct fr_buf page = FR_BUF_EMPTY;
    bool good = false;

    if (size < FR_WAL_HEADER_SIZE) {
        (void)!FR_FAIL(FR_ERR_CORRUPT, "%s: ends at %" PRIu64 ", before its header page does",
                l->path, size);
        fr_dump_damage(l->d, size);
        return false;
    }
    if (fr_dump_read(l->d, l->in.file, 0, FR_WAL_HEADER_SIZE, &page)) {
        good = take_header(l, page.data, size, number);
        if (!good) {
            fr_dump_damage_in(l->d, l->path, 0);
            good = guess_header(l, page.data, size, number);
        }
    }
    fr_buf_deinit(&page);
    return good;
}

/* A file that was made in advance and never begun: nothing is in it, and nothing is wrong. */
static bool is_blank(struct log_dump *l, uint64_t size)
{
    const uint8_t *bytes;

    for (uint64_t at = 0; at < size; at += FR_WAL_HEADER_SIZE) {
        size_t step = (size_t)FR_MIN(size - at, (uint64_t)FR_WAL_HEADER_SIZE);
        if (fr_wal_cursor_fetch(&l->in, at, step, &bytes) < 0) return false;
        if (!fr_dump_all_zeros(fr_slice_of(bytes, step))) return false;
    }
    return size >= FR_WAL_SEGMENT_SIZE_MIN;
}

/* ---- What a group carries ---- */

/* Where a byte of the batch is in the file. */
static uint64_t place_in_file(const void *ctx, size_t at)
{
    const struct log_dump *l = ctx;
    const struct part *parts = (const struct part *)(const void *)l->parts.data;
    size_t count = l->parts.size / sizeof(*parts), i = count - 1;

    while (i > 0 && parts[i].at > at)
        i--;
    return parts[i].offset + (at - parts[i].at);
}

static void tell_operation(struct log_dump *l, const struct fr_entry *entry, fr_slice raw,
        size_t at)
{
    uint64_t offset = place_in_file(l, at);

    if (!fr_dump_concerns(l->d, entry)) return;
    fr_dump_begin(l->d, offset, "entry");
    fr_dump_entry(l->d, entry);
    if (l->ended) fr_dump_flag(l->d, "lost");
    fr_dump_end(l->d, offset, raw);
}

static void tell_operations(struct log_dump *l, fr_slice batch)
{
    struct fr_batch_reader reader;
    struct fr_entry entry;
    fr_status st = fr_batch_read(batch, l->tag, true, &reader);

    if (st < 0) fr_dump_damage_in(l->d, l->path, place_in_file(l, 0));
    while (st == FR_OK && !fr_dump_full(l->d)) {
        size_t at = fr_bytes_offset(&reader.in);

        st = fr_batch_read_next(&reader, &entry);
        if (st == FR_OK) {
            size_t size = fr_bytes_offset(&reader.in) - at;
            tell_operation(l, &entry, fr_slice_of(batch.data + at, size), at);
        } else if (st < 0) {
            fr_dump_damage_in(l->d, l->path, place_in_file(l, at));
            if (fr_batch_read_past(&reader)) st = FR_OK;
        }
    }
}

static void tell_batch(struct log_dump *l)
{
    fr_slice batch = fr_buf_slice(&l->batch);

    if (!l->is_manifest && batch.size > 0) tell_operations(l, batch);
    if (l->is_manifest) fr_dump_edit(l->d, l->path, batch, place_in_file, l);
}

/* Gather the groups of a batch; of one whose begin is not here there is nothing to tell. */
static void take_data(struct log_dump *l, const struct fr_wal_group *g, uint64_t offset,
        fr_slice payload)
{
    struct part part = {.at = l->batch.size, .offset = offset + FR_WAL_GROUP_HEADER_SIZE};

    if (g->flags & FR_WAL_FIRST) {
        fr_buf_clear(&l->batch);
        fr_buf_clear(&l->parts);
        part.at = 0;
        l->tag = g->tag;
    } else if (l->parts.size == 0) {
        return;
    }
    fr_buf_append(&l->batch, payload.data, payload.size);
    fr_buf_append(&l->parts, &part, sizeof(part));
    if (l->batch.failed || l->parts.failed) {
        (void)!FR_FAIL(FR_ERR_NOMEM, "%s: no memory for a batch", l->path);
        fr_dump_damage(l->d, offset);
        return;
    }
    if (!(g->flags & FR_WAL_LAST)) return;
    tell_batch(l);
    fr_buf_clear(&l->parts);
}

/* ---- Groups ---- */

static void tell_group(struct log_dump *l, const struct fr_wal_group *g, uint64_t offset,
        fr_slice payload, const char *checksum)
{
    static const char *const types[] = {
            [FR_WAL_DATA] = "DATA", [FR_WAL_PAD] = "PAD", [FR_WAL_SEAL] = "SEAL"};
    struct fr_dump *d = l->d;

    fr_dump_begin(d, offset, "group");
    fr_dump_words(d, "type", types[g->type]);
    fr_dump_u64(d, "lsn", g->lsn);
    fr_dump_u64(d, "durable", g->durable);
    fr_dump_u64(d, "tag", g->tag);
    fr_dump_u64(d, "size", g->size);
    if (g->flags & FR_WAL_FIRST) fr_dump_flag(d, "first");
    if (g->flags & FR_WAL_LAST) fr_dump_flag(d, "last");
    if (g->flags & FR_WAL_CLOSED) fr_dump_flag(d, "closed");
    fr_dump_crc(d, "crc", g->crc);
    if (checksum != NULL) fr_dump_words(d, "checksum", checksum);
    if (l->ended) fr_dump_flag(d, "lost");
    /* The header stands right before its payload. */
    fr_dump_end(d, offset,
            fr_slice_of(payload.data - FR_WAL_GROUP_HEADER_SIZE, FR_WAL_GROUP_HEADER_SIZE));
    if (g->type == FR_WAL_SEAL) l->stop = true;
    if (g->type == FR_WAL_DATA) take_data(l, g, offset, payload);
}

/* How far the groups from here on know the log durable; asked once, at the first flaw. */
static fr_lsn durable_behind(struct log_dump *l, uint64_t offset)
{
    struct fr_wal_group g;

    for (; !l->searched; offset += 8) {
        l->searched = fr_wal_cursor_find(&l->in, 0, &offset, &g) != FR_OK;
        if (!l->searched) l->durable = FR_MAX(l->durable, g.durable);
    }
    return l->durable;
}

/* Something is not as it was written: damage, or the end. */
static void tell_flaw(struct log_dump *l, uint64_t offset, const char *what)
{
    fr_lsn lsn = fr_wal_cursor_lsn_at(&l->in, offset);

    if (l->ended) return;
    if (durable_behind(l, offset) > lsn) {
        (void)!FR_FAIL(FR_ERR_CORRUPT,
                "%s: group at %" PRIu64 " (LSN %" PRIu64 ") %s; the log was durable beyond it",
                l->path, offset, lsn, what);
        fr_dump_damage(l->d, offset);
        return;
    }
    l->ended = true;
    fr_dump_begin(l->d, offset, "end");
    fr_dump_u64(l->d, "lsn", lsn);
    fr_dump_words(l->d, "words", what);
    fr_dump_done(l->d);
}

/* The next group that can be recognised. false: there is none, and the log ends here. */
static bool step_over_flaw(struct log_dump *l)
{
    uint64_t offset = l->in.offset;
    struct fr_wal_group g = {.size = 0};
    fr_status st;

    do
        st = fr_wal_cursor_find(&l->in, 0, &offset, &g);
    while (st == FR_OK && fr_wal_group_extent(g.size) > l->in.header.size - offset &&
            (offset += 8) > 0);
    tell_flaw(l, l->in.offset,
            st == FR_OK ? "is torn or damaged" : "is not there: nothing was written behind");
    if (st < 0) fr_dump_damage(l->d, offset);
    l->in.offset = offset;
    l->unchained = true;
    return st == FR_OK;
}

/* A group with a header that can be believed. */
static void take_group(struct log_dump *l)
{
    uint64_t offset = l->in.offset;
    struct fr_wal_group g = {.size = 0};
    fr_slice payload;
    fr_status st = l->unchained ? FR_NOT_FOUND : fr_wal_cursor_next(&l->in, &g, &payload);
    const char *checksum = NULL;

    if (st == FR_NOT_FOUND) {
        checksum = l->unchained ? "unknown" : "wrong";
        if (!l->unchained) tell_flaw(l, offset, "does not match its checksum");
        st = fr_wal_cursor_take(&l->in, &g, &payload);
    }
    l->unchained = false;
    if (st == FR_OK) {
        tell_group(l, &g, offset, payload, checksum);
    } else {
        if (st < 0) fr_dump_damage(l->d, offset);
        l->stop = true;
    }
}

static void walk(struct log_dump *l)
{
    struct fr_wal_group g;

    while (!fr_dump_full(l->d) && !l->stop) {
        fr_status st = l->unchained ? FR_OK : fr_wal_cursor_skip_gap(&l->in);

        if (l->in.header.size - l->in.offset < FR_WAL_GROUP_HEADER_SIZE) break;
        if (st == FR_OK) st = fr_wal_cursor_peek(&l->in, &g);
        if (st != FR_OK && !step_over_flaw(l)) break;
        take_group(l);
    }
}

void fr_dump_log(struct fr_dump *d, struct fr_file *file, uint64_t size, uint64_t number,
        bool is_manifest)
{
    struct log_dump l = {.d = d, .path = fr_file_path(file), .is_manifest = is_manifest};

    fr_wal_cursor_use(&l.in, file, size, NULL, (const uint8_t *)"no store known ", number);
    if (is_blank(&l, size)) {
        fr_dump_begin(d, 0, "blank");
        fr_dump_done(d);
    } else if (read_header(&l, size, number)) {
        walk(&l);
    }
    fr_wal_cursor_deinit(&l.in);
    fr_buf_deinit(&l.batch);
    fr_buf_deinit(&l.parts);
}
