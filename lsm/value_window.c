#include "lsm/value_window.h"

#include "base/alloc.h"
#include "io/file.h"
#include "io/io_queue.h"

void fr_value_windows_deinit(struct fr_value_windows *windows)
{
    for (size_t i = 0; i < FR_VALUE_WINDOWS; i++)
        fr_free(windows->windows[i].data);
    fr_buf_deinit(&windows->memory);
    *windows = (struct fr_value_windows){0};
}

static struct fr_value_window *window_of(struct fr_value_windows *windows,
        struct fr_value_file *file)
{
    struct fr_value_window *oldest = &windows->windows[0];

    for (size_t i = 0; i < FR_VALUE_WINDOWS; i++) {
        struct fr_value_window *w = &windows->windows[i];
        if (w->file == file) return w;
        if (w->used < oldest->used) oldest = w;
    }
    oldest->file = file;
    oldest->size = 0;
    oldest->ahead = FR_VALUE_WINDOW_FIRST;
    return oldest;
}

static bool covers(const struct fr_value_window *w, const struct fr_io_request *request)
{
    return request->offset >= w->offset && request->offset - w->offset <= w->size &&
           request->size <= w->size - (size_t)(request->offset - w->offset);
}

/* Move the window so that the request lies in it, with more in the direction that the scan takes.
 */
static fr_status move_window(struct fr_value_window *w, const struct fr_io_request *request)
{
    uint64_t end = w->offset + w->size, start = request->offset;
    bool forwards = start >= w->offset;
    bool near = w->size > 0 && (forwards ? start <= end + w->ahead
                                         : request->offset + request->size + w->ahead >= w->offset);

    w->ahead = near ? FR_MIN(2 * w->ahead, FR_VALUE_WINDOW_MAX) : FR_VALUE_WINDOW_FIRST;
    size_t size = FR_MAX(w->ahead, request->size);
    if (near && !forwards) {
        uint64_t last = request->offset + request->size;
        start = last > size ? last - size : 0;
        size = (size_t)(last - start);
    }
    w->offset = start;
    w->size = 0;
    return fr_file_read(request->file, start, w->data, size, &w->size);
}

/* A request for the record, as if a queue had answered it from the window. */
static fr_status answer(struct fr_value_window *w, struct fr_io_request *request, size_t size)
{
    if (w->data == NULL) w->data = fr_alloc(FR_VALUE_WINDOW_MAX);
    if (w->data == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to read values");
    request->size = size;
    if (!covers(w, request)) {
        fr_status st = move_window(w, request);
        if (st < 0) return st;
    }
    size_t at = (size_t)(request->offset - w->offset);
    request->data = w->data + at;
    request->done_size = FR_MIN(request->size, at > w->size ? 0 : w->size - at);
    request->status = FR_OK;
    return FR_OK;
}

fr_status fr_value_windows_fetch(struct fr_value_windows *windows, struct fr_value_file *file,
        const struct fr_place *place, fr_slice key, fr_seq seq, struct fr_buf *to)
{
    size_t size = fr_value_request_size(file, place, key);
    struct fr_io_request request = {0};
    fr_slice value;
    fr_status st;

    if (size == 0 || size > FR_VALUE_WINDOW_MAX) return fr_value_fetch(file, place, key, seq, to);
    struct fr_value_window *w = window_of(windows, file);
    w->used = ++windows->clock;
    fr_value_request(file, place, size, NULL, &request);
    FR_TRY(answer(w, &request, size));
    FR_TRY(fr_value_accept(file, place, key, seq, &request, &windows->memory, &value));
    fr_buf_append(to, value.data, value.size);
    st = fr_buf_status(to);
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
