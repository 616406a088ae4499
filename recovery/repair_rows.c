/*
 * repair_rows.c - all sources side by side, key by key: what is certain of each.
 *
 * Of a key the entries come from the newest on, down to the first PUT or DELETE, or to the newest
 * range delete that covers it. All that is lost and may be newer than that makes the value
 * uncertain: the row is stale, at best. What is lost and older does not matter.
 */
#include "base/alloc.h"
#include "base/hash.h"
#include "lsm/engine.h"
#include "lsm/range_set.h"
#include "recovery/repair_priv.h"

#define BATCH_BYTES ((size_t)4 << 20)

/* An entry of the key; its value lies in bytes. */
struct held {
    size_t offset;
    size_t size;
    fr_seq seq;
    uint64_t expires_us;
    uint8_t kind;
    uint8_t flags;
};

static size_t held_count(const struct fr_repair *r)
{
    return r->held.size / sizeof(struct held);
}

static struct held *held_at(const struct fr_repair *r, size_t index)
{
    return (struct held *)(void *)r->held.data + index;
}

/* --- Sources in the order of their entries --- */

static fr_status advance(struct fr_repair_source *source)
{
    fr_status st;

    if (source->salvage != NULL) {
        st = fr_salvage_next(source->salvage, &source->entry);
    } else {
        st = fr_iter_next(source->log);
        if (st == FR_OK) source->entry = source->log->entry;
    }
    source->done = st != FR_OK;
    return st;
}

static bool is_before(const struct fr_repair_source *a, const struct fr_repair_source *b)
{
    return fr_entry_compare(a->entry.key, a->entry.seq, b->entry.key, b->entry.seq) < 0;
}

static void sink(struct fr_repair *r, size_t at)
{
    for (;;) {
        size_t least = at, child = 2 * at + 1;

        for (size_t i = child; i < child + 2 && i < r->heap_count; i++)
            if (is_before(r->heap[i], r->heap[least])) least = i;
        if (least == at) return;
        struct fr_repair_source *moved = r->heap[at];
        r->heap[at] = r->heap[least];
        r->heap[least] = moved;
        at = least;
    }
}

static fr_status begin(struct fr_repair *r)
{
    fr_status st;

    r->heap_count = 0;
    for (size_t i = 0; i < r->source_count; i++) {
        struct fr_repair_source *source = &r->sources[i];
        if (source->salvage != NULL)
            fr_salvage_rewind(source->salvage);
        else
            fr_iter_seek_first(source->log);
        FR_TRY(advance(source));
        if (!source->done) r->heap[r->heap_count++] = source;
    }
    for (size_t i = r->heap_count; i-- > 0;)
        sink(r, i);
    st = FR_OK;
out:
    return st;
}

/* Behind the first entry of all. */
static fr_status pop(struct fr_repair *r)
{
    struct fr_repair_source *top = r->heap[0];
    fr_status st = fr_repair_count(r);

    if (st == FR_OK) st = advance(top);
    if (st < 0) return st;
    if (top->done) r->heap[0] = r->heap[--r->heap_count];
    sink(r, 0);
    return FR_OK;
}

/* --- One key --- */

static bool ends_history(const struct fr_entry *entry)
{
    return entry->kind == FR_KIND_PUT || entry->kind == FR_KIND_DELETE;
}

static fr_status hold(struct fr_repair *r, const struct fr_entry *entry)
{
    struct held held = {.offset = r->bytes.size,
            .size = entry->value.size,
            .seq = entry->seq,
            .expires_us = entry->expires_us,
            .kind = entry->kind,
            .flags = entry->flags};

    fr_buf_append(&r->bytes, entry->value.data, entry->value.size);
    fr_buf_append(&r->held, &held, sizeof(held));
    fr_status st = fr_buf_status(&r->bytes);
    return st < 0 ? st : fr_buf_status(&r->held);
}

/* All entries of the key on top, as far as they count. */
static fr_status gather_key(struct fr_repair *r)
{
    bool ended = false;
    fr_seq last = 0;
    fr_status st;

    fr_buf_clear(&r->key);
    fr_buf_clear(&r->held);
    fr_buf_clear(&r->bytes);
    fr_buf_append(&r->key, r->heap[0]->entry.key.data, r->heap[0]->entry.key.size);
    FR_TRY(fr_buf_status(&r->key));
    while (r->heap_count > 0 && fr_slice_equal(r->heap[0]->entry.key, fr_buf_slice(&r->key))) {
        const struct fr_entry *entry = &r->heap[0]->entry;
        if (!ended || entry->seq == last) FR_TRY(hold(r, entry));
        ended |= ends_history(entry);
        last = entry->seq;
        FR_TRY(pop(r));
    }
    st = FR_OK;
out:
    return st;
}

