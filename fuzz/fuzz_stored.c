/*
 * fuzz_stored.c - what an index keeps, from anywhere: keys and values that are refused, or read
 * within their bytes and written as they were.
 *
 * The first byte says what the rest is. Of all this only the records of postings have checksums,
 * which are made right before they are looked at.
 */
#include <math.h>

#include "base/coding.h"
#include "base/crc32c.h"
#include "fuzz/fuzz.h"
#include "spfresh/stored.h"

#define DIMS   64
#define NUMBER 7

/* The four bytes before the last ones. */
static uint32_t number_before(fr_slice bytes, size_t last)
{
    uint32_t number = 0;

    for (size_t i = 0; bytes.size >= last + 4 && i < 4; i++)
        number = number << 8 | bytes.data[bytes.size - last - 4 + i];
    return number;
}

static void fuzz_key(fr_slice bytes)
{
    char name[FR_INDEX_NAME_MAX + 1];
    struct fr_index_key prefix;
    uint32_t number;
    uint64_t id;

    if (fr_key_read_name(bytes, name) < 0) return;
    fr_key_prefix(name, &prefix);
    FUZZ_CHECK(bytes.size >= prefix.size && memcmp(bytes.data, prefix.bytes, prefix.size) == 0);
    struct fr_index_key v = fr_key_kind(&prefix, 'v');
    struct fr_index_key t = fr_key_kind(&prefix, 't');
    fr_slice text;
    if (fr_key_read_vector(&v, bytes, &id) == FR_OK) {
        struct fr_index_key again = fr_key_vector(&prefix, id);
        FUZZ_CHECK(fr_slice_compare(fr_index_key_slice(&again), bytes) == 0);
    }
    if (fr_key_read_text(&t, bytes, &text) == FR_OK) {
        struct fr_index_key again = fr_key_text(&prefix, text);
        FUZZ_CHECK(text.size >= 1 && text.size <= FR_TEXT_ID_MAX);
        FUZZ_CHECK(fr_slice_compare(fr_index_key_slice(&again), bytes) == 0);
    }
    /* The generation stands before the number, and before a centroid's tier. */
    uint32_t generation = number_before(bytes, 4);
    struct fr_index_key p = fr_key_generation(&prefix, 'p', generation);
    struct fr_index_key c = fr_key_generation(&prefix, 'c', number_before(bytes, 5));
    if (fr_key_read_number(&p, bytes, &number) == FR_OK) {
        struct fr_index_key again = fr_key_posting(&prefix, generation, number);
        FUZZ_CHECK(fr_slice_compare(fr_index_key_slice(&again), bytes) == 0);
        again = fr_key_behind(&p);
        FUZZ_CHECK(fr_slice_compare(fr_index_key_slice(&again), bytes) > 0);
    }
    if (fr_key_read_number(&c, bytes, &number) == FR_OK)
        FUZZ_CHECK(fr_slice_starts_with(bytes, fr_index_key_slice(&c)));
}

static void fuzz_options(fr_slice bytes)
{
    struct fr_stored_options options;
    struct fr_buf again = FR_BUF_EMPTY;

    if (fr_stored_read_options(bytes, &options) < 0) return;
    FUZZ_CHECK(options.dimension >= 1 && options.dimension <= FR_DIMENSION_MAX);
    fr_stored_put_options(&again, &options);
    FUZZ_CHECK(fr_slice_compare(fr_buf_slice(&again), bytes) == 0);
    fr_buf_deinit(&again);
}

static void fuzz_vector(fr_slice bytes)
{
    struct fr_buf again = FR_BUF_EMPTY;
    float vector[DIMS];
    fr_slice payload, text;

    if (fr_stored_read_vector(bytes, DIMS, vector, &payload) < 0) return;
    FUZZ_CHECK(payload.size == bytes.size - FR_STORED_VECTOR_HEAD - sizeof(vector));
    fr_stored_put_vector(&again, vector, DIMS, NULL, payload.data, payload.size);
    FUZZ_CHECK(fr_slice_compare(fr_buf_slice(&again), bytes) == 0);
    if (fr_stored_split_text(&payload, &text) == FR_OK) {
        struct fr_text_id id = {.data = (const char *)text.data, .size = text.size};
        FUZZ_CHECK(text.size >= 1 && text.size <= FR_TEXT_ID_MAX);
        fr_buf_clear(&again);
        fr_stored_put_vector(&again, vector, DIMS, &id, payload.data, payload.size);
        FUZZ_CHECK(fr_slice_compare(fr_buf_slice(&again), bytes) == 0);
    }
    fr_buf_deinit(&again);
}

static void fuzz_text(fr_slice bytes)
{
    struct fr_buf again = FR_BUF_EMPTY;
    uint64_t id;

    if (fr_stored_read_text(bytes, &id) < 0) return;
    fr_stored_put_text(&again, id);
    FUZZ_CHECK(again.size == bytes.size); /* two bytes of it mean nothing yet */
    fr_buf_deinit(&again);
}

static void fuzz_centroid(fr_slice bytes)
{
    struct fr_stored_centroid centroid;

    if (fr_stored_read_centroid(bytes, DIMS, &centroid) < 0) return;
    FUZZ_CHECK(isfinite(centroid.scale) && isfinite(centroid.radius));
    FUZZ_CHECK(centroid.high != NULL && centroid.low != NULL);
}

/* What came is told by its first byte, and what left, too: the rest is not looked at. */
static void reseal(uint8_t *bytes, size_t size)
{
    size_t came = fr_stored_came_size(DIMS), step;
    const uint8_t number[4] = {NUMBER};

    for (size_t at = 0; at < size; at += step) {
        step = bytes[at] == 1 ? came : 9;
        if (bytes[at] != 1 || came > size - at) continue;
        uint32_t crc = fr_crc32c(fr_crc32c(0, number, 4), bytes + at + 5, came - 5);
        fr_put_u32(bytes + at + 1, fr_crc32c_mask(crc));
    }
}

static void fuzz_posting(fr_slice given)
{
    struct fr_buf sealed = FR_BUF_EMPTY, again = FR_BUF_EMPTY;

    fr_buf_append(&sealed, given.data, given.size);
    if (sealed.size > 0) reseal(sealed.data, sealed.size);
    fr_slice bytes = fr_buf_slice(&sealed);
    struct fr_bytes in = fr_bytes_of(bytes);
    struct fr_stored_record record;
    fr_status st;

    while ((st = fr_stored_read_record(&in, DIMS, NUMBER, &record)) == FR_OK) {
        if (record.came)
            fr_stored_put_came(&again, DIMS, NUMBER, record.id, record.scale, record.high,
                    record.low);
        else
            fr_stored_put_left(&again, record.id);
    }
    FUZZ_CHECK(st != FR_END || fr_slice_compare(fr_buf_slice(&again), bytes) == 0);
    fr_buf_deinit(&again);
    fr_buf_deinit(&sealed);
}

static void fuzz_space(fr_slice bytes)
{
    float center[DIMS];
    struct fr_space space = {.dims = DIMS, .center = center};
    uint32_t generation;

    if (fr_stored_read_space(bytes, &space, &generation) < 0) return;
    FUZZ_CHECK(space.scale > 0 && space.reach > 0 && isfinite(center[DIMS - 1]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(fr_slice) = {fuzz_key, fuzz_options, fuzz_vector, fuzz_centroid,
            fuzz_posting, fuzz_space, fuzz_text};

    if (size == 0) return 0;
    targets[data[0] % (sizeof(targets) / sizeof(targets[0]))](fr_slice_of(data + 1, size - 1));
    return 0;
}
