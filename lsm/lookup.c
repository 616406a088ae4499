#include "lsm/lookup.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "io/env.h"

void fr_lookup_init(struct fr_lookup *lookup, fr_slice key, fr_seq at, uint64_t now_us)
{
    /* Not all of it: the fragments' room is large and need not be clean. */
    lookup->key = key;
    lookup->at = at;
    lookup->now_us = now_us;
    lookup->clock = NULL;
    lookup->moment_us = NULL;
    lookup->covered = 0;
    lookup->complete = false;
    lookup->has_base = false;
    lookup->fragments = lookup->inline_fragments;
    lookup->fragment_count = 0;
    lookup->fragment_capacity = FR_LOOKUP_FRAGMENTS;
    lookup->newest = 0;
    lookup->copies = FR_BUF_EMPTY;
}

void fr_lookup_deinit(struct fr_lookup *lookup)
{
    if (lookup->fragments != lookup->inline_fragments) fr_free(lookup->fragments);
    lookup->fragments = lookup->inline_fragments;
    fr_buf_deinit(&lookup->copies);
}

void fr_lookup_cover(struct fr_lookup *lookup, fr_seq range_seq)
{
    FR_ASSERT(range_seq <= lookup->at);
    lookup->covered = FR_MAX(lookup->covered, range_seq);
}

void fr_lookup_source_done(struct fr_lookup *lookup)
{
    if (lookup->covered > 0) lookup->complete = true;
}

static fr_status keep(struct fr_lookup *lookup, fr_slice value, bool stays,
        struct fr_lookup_fragment *ret_kept)
{
    struct fr_lookup_fragment kept = {.offset = lookup->copies.size, .size = value.size};

    if (stays || value.size == 0) {
        kept.data = value.size == 0 ? (const uint8_t *)"" : value.data;
    } else {
        fr_buf_append(&lookup->copies, value.data, value.size);
        fr_status st = fr_buf_status(&lookup->copies);
        if (st != FR_OK) return st;
    }
    *ret_kept = kept;
    return FR_OK;
}

static fr_slice bytes_of(const struct fr_lookup *lookup, const struct fr_lookup_fragment *kept)
{
    const uint8_t *data = kept->data != NULL ? kept->data : lookup->copies.data + kept->offset;
    return fr_slice_of(data, kept->size);
}

static fr_status grow_fragments(struct fr_lookup *lookup)
{
    size_t capacity = 4 * lookup->fragment_capacity;
    bool grown = lookup->fragments != lookup->inline_fragments;
    struct fr_lookup_fragment *more =
            fr_realloc(grown ? lookup->fragments : NULL, capacity * sizeof(more[0]));

    if (more == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for %zu fragments", capacity);
    if (!grown) memcpy(more, lookup->inline_fragments, sizeof(lookup->inline_fragments));
    lookup->fragments = more;
    lookup->fragment_capacity = capacity;
    return FR_OK;
}

static fr_status add_fragment(struct fr_lookup *lookup, const struct fr_entry *entry, bool stays)
{
    fr_status st;

    if (lookup->fragment_count == lookup->fragment_capacity) FR_TRY(grow_fragments(lookup));
    FR_TRY(keep(lookup, entry->value, stays, &lookup->fragments[lookup->fragment_count]));
    lookup->fragment_count++;
out:
    return st;
}

/* The clock is asked once for all that share a moment. */
static void ask_clock(struct fr_lookup *lookup)
{
    uint64_t *moment_us = lookup->moment_us;

    lookup->now_us = moment_us != NULL ? *moment_us : 0;
    if (lookup->now_us == 0) lookup->now_us = fr_env_wall_us(lookup->clock);
    if (moment_us != NULL) *moment_us = lookup->now_us;
    lookup->clock = NULL;
}

static bool is_expired(struct fr_lookup *lookup, const struct fr_entry *entry)
{
    if (FR_LIKELY((entry->flags & FR_ENTRY_EXPIRES) == 0)) return false;
    if (lookup->clock != NULL) ask_clock(lookup);
    return entry->expires_us <= lookup->now_us;
}

static fr_status add_base(struct fr_lookup *lookup, const struct fr_entry *entry, bool stays)
{
    fr_status st = FR_OK;

    if (!is_expired(lookup, entry)) {
        FR_TRY(keep(lookup, entry->value, stays, &lookup->base_bytes));
        lookup->base = *entry;
        lookup->base.key = lookup->key;
        lookup->has_base = true;
    }
    lookup->complete = true;
out:
    return st;
}

fr_status fr_lookup_add(struct fr_lookup *lookup, const struct fr_entry *entry, bool stays)
{
    fr_status st = FR_OK;

    FR_ASSERT(entry->seq <= lookup->at);
    FR_ASSERT(!lookup->complete);
    if (entry->seq < lookup->covered || entry->kind == FR_KIND_DELETE) {
        lookup->complete = true;
        return FR_OK;
    }
    FR_ASSERT(entry->kind == FR_KIND_PUT || entry->kind == FR_KIND_APPEND);
    if (entry->kind == FR_KIND_APPEND)
        FR_TRY(add_fragment(lookup, entry, stays));
    else
        FR_TRY(add_base(lookup, entry, stays));
    if (lookup->newest == 0 && (lookup->has_base || lookup->fragment_count > 0))
        lookup->newest = entry->seq;
out:
    return st;
}

static fr_status put_together(const struct fr_lookup *lookup, fr_fetch_fn fetch, void *fetch_ctx,
        struct fr_buf *buf)
{
    fr_status st;

    if (lookup->has_base) {
        struct fr_entry base = lookup->base;
        base.value = bytes_of(lookup, &lookup->base_bytes);
        if (base.flags & FR_ENTRY_PLACED)
            FR_TRY(fetch(fetch_ctx, &base, buf));
        else
            fr_buf_append(buf, base.value.data, base.value.size);
    }
    for (size_t i = lookup->fragment_count; i-- > 0;) {
        fr_slice fragment = bytes_of(lookup, &lookup->fragments[i]);
        fr_buf_append(buf, fragment.data, fragment.size);
    }
    st = fr_buf_status(buf);
out:
    return st;
}

bool fr_lookup_placed(const struct fr_lookup *lookup, struct fr_entry *ret_base)
{
    if (!lookup->has_base || (lookup->base.flags & FR_ENTRY_PLACED) == 0) return false;
    *ret_base = lookup->base;
    ret_base->value = bytes_of(lookup, &lookup->base_bytes);
    return true;
}

fr_status fr_lookup_value(const struct fr_lookup *lookup, fr_fetch_fn fetch, void *fetch_ctx,
        struct fr_buf *buf, fr_slice *ret_value, fr_seq *ret_seq)
{
    size_t parts = fr_lookup_parts(lookup);
    size_t before = buf->size;

    if (parts == 0) return FR_NOT_FOUND;
    if (parts == 1 && !(lookup->has_base && lookup->base.flags & FR_ENTRY_PLACED)) {
        *ret_value =
                bytes_of(lookup, lookup->has_base ? &lookup->base_bytes : &lookup->fragments[0]);
    } else {
        fr_status st = put_together(lookup, fetch, fetch_ctx, buf);
        if (st != FR_OK) {
            buf->size = before;
            return st;
        }
        *ret_value = fr_slice_of(buf->data + before, buf->size - before);
    }
    if (ret_seq != NULL) *ret_seq = lookup->newest;
    return FR_OK;
}
