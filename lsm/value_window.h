/*
 * value_window.h - reading values of a scan from large pieces of their files.
 *
 * A value file holds the values of one flush in the order of their keys. A scan meets the files'
 * values interleaved, but within each file in order. So a window per file, which moves on when the
 * scan leaves it, turns a read per value into a read per many. A window starts small and doubles
 * while values keep coming from behind it, either way; a value that lies elsewhere starts it anew.
 * One thread.
 */
#ifndef FR_LSM_VALUE_WINDOW_H
#define FR_LSM_VALUE_WINDOW_H

#include "base/buf.h"
#include "lsm/value_file.h"

#define FR_VALUE_WINDOWS      16
#define FR_VALUE_WINDOW_FIRST ((size_t)8 << 10)
#define FR_VALUE_WINDOW_MAX   ((size_t)128 << 10)

struct fr_value_window {
    struct fr_value_file *file; /* borrowed; NULL: unused */
    uint8_t *data;              /* of FR_VALUE_WINDOW_MAX, or NULL */
    uint64_t offset;
    size_t size;   /* bytes that are there */
    size_t ahead;  /* to read the next time */
    uint64_t used; /* at which fetch: the one that was longest not used gives way */
};

struct fr_value_windows {
    struct fr_value_window windows[FR_VALUE_WINDOWS];
    struct fr_buf memory; /* for values that have to be decompressed */
    uint64_t clock;
};

void fr_value_windows_deinit(struct fr_value_windows *windows);

/*
 * Append the value at a place to a buffer. The file must stay open as long as the windows are used.
 * FR_ERR_CORRUPT and the like as fr_value_read().
 */
FR_NODISCARD fr_status fr_value_windows_fetch(struct fr_value_windows *windows,
        struct fr_value_file *file, const struct fr_place *place, fr_slice key, fr_seq seq,
        struct fr_buf *to);

/* The same for a single value, without any window. */
FR_NODISCARD fr_status fr_value_fetch(struct fr_value_file *file, const struct fr_place *place,
        fr_slice key, fr_seq seq, struct fr_buf *to);

#endif
