/*
 * value_window.h - reading values of a scan from large pieces of their files.
 *
 * A value file holds the values of one flush in the order of their keys. A scan meets the files'
 * values interleaved, but within each file in order. So a window per file, which moves on when the
 * scan leaves it, turns a read per value into a read per many. A window is what was asked for at
 * first, because a short scan touches most files once; while values keep coming from behind it,
 * either way, it grows fourfold with each read. A value that lies elsewhere starts it anew.
 *
 * A scan over all of a store has a window in every file, so how large they may grow depends on how
 * many there are: together they shall stay in the processor's cache. Windows stand in sets, by the
 * file's number; in a set the one that was longest not used gives way.
 *
 * Values are handed out where they lie in the window, checked. One thread.
 */
#ifndef FR_LSM_VALUE_WINDOW_H
#define FR_LSM_VALUE_WINDOW_H

#include "base/buf.h"
#include "lsm/value_file.h"

#define FR_VALUE_WINDOW_SETS  64
#define FR_VALUE_WINDOW_WAYS  4
#define FR_VALUE_WINDOWS      (FR_VALUE_WINDOW_SETS * FR_VALUE_WINDOW_WAYS)
#define FR_VALUE_WINDOW_MIN   ((size_t)8 << 10)
#define FR_VALUE_WINDOW_MAX   ((size_t)64 << 10)
#define FR_VALUE_WINDOW_BYTES ((size_t)1 << 20) /* of all together, but each may have the least */

struct fr_value_window {
    uint64_t number;            /* of the file, which is open; 0: unused */
    struct fr_value_file *file; /* borrowed */
    uint8_t *data;
    size_t capacity;
    uint64_t offset;
    size_t size;   /* bytes that are there */
    size_t ahead;  /* that were asked for the last time */
    uint64_t used; /* at which fetch */
};

struct fr_value_windows {
    /* Which file has that number; NULL: there is none. It stays open as long as the windows. */
    struct fr_value_file *(*find)(const void *ctx, uint64_t number);
    const void *find_ctx;

    /* The windows' own, zero at first. */
    struct fr_value_window *windows; /* FR_VALUE_WINDOWS, or NULL */
    size_t count;                    /* in use */
    struct fr_buf memory;            /* for values that are compressed, or too large */
    uint64_t clock;
    struct fr_spot spot; /* of the last value that was found */
};

void fr_value_windows_deinit(struct fr_value_windows *windows);

/*
 * The value at a place, valid until the next call. FR_ERR_CORRUPT and the like as fr_value_read();
 * FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_value_windows_get(struct fr_value_windows *windows,
        const struct fr_place *place, fr_slice key, fr_seq seq, fr_slice *ret_value);

/* Append a single value to a buffer, without any window. */
FR_NODISCARD fr_status fr_value_fetch(struct fr_value_file *file, const struct fr_place *place,
        fr_slice key, fr_seq seq, struct fr_buf *to);

#endif
