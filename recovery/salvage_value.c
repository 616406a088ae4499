#include "recovery/salvage_value.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "io/dir.h"
#include "lsm/file_id.h"
#include "lsm/value_format.h"
#include "wal/file_name.h"

void fr_salvage_values_deinit(struct fr_salvage_values *values)
{
    fr_file_close(values->file);
    fr_unpacker_deinit(&values->unpacker);
    fr_buf_deinit(&values->record);
}

/* Places come in the order of keys, so mostly of one file after the other. */
static fr_status open_file(struct fr_salvage_values *v, uint64_t number)
{
    char name[FR_FILE_NAME_SIZE];

    if (v->file != NULL && v->number == number) return FR_OK;
    fr_file_close(FR_TAKE(v->file));
    fr_file_name_format(FR_FILE_VALUES, number, name);
    v->number = number;
    return fr_file_open(v->dir, name, 0, &v->file);
}

static uint32_t crc_of(const struct fr_salvage_values *v, const struct fr_place *place,
        const uint8_t *record, size_t whole)
{
    const struct fr_file_id id = {
            .store = {fr_get_u64(v->store), fr_get_u64(v->store + 8)}, .number = place->file};
    uint32_t seed = fr_file_id_seed_at(fr_file_id_seed(&id), place->offset);

    return fr_crc32c_mask(fr_crc32c(seed, record + 4, whole - 4));
}

/* The record's size if it is the one that is meant, whole and right; 0: it is not. */
static size_t check(const struct fr_salvage_values *v, const struct fr_place *place, fr_slice key,
        fr_seq seq)
{
    const uint8_t *record = v->record.data;
    size_t head = FR_VALUE_RECORD_SIZE + key.size;

    if (v->record.size < head) return 0;
    uint64_t stored = fr_get_u32(record + 4), whole = head + stored;
    if (whole > v->record.size || fr_get_u32(record + 8) != place->size ||
            fr_get_u16(record + 12) != key.size || fr_get_u64(record + 16) != seq ||
            memcmp(record + FR_VALUE_RECORD_SIZE, key.data, key.size) != 0)
        return 0;
    if (!fr_frame_ratio_fair(stored, place->size)) return 0;
    return fr_get_u32(record) == crc_of(v, place, record, (size_t)whole) ? (size_t)whole : 0;
}

static fr_status take(struct fr_salvage_values *v, const struct fr_place *place, fr_slice key,
        size_t whole, struct fr_buf *to)
{
    size_t head = FR_VALUE_RECORD_SIZE + key.size;
    fr_slice stored = fr_slice_of(v->record.data + head, whole - head);

    if (v->record.data[14] == FR_CODEC_NONE) {
        fr_buf_append(to, stored.data, stored.size);
        return fr_buf_status(to);
    }
    uint8_t *raw = fr_buf_extend(to, (size_t)place->size);
    if (raw == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a value");
    fr_status st = fr_unpack(&v->unpacker, stored, false, raw, (size_t)place->size,
            fr_file_path(v->file), place->offset);
    if (st < 0) to->size -= (size_t)place->size;
    return st;
}

fr_status fr_salvage_value(struct fr_salvage_values *v, const struct fr_place *place, fr_slice key,
        fr_seq seq, struct fr_buf *to)
{
    size_t most, there;
    fr_status st;

    if (place->size > FR_VALUE_SIZE_MAX)
        return FR_FAIL(FR_ERR_CORRUPT, "a place of %" PRIu64 " bytes cannot be one", place->size);
    FR_TRY(open_file(v, place->file));
    most = FR_VALUE_RECORD_SIZE + key.size + (size_t)place->size;
    fr_buf_clear(&v->record);
    uint8_t *bytes = fr_buf_extend(&v->record, most);
    if (bytes == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a value");
    FR_TRY(fr_file_read(v->file, place->offset, bytes, most, &there));
    v->record.size = there;
    size_t whole = check(v, place, key, seq);
    if (whole == 0)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: at %" PRIu64 " there is no value of this entry",
                fr_file_path(v->file), place->offset);
    st = take(v, place, key, whole, to);
out:
    return st;
}