/* Whether a gap may have had an entry of the key above a sequence number. */
static bool may_hide(const struct fr_gap *gap, fr_slice key, fr_seq above)
{
    fr_seq newest = gap->newest;

    if (gap->low.size > 0) {
        int order = fr_slice_compare(key, gap->low);
        if (order < 0) return false;
        if (order == 0) newest = FR_MIN(newest, gap->low_seq - 1);
    }
    if (gap->high.size > 0) {
        int order = fr_slice_compare(key, gap->high);
        if (order > 0) return false;
        if (order == 0) above = FR_MAX(above, gap->high_seq);
    }
    return newest > above;
}

static bool is_stale(const struct fr_repair *r, fr_slice key, fr_seq above)
{
    for (size_t i = 0; i < r->gap_count; i++)
        if (may_hide(&r->gaps[i], key, above)) return true;
    return false;
}

/* --- Indexes --- */

static bool crosses_index(const struct fr_repair *r, const struct fr_gap *gap)
{
    struct fr_index_key all = fr_key_kind(&r->index_prefix, 0), behind = fr_key_behind(&all);

    return (gap->high.size == 0 || fr_slice_compare(gap->high, fr_index_key_slice(&all)) >= 0) &&
           (gap->low.size == 0 || fr_slice_compare(gap->low, fr_index_key_slice(&behind)) < 0);
}

static bool is_hurt(const struct fr_repair *r, const char *name)
{
    for (size_t at = 0; at < r->hurt.size; at += sizeof(r->index))
        if (strcmp((const char *)r->hurt.data + at, name) == 0) return true;
    return false;
}

/* Its options are lost, and it has rows: nobody can open it without naming these. */
static fr_status tell_options(struct fr_repair *r)
{
    struct fr_loss loss = {.kind = FR_LOSS_OPTIONS, .key = r->index, .key_size = strlen(r->index)};

    if (r->index_has_options || !r->index_has_rows) return FR_OK;
    r->index_hurt = true; /* what is derived goes by them */
    (void)FR_FAIL(FR_ERR_CORRUPT,
            "index \"%s\": its options are lost; its rows are kept: open it with its metric "
            "(freshet rebuild --metric)",
            r->index);
    return fr_repair_tell(r, &loss);
}

/* In the first walk it has turned out by now whether what is derived can stay. */
static fr_status leave_index(struct fr_repair *r)
{
    struct fr_loss loss = {.kind = FR_LOSS_DERIVED, .key = r->index, .key_size = strlen(r->index)};

    if (!r->in_index) return FR_OK;
    r->in_index = false;
    if (r->engine != NULL) return FR_OK;
    fr_status told = tell_options(r);
    if (told < 0) return told;
    if (!r->index_hurt) {
        r->stats->keys += r->derived_count;
        r->stats->value_bytes += r->derived_bytes;
        r->planned += r->derived_print;
        return FR_OK;
    }
    r->stats->derived_dropped += r->derived_count;
    fr_buf_append(&r->hurt, r->index, sizeof(r->index));
    if (fr_buf_status(&r->hurt) < 0) return fr_buf_status(&r->hurt);
    (void)FR_FAIL(FR_ERR_CORRUPT,
            "index \"%s\": what is derived is left out, to be made anew from its rows", r->index);
    return fr_repair_tell(r, &loss);
}

static fr_status enter_index(struct fr_repair *r)
{
    char name[FR_INDEX_NAME_MAX + 1];
    fr_slice key = fr_buf_slice(&r->key);

    bool inside = fr_slice_starts_with(key, fr_slice_of_text("spfresh")) &&
                  fr_key_read_name(key, name) == FR_OK;
    if (r->in_index && inside && strcmp(name, r->index) == 0) return FR_OK;
    fr_status st = leave_index(r);
    if (st < 0 || !inside) return st;
    memset(r->index, 0, sizeof(r->index));
    memcpy(r->index, name, strlen(name));
    fr_key_prefix(name, &r->index_prefix);
    r->in_index = true;
    r->index_has_options = r->index_has_rows = false;
    r->index_hurt = r->engine != NULL ? is_hurt(r, name) : r->stats->history_lost;
    r->derived_count = r->derived_bytes = r->derived_print = 0;
    for (size_t i = 0; i < r->gap_count && !r->index_hurt; i++)
        r->index_hurt = crosses_index(r, &r->gaps[i]);
    return FR_OK;
}

