/*
 * iter.h - walking over entries in their order, forwards and backwards.
 *
 * An iterator stands on an entry or in a gap between two. A new one stands in the gap before the
 * first entry. next moves to the entry behind, prev to the entry before, whatever it stands on or
 * in; so
 *
 *     seek("b")    stands in the gap before the first entry that is not below ("b", any newest)
 *     next         that entry
 *     prev         from the gap: the last entry below it; from that entry: the same
 *
 * The loop has one form:
 *
 *     fr_iter_seek(it, key, FR_SEQ_MAX);
 *     while ((st = fr_iter_next(it)) == FR_OK)
 *         use(&it->entry);
 *     if (st == FR_END) st = FR_OK;
 *
 * it->entry is valid after an FR_OK, until the next call on the iterator. FR_END leaves it in the
 * gap behind the last entry (or before the first); the way back is open from there. An error
 * sticks: every later move answers it, until a seek to somewhere else succeeds.
 *
 * seek never fails: what goes wrong in it is told by the move that follows. One thread at a time.
 */
#ifndef FR_LSM_ITER_H
#define FR_LSM_ITER_H

#include "base/status.h"
#include "lsm/entry.h"

struct fr_iter;

struct fr_iter_ops {
    void (*close)(struct fr_iter *it);
    void (*seek)(struct fr_iter *it, fr_slice key, fr_seq seq); /* before the first >= (key, seq) */
    void (*seek_first)(struct fr_iter *it);                     /* before all */
    void (*seek_last)(struct fr_iter *it);                      /* behind all */
    fr_status (*next)(struct fr_iter *it);
    fr_status (*prev)(struct fr_iter *it);
};

/*
 * Told of entries that cannot be read, for their bytes are damaged: of keys from low to high, both
 * included. The words are fr_last_error(). FR_OK: whoever walks goes on behind them.
 */
typedef fr_status fr_iter_damage_fn(void *ctx, fr_slice low, fr_slice high);

/*
 * Asked of an entry whose value lies in a value file, before it is read from there; the entry's own
 * value is the place. true: whoever walks knows it, and gets *ret_value for it.
 */
typedef bool fr_iter_known_fn(void *ctx, const struct fr_entry *entry, fr_slice *ret_value);

/* The first member of every iterator's own struct. */
struct fr_iter {
    const struct fr_iter_ops *ops;
    struct fr_entry entry;
};

/* Close it and all that it owns. NULL is fine. */
static inline void fr_iter_close(struct fr_iter *it)
{
    if (it != NULL) it->ops->close(it);
}

static inline void fr_iter_seek(struct fr_iter *it, fr_slice key, fr_seq seq)
{
    it->ops->seek(it, key, seq);
}

static inline void fr_iter_seek_first(struct fr_iter *it)
{
    it->ops->seek_first(it);
}

static inline void fr_iter_seek_last(struct fr_iter *it)
{
    it->ops->seek_last(it);
}

FR_NODISCARD static inline fr_status fr_iter_next(struct fr_iter *it)
{
    return it->ops->next(it);
}

FR_NODISCARD static inline fr_status fr_iter_prev(struct fr_iter *it)
{
    return it->ops->prev(it);
}

#endif
