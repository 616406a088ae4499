#include "lsm/value_window.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "io/file.h"
#include "io/io_queue.h"

void fr_value_windows_deinit(struct fr_value_windows *windows)
{
    for (size_t i = 0; windows->windows != NULL && i < FR_VALUE_WINDOWS; i++)
        fr_free(windows->windows[i].data);
    fr_free(FR_TAKE(windows->windows));
    fr_buf_deinit(&windows->memory);
    windows->count = 0;
}

/* The place of a window for the file: an unused one, or that of whoever has to give way. */
static struct fr_value_window *choose(struct fr_value_window *set)
{
    struct fr_value_window *oldest = set;

    for (size_t i = 0; i < FR_VALUE_WINDOW_WAYS; i++) {
        if (set[i].number == 0) return &set[i];
        if (set[i].used < oldest->used) oldest = &set[i];
    }
    return oldest;
}

static fr_status open_window(struct fr_value_windows *windows, struct fr_value_window *set,
        uint64_t number, struct fr_value_window **ret_window)
{
    struct fr_value_file *file = windows->find(windows->find_ctx, number);

    if (file == NULL || number == 0)
        return FR_FAIL(FR_ERR_CORRUPT, "value file %" PRIu64 " is not part of the store", number);
    struct fr_value_window *w = choose(set);
    if (w->number == 0) windows->count++;
    w->number = number;
    w->file = file;
    w->size = 0;
    *ret_window = w;
    return FR_OK;
}

static fr_status window_of(struct fr_value_windows *windows, uint64_t number,
        struct fr_value_window **ret_window)
{
    if (FR_UNLIKELY(windows->windows == NULL)) {
        windows->windows = fr_alloc_zeroed(FR_VALUE_WINDOWS, sizeof(struct fr_value_window));
        if (windows->windows == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to read values");
    }
    struct fr_value_window *set =
            windows->windows + number % FR_VALUE_WINDOW_SETS * FR_VALUE_WINDOW_WAYS;
    for (size_t i = 0; i < FR_VALUE_WINDOW_WAYS; i++) {
        if (set[i].number == number && number != 0) {
            *ret_window = &set[i];
            return FR_OK;
        }
    }
    return open_window(windows, set, number, ret_window);
}

static bool covers(const struct fr_value_window *w, uint64_t offset, size_t size)
{
    return offset >= w->offset && size <= w->size && offset - w->offset <= w->size - size;
}

/* How far a window may reach, if all that are in use do. */
static size_t ahead_max(const struct fr_value_windows *windows)
{
    size_t share = FR_VALUE_WINDOW_BYTES / windows->count;

    share = FR_MAX(share, FR_VALUE_WINDOW_MIN);
    return FR_MIN(share, FR_VALUE_WINDOW_MAX);
}

static fr_status make_room(struct fr_value_window *w, size_t size)
{
    size_t capacity = FR_MAX(size, FR_VALUE_WINDOW_MIN);

    w->size = 0;
    if (size <= w->capacity) return FR_OK;
    fr_free(FR_TAKE(w->data));
    w->capacity = 0;
    w->data = fr_alloc(capacity);
    if (w->data == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to read values");
    w->capacity = capacity;
    return FR_OK;
}

/* Move the window so that the span lies in it, with more in the direction that the scan takes. */
static fr_status move_window(struct fr_value_windows *windows, struct fr_value_window *w,
        uint64_t offset, size_t size)
{
    uint64_t start = offset, end = w->offset + w->size;
    bool forwards = start >= w->offset;
    bool near = w->size > 0 &&
                (forwards ? start <= end + w->ahead : start + size + w->ahead >= w->offset);

    size_t more = FR_MIN(4 * w->ahead, ahead_max(windows));
    w->ahead = near ? FR_MAX(more, size) : size;
    if (near && !forwards) start = start + size > w->ahead ? start + size - w->ahead : 0;
    fr_status st = make_room(w, w->ahead);
    if (st < 0) return st;
    w->offset = start;
    end = forwards ? start + w->ahead : offset + size;
    return fr_file_read(fr_value_file_bytes(w->file), start, w->data, (size_t)(end - start),
            &w->size);
}

static fr_status get_large(struct fr_value_windows *windows, struct fr_value_file *file,
        const struct fr_place *place, fr_slice key, fr_seq seq, fr_slice *ret_value)
{
    fr_buf_clear(&windows->memory);
    fr_status st = fr_value_fetch(file, place, key, seq, &windows->memory);
    if (st == FR_OK) *ret_value = fr_buf_slice(&windows->memory);
    return st;
}

fr_status fr_value_windows_get(struct fr_value_windows *windows, const struct fr_place *place,
        fr_slice key, fr_seq seq, fr_slice *ret_value)
{
    struct fr_value_window *w = NULL;
    fr_status st;

    windows->spot = (struct fr_spot){0};
    FR_TRY(window_of(windows, place->file, &w));
    FR_ASSERT(w != NULL);
    w->used = ++windows->clock;
    size_t size = fr_value_request_size(w->file, place, key);
    if (size == 0 || size > FR_VALUE_WINDOW_MAX)
        return get_large(windows, w->file, place, key, seq, ret_value);
    if (!covers(w, place->offset, size)) FR_TRY(move_window(windows, w, place->offset, size));
    size_t at = (size_t)(place->offset - w->offset);
    size_t there = at < w->size ? FR_MIN(size, w->size - at) : 0;
    FR_TRY(fr_value_take(w->file, place, key, seq, fr_slice_of(w->data + at, there),
            &windows->memory, ret_value));
    /* If it was not unpacked. */
    if (ret_value->data >= w->data && ret_value->data < w->data + w->size)
        windows->spot = (struct fr_spot){
                .file = w->number, .offset = w->offset + (size_t)(ret_value->data - w->data)};
out:
    return st;
}

fr_status fr_value_fetch(struct fr_value_file *file, const struct fr_place *place, fr_slice key,
        fr_seq seq, struct fr_buf *to)
{
    size_t size = fr_value_request_size(file, place, key), before = to->size;
    struct fr_buf memory = FR_BUF_EMPTY;
    struct fr_io_request request = {0};
    fr_slice value;
    fr_status st;

    /* Let the reader find the words for a place outside of its file. */
    if (size == 0) {
        FR_TRY(fr_value_read(file, place, key, seq, &memory));
        fr_buf_append(to, memory.data, memory.size);
        st = fr_buf_status(to);
        goto out;
    }
    /* The record is read to where the value shall be, and the value then moved to the front. */
    FR_TRY(fr_buf_reserve(to, size));
    fr_value_request(file, place, size, to->data + before, &request);
    FR_TRY(fr_file_read(request.file, request.offset, request.data, request.size,
            &request.done_size));
    request.status = FR_OK;
    FR_TRY(fr_value_accept(file, place, key, seq, &request, &memory, &value));
    if (value.data >= to->data + before && value.data < to->data + before + size) {
        memmove(to->data + before, value.data, value.size);
        to->size = before + value.size;
    } else {
        fr_buf_append(to, value.data, value.size);
        st = fr_buf_status(to);
    }
out:
    fr_buf_deinit(&memory);
    return st;
}