static bool is_derived(const struct fr_repair *r)
{
    struct fr_index_key centroids = fr_key_kind(&r->index_prefix, 'c');
    struct fr_index_key postings = fr_key_kind(&r->index_prefix, 'p');
    struct fr_index_key space = fr_key_space(&r->index_prefix);
    struct fr_index_key lost = fr_key_lost(&r->index_prefix);
    fr_slice key = fr_buf_slice(&r->key);

    return r->in_index && (fr_slice_starts_with(key, fr_index_key_slice(&centroids)) ||
                                  fr_slice_starts_with(key, fr_index_key_slice(&postings)) ||
                                  fr_slice_equal(key, fr_index_key_slice(&space)) ||
                                  fr_slice_equal(key, fr_index_key_slice(&lost)));
}

static bool is_options(const struct fr_repair *r)
{
    struct fr_index_key options = fr_key_options(&r->index_prefix);

    return r->in_index && fr_slice_equal(fr_buf_slice(&r->key), fr_index_key_slice(&options));
}

static void note_kept(struct fr_repair *r)
{
    struct fr_index_key rows = fr_key_kind(&r->index_prefix, 'v');

    if (!r->in_index) return;
    r->index_has_options |= is_options(r);
    r->index_has_rows |= fr_slice_starts_with(fr_buf_slice(&r->key), fr_index_key_slice(&rows));
}

/* --- What becomes of it --- */

/* The value of an entry, from its value file if it is there; bytes may move. */
static fr_status fetch(struct fr_repair *r, struct held *held)
{
    struct fr_place place;

    if ((held->flags & FR_ENTRY_PLACED) == 0) return FR_OK;
    if (!fr_place_get(fr_slice_of(r->bytes.data + held->offset, held->size), &place))
        return FR_FAIL(FR_ERR_CORRUPT, "a value's place cannot be one");
    size_t offset = r->bytes.size;
    fr_status st =
            fr_salvage_value(&r->values, &place, fr_buf_slice(&r->key), held->seq, &r->bytes);
    if (st < 0) return st;
    held->offset = offset;
    held->size = r->bytes.size - offset;
    held->flags &= (uint8_t)~FR_ENTRY_PLACED;
    return FR_OK;
}

/*
 * An entry may be there twice, if a file of before a compaction is: and its value at two places, of
 * which one is as good as the other, if it is there.
 */
static fr_status drop_doubles(struct fr_repair *r)
{
    size_t kept = 0;

    for (size_t i = 0; i < held_count(r); i++) {
        struct held *last = kept > 0 ? held_at(r, kept - 1) : NULL;
        if (last == NULL || last->seq != held_at(r, i)->seq) {
            *held_at(r, kept++) = *held_at(r, i);
            continue;
        }
        fr_status st = fetch(r, last);
        if (st == FR_ERR_NOMEM) return st;
        if (st < 0) *last = *held_at(r, i);
    }
    r->held.size = kept * sizeof(struct held);
    return FR_OK;
}

static fr_slice value_of(const struct fr_repair *r, const struct held *held)
{
    return fr_slice_of(r->bytes.data + held->offset, held->size);
}

/* The value of those that could be fetched, the oldest first, behind all other bytes. */
static fr_slice value_so_far(struct fr_repair *r, size_t first, size_t end)
{
    size_t start = r->bytes.size, all = 0;

    if (first == end) return (fr_slice){0};
    for (size_t i = first; i < end; i++)
        all += held_at(r, i)->size;
    if (fr_buf_extend(&r->bytes, all) == NULL) return (fr_slice){0};
    uint8_t *to = r->bytes.data + start;
    for (size_t i = end; i-- > first;) {
        fr_slice part = value_of(r, held_at(r, i));
        memcpy(to, part.data, part.size);
        to += part.size;
    }
    return fr_slice_of(r->bytes.data + start, all);
}

static fr_status quarantine(struct fr_repair *r, enum fr_loss_kind kind, fr_slice value)
{
    struct fr_loss loss = {.kind = kind,
            .key = r->key.data,
            .key_size = r->key.size,
            .seq = held_at(r, 0)->seq,
            .value = value.data,
            .value_size = value.size};

    if (r->in_index) r->index_hurt = true;
    return fr_repair_tell(r, &loss);
}

static fr_status write_batch(struct fr_repair *r)
{
    fr_slice bytes;
    fr_status st;

    if (r->batch.count == 0) return FR_OK;
    FR_TRY(fr_batch_finish(&r->batch, &bytes));
    FR_TRY(fr_engine_write(r->engine, bytes, r->batch.count, FR_DURABLE_NONE));
    fr_batch_reset(&r->batch);
out:
    return st;
}

