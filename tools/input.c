#include "tools/input.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"

#define CHUNK ((size_t)256 << 10)

struct fr_input {
    char name[256];
    int fd; /* -1: from memory */
    bool owns_fd;
    fr_slice memory; /* what has not arrived yet */
    size_t piece;
    struct fr_buf held; /* arrived, and not all given out */
    size_t begin;       /* of what was not given out */
    uint64_t offset;    /* of begin in the whole */
    bool at_end;
    bool (*should_end)(void); /* or NULL */
};

/* NULL: there is no memory. */
static struct fr_input *input_new(const char *name)
{
    struct fr_input *input = FR_NEW(struct fr_input);

    if (input == NULL) return NULL;
    snprintf(input->name, sizeof(input->name), "%s", name);
    input->fd = -1;
    if (fr_buf_extend(&input->held, 0) == NULL) { /* from here on its data are not NULL */
        fr_free(input);
        return NULL;
    }
    return input;
}

fr_status fr_input_open(const char *path, struct fr_input **ret_input)
{
    bool is_standard = strcmp(path, "-") == 0;
    struct fr_input *input = input_new(is_standard ? "standard input" : path);

    if (input == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to read it", path);
    input->owns_fd = !is_standard;
    input->fd = is_standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (input->fd < 0) {
        fr_status st = FR_FAIL_OS(errno, "%s: cannot open it", path);
        fr_input_close(input);
        return st;
    }
    *ret_input = input;
    return FR_OK;
}

fr_status fr_input_of_memory(const char *name, fr_slice content, size_t piece,
        struct fr_input **ret_input)
{
    struct fr_input *input = input_new(name);

    if (input == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to read it", name);
    input->memory = content;
    input->piece = piece == 0 ? SIZE_MAX : piece;
    *ret_input = input;
    return FR_OK;
}

void fr_input_close(struct fr_input *input)
{
    if (input == NULL) return;
    if (input->owns_fd && input->fd >= 0) close(input->fd);
    fr_buf_deinit(&input->held);
    fr_free(input);
}

void fr_input_end_if(struct fr_input *input, bool (*should_end)(void))
{
    input->should_end = should_end;
}

const char *fr_input_name(const struct fr_input *input)
{
    return input->name;
}

uint64_t fr_input_offset(const struct fr_input *input)
{
    return input->offset;
}

static size_t held_bytes(const struct fr_input *input)
{
    return input->held.size - input->begin;
}

/* How much may arrive at once. */
static size_t chunk_of(const struct fr_input *input)
{
    size_t most = FR_MIN(CHUNK, input->piece);

    return input->fd < 0 ? FR_MIN(most, input->memory.size) : CHUNK;
}

static size_t from_memory(struct fr_input *input, uint8_t *to, size_t size)
{

    if (size == 0) return 0;
    memcpy(to, input->memory.data, size);
    input->memory = fr_slice_of(input->memory.data + size, input->memory.size - size);
    return size;
}

static fr_status from_file(struct fr_input *input, uint8_t *to, size_t room, size_t *ret_size)
{
    ssize_t size;

    do {
        size = read(input->fd, to, room);
        if (size < 0 && errno == EINTR && input->should_end != NULL && input->should_end())
            return FR_FAIL(FR_ERR_CANCELLED, "%s: interrupted", input->name);
    } while (size < 0 && errno == EINTR);
    if (size < 0)
        return FR_FAIL_OS(errno, "%s: cannot read it behind offset %" PRIu64, input->name,
                input->offset + held_bytes(input));
    *ret_size = (size_t)size;
    return FR_OK;
}

/* Let some more arrive behind what is held, which moves to the front. */
static fr_status fill(struct fr_input *input)
{
    struct fr_buf *held = &input->held;
    size_t size = 0, room = chunk_of(input);
    fr_status st = FR_OK;

    if (input->begin > 0) {
        memmove(held->data, held->data + input->begin, held_bytes(input));
        held->size -= input->begin;
        input->begin = 0;
    }
    size_t before = held->size;
    uint8_t *to = fr_buf_extend(held, room);
    if (to == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to read it", input->name);
    held->size = before; /* that room is ours, though, until the next extension */
    if (input->fd < 0)
        size = from_memory(input, to, room);
    else
        FR_TRY(from_file(input, to, room, &size));
    held->size = before + size;
    input->at_end = size == 0;
out:
    return st;
}

static fr_slice give_out(struct fr_input *input, size_t size)
{
    fr_slice bytes = fr_slice_of(input->held.data + input->begin, size);

    input->begin += size;
    input->offset += size;
    return bytes;
}

fr_status fr_input_take(struct fr_input *input, size_t size, const char *what, fr_slice *ret_bytes)
{
    fr_status st;

    while (held_bytes(input) < size && !input->at_end)
        FR_TRY(fill(input));
    if (held_bytes(input) >= size) {
        *ret_bytes = give_out(input, size);
        return FR_OK;
    }
    if (held_bytes(input) == 0) return FR_END;
    return FR_FAIL(FR_ERR_CORRUPT,
            "%s: ends in the middle of %s: %zu of %zu bytes at offset %" PRIu64, input->name, what,
            held_bytes(input), size, input->offset);
out:
    return st;
}

fr_status fr_input_peek(struct fr_input *input, size_t size, fr_slice *ret_bytes)
{
    fr_status st = FR_OK;

    while (held_bytes(input) < size && !input->at_end)
        FR_TRY(fill(input));
    *ret_bytes = fr_slice_of(input->held.data + input->begin, FR_MIN(size, held_bytes(input)));
out:
    return st;
}

fr_status fr_input_take_some(struct fr_input *input, size_t most, fr_slice *ret_bytes)
{
    fr_status st = FR_OK;

    if (held_bytes(input) == 0 && !input->at_end) FR_TRY(fill(input));
    if (held_bytes(input) == 0) return FR_END;
    *ret_bytes = give_out(input, FR_MIN(most, held_bytes(input)));
out:
    return st;
}

fr_status fr_input_line(struct fr_input *input, size_t most, fr_slice *ret_line)
{
    size_t seen = 0; /* bytes in which there is no line feed */
    fr_status st;

    for (;;) {
        const uint8_t *from = input->held.data + input->begin;
        const uint8_t *feed = held_bytes(input) == seen
                                      ? NULL
                                      : memchr(from + seen, '\n', held_bytes(input) - seen);
        size_t size = feed != NULL ? (size_t)(feed - from) : held_bytes(input);

        if (size > most)
            return FR_FAIL(FR_ERR_LIMIT,
                    "%s: the line at offset %" PRIu64 " has more than %zu bytes", input->name,
                    input->offset, most);
        if (feed != NULL || (input->at_end && size > 0)) {
            *ret_line = fr_slice_of(from, size);
            (void)give_out(input, size + (feed != NULL));
            return FR_OK;
        }
        if (input->at_end) return FR_END;
        seen = size;
        FR_TRY(fill(input));
    }
out:
    return st;
}