static fr_status add_to_batch(struct fr_repair *r, const struct held *held)
{
    fr_slice key = fr_buf_slice(&r->key), value = value_of(r, held);

    if (held->kind == FR_KIND_APPEND) return fr_batch_add_append(&r->batch, key, value);
    if (held->flags & FR_ENTRY_EXPIRES)
        return fr_batch_add_put_until(&r->batch, key, value, held->expires_us);
    return fr_batch_add_put(&r->batch, key, value);
}

/* As it was: a put, and what was appended since, so that a put that expires takes no more along. */
static fr_status keep(struct fr_repair *r, size_t count, bool derived)
{
    fr_status st = FR_OK;
    size_t size = 0;

    for (size_t i = 0; i < count; i++)
        size += held_at(r, i)->size;
    note_kept(r);
    if (r->engine == NULL) {
        *(derived ? &r->derived_count : &r->stats->keys) += 1;
        *(derived ? &r->derived_bytes : &r->stats->value_bytes) += size;
        *(derived ? &r->derived_print : &r->planned) += fr_hash64(fr_buf_slice(&r->key));
        return FR_OK;
    }
    r->written += fr_hash64(fr_buf_slice(&r->key));
    for (size_t i = count; i-- > 0;)
        FR_TRY(add_to_batch(r, held_at(r, i)));
    if (r->batch.bytes.size >= BATCH_BYTES) FR_TRY(write_batch(r));
out:
    return st;
}

/* Losses are told in the first walk, and are the same in the second. */
static fr_status lose(struct fr_repair *r, enum fr_loss_kind kind, bool derived, fr_slice value)
{
    if (r->engine != NULL) return FR_OK;
    if (derived) {
        r->index_hurt = true; /* it is made anew from rows, so it is no loss */
        return FR_OK;
    }
    r->stats->quarantined++;
    return quarantine(r, kind, value);
}

/* Options that say nothing are worse than none: those may be named by who opens the index. */
static fr_status check_options(const struct fr_repair *r, size_t count)
{
    struct fr_stored_options options;

    if (!is_options(r)) return FR_OK;
    if (count > 1) return FR_FAIL(FR_ERR_CORRUPT, "the options of an index are in parts");
    fr_status st = fr_stored_read_options(value_of(r, held_at(r, 0)), &options);
    return st == FR_ERR_CORRUPT ? st : FR_OK;
}

static fr_status settle(struct fr_repair *r, size_t count, fr_seq base)
{
    bool derived = is_derived(r), stale = is_stale(r, fr_buf_slice(&r->key), base);

    if (derived && r->index_hurt) {
        r->derived_count++;
        return FR_OK;
    }
    for (size_t i = count; i-- > 0;) {
        fr_status st = fetch(r, held_at(r, i));
        if (st == FR_ERR_NOMEM) return st;
        if (st < 0) return lose(r, FR_LOSS_VALUE, derived, value_so_far(r, i + 1, count));
    }
    if (check_options(r, count) < 0)
        return lose(r, FR_LOSS_VALUE, derived, value_so_far(r, 0, count));
    if (!stale) return keep(r, count, derived);
    (void)FR_FAIL(FR_ERR_CORRUPT, "what is lost may have changed it since");
    if (!r->how->keep_stale || derived)
        return lose(r, FR_LOSS_STALE, derived, value_so_far(r, 0, count));
    if (r->engine == NULL) {
        r->stats->stale_kept++;
        fr_status st = quarantine(r, FR_LOSS_STALE, value_so_far(r, 0, count));
        if (st < 0) return st;
    }
    return keep(r, count, derived);
}

/* Which entries count, and down to which sequence number they say all there is to say. */
static fr_status decide(struct fr_repair *r)
{
    fr_seq covered = fr_range_set_covering(r->ranges, fr_buf_slice(&r->key), FR_SEQ_MAX);
    fr_seq base = covered;
    size_t count = 0;

    while (count < held_count(r) && held_at(r, count)->seq > covered) {
        const struct held *held = held_at(r, count);
        if (held->kind != FR_KIND_APPEND) base = held->seq;
        if (held->kind == FR_KIND_DELETE) break;
        count++;
    }
    return count == 0 ? FR_OK : settle(r, count, base);
}

fr_status fr_repair_rows(struct fr_repair *r)
{
    fr_status st;

    r->in_index = false;
    FR_TRY(begin(r));
    while (r->heap_count > 0) {
        FR_TRY(gather_key(r));
        FR_TRY(enter_index(r));
        FR_TRY(drop_doubles(r));
        FR_TRY(decide(r));
    }
    FR_TRY(leave_index(r));
    if (r->engine != NULL) FR_TRY(write_batch(r));
out:
    return st;
}
