#include "wal/wal_segment.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/crc32c.h"
#include "base/museum.h"
#include "io/dir.h"
#include "io/file.h"
#include "io/map.h"

/* From so many changed bytes on it pays to let go of a mapping before a sync. */
#define RELAX_BYTES_MIN ((uint64_t)256 << 10)

enum fr_file_kind fr_wal_file_kind(enum fr_wal_kind kind)
{
    return kind == FR_WAL_KIND_MANIFEST ? FR_FILE_MANIFEST : FR_FILE_WAL;
}

static fr_status create_file(struct fr_wal_segment *s, unsigned map_flags)
{
    fr_status st;

    FR_TRY(fr_file_open(s->dir, s->name, FR_OPEN_WRITE | FR_OPEN_CREATE, &s->file));
    FR_TRY(fr_file_prewrite(s->file, 0, s->size));
    /* museum 6: a new file without a sync of its directory */
    if (!FR_MUSEUM(6)) FR_TRY(fr_dir_sync(s->dir));
    FR_TRY(fr_map_open(s->file, 0, s->size, map_flags, &s->map));
out:
    return st;
}

/* Remove the half-made file, and keep the words on what went wrong before. */
static void remove_quietly(struct fr_wal_segment *s)
{
    struct fr_error error = {.size = sizeof(error)};

    if (s->file == NULL) return;
    fr_error_save(&error);
    (void)!fr_dir_unlink(s->dir, s->name);
    (void)!fr_error_restore(&error);
}

fr_status fr_wal_segment_create(struct fr_dir *dir, enum fr_wal_kind kind, uint64_t number,
        uint64_t size, unsigned map_flags, struct fr_wal_segment **ret_segment)
{
    struct fr_wal_segment *s = FR_NEW(struct fr_wal_segment);
    fr_status st;

    if (s == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory for a log segment", fr_dir_path(dir));
    s->dir = dir;
    s->size = size;
    fr_file_name_format(fr_wal_file_kind(kind), number, s->name);
    FR_TRY(create_file(s, map_flags));
    *ret_segment = FR_TAKE(s);
out:
    if (s != NULL) remove_quietly(s);
    fr_wal_segment_close(s);
    return st;
}

fr_status fr_wal_segment_rename(struct fr_wal_segment *s, enum fr_wal_kind kind, uint64_t number)
{
    char name[FR_FILE_NAME_SIZE];
    fr_status st;

    fr_file_name_format(fr_wal_file_kind(kind), number, name);
    FR_TRY(fr_dir_rename(s->dir, s->name, name));
    memcpy(s->name, name, sizeof(name));
    FR_TRY(fr_dir_sync(s->dir));
out:
    return st;
}

void fr_wal_segment_close(struct fr_wal_segment *s)
{
    if (s == NULL) return;
    fr_map_close(s->map);
    fr_file_close(s->file);
    fr_free(s);
}

void fr_wal_segment_begin(struct fr_wal_segment *s, const struct fr_wal_header *header)
{
    s->header = *header;
    s->header.size = s->size;
    fr_wal_header_encode(&s->header, fr_map_data(s->map));
    s->check_seed = fr_wal_check_seed(header->store, header->number);
    s->at = FR_WAL_HEADER_SIZE;
    s->published = 0;
    s->synced = 0;
    s->crc = s->header.crc;
    s->group_count = 0;
}

fr_lsn fr_wal_segment_end(const struct fr_wal_segment *s)
{
    return s->header.first + s->at - FR_WAL_HEADER_SIZE;
}

struct fr_wal_link fr_wal_segment_link(const struct fr_wal_segment *s)
{
    return (struct fr_wal_link){
            .number = s->header.number, .lsn = fr_wal_segment_end(s), .crc = s->crc};
}

/* The last block is kept for the seal. */
static uint64_t room_end(uint64_t segment_size)
{
    return segment_size - FR_WAL_BLOCK_SIZE;
}

uint32_t fr_wal_segment_payload_max(uint64_t segment_size)
{
    uint64_t room = room_end(segment_size) - FR_WAL_HEADER_SIZE - FR_WAL_GROUP_HEADER_SIZE;
    return (uint32_t)FR_MIN(room, (uint64_t)FR_WAL_PAYLOAD_MAX);
}

bool fr_wal_segment_fits(const struct fr_wal_segment *s, uint32_t payload_size)
{
    return fr_wal_next_place(s->at) + fr_wal_group_extent(payload_size) <= room_end(s->size);
}

unsigned fr_wal_segment_successors(const struct fr_wal_segment *s, uint64_t batch_size,
        uint64_t segment_size)
{
    uint32_t most = fr_wal_segment_payload_max(segment_size);
    uint64_t at = s->at, end = room_end(s->size);
    unsigned count = 0;

    while (batch_size > 0) {
        uint64_t step = FR_MIN(batch_size, (uint64_t)most);
        uint64_t extent = fr_wal_group_extent((uint32_t)step);

        if (fr_wal_next_place(at) + extent > end) {
            count++;
            at = FR_WAL_HEADER_SIZE;
            end = room_end(segment_size);
        }
        at = fr_wal_next_place(at) + extent;
        batch_size -= step;
    }
    return count;
}

/* Move size bytes from the parts, and continue the crc over them. */
static uint32_t copy_parts(uint8_t *to, struct fr_wal_parts *from, size_t size, uint32_t crc)
{
    while (size > 0) {
        size_t step = FR_MIN(from->part->size - from->at, size);
        if (step == 0) { /* used up, or empty */
            from->part++;
            from->at = 0;
            continue;
        }
        crc = fr_crc32c(crc, from->part->data + from->at, step);
        memcpy(to, from->part->data + from->at, step);
        from->at += step;
        to += step;
        size -= step;
    }
    return crc;
}

/* Zeros in the map, so that nothing of a former life is left between the groups. */
static uint32_t put_zeros(uint8_t *to, size_t size, uint32_t crc)
{
    memset(to, 0, size);
    return fr_crc32c(crc, to, size);
}

void fr_wal_segment_add(struct fr_wal_segment *s, struct fr_wal_group *group,
        struct fr_wal_parts *parts)
{
    uint64_t place = fr_wal_next_place(s->at);
    uint64_t extent = fr_wal_group_extent(group->size);
    uint8_t *bytes = fr_map_data(s->map) + place;
    uint8_t *payload = bytes + FR_WAL_GROUP_HEADER_SIZE;
    size_t tail = (size_t)extent - FR_WAL_GROUP_HEADER_SIZE - group->size;

    FR_ASSERT(place >= FR_WAL_HEADER_SIZE && place + extent <= s->size);
    memset(fr_map_data(s->map) + s->at, 0, place - s->at);
    group->lsn = s->header.first + place - FR_WAL_HEADER_SIZE;
    group->epoch = s->header.epoch;
    fr_wal_group_encode(group, s->check_seed, bytes);
    uint32_t crc = fr_wal_group_crc(s->crc, bytes);
    if (parts != NULL)
        crc = copy_parts(payload, parts, group->size, crc);
    else
        crc = put_zeros(payload, group->size, crc);
    crc = put_zeros(payload + group->size, tail, crc);
    fr_wal_group_seal(bytes, crc);
    group->crc = crc;
    s->crc = crc;
    s->at = place + extent;
    s->group_count++;
}

void fr_wal_segment_fill(struct fr_wal_segment *s, enum fr_wal_type type, uint8_t flags,
        fr_lsn durable)
{
    uint64_t place = fr_wal_next_place(s->at);
    uint64_t end = fr_wal_round_up(place + FR_WAL_GROUP_HEADER_SIZE);
    struct fr_wal_group group = {.type = (uint8_t)type,
            .flags = flags,
            .durable = durable,
            .size = (uint32_t)(end - place - FR_WAL_GROUP_HEADER_SIZE),
            .tag = type == FR_WAL_SEAL ? s->group_count : 0};

    if (type == FR_WAL_PAD && s->at % FR_WAL_BLOCK_SIZE == 0) return;
    if (type == FR_WAL_PAD && place % FR_WAL_BLOCK_SIZE == 0) {
        /* Too little is left for a group: zeros end the block, as before any group. */
        memset(fr_map_data(s->map) + s->at, 0, place - s->at);
        s->at = place;
        return;
    }
    fr_wal_segment_add(s, &group, NULL);
}

fr_status fr_wal_segment_publish(struct fr_wal_segment *s)
{
    if (s->published == s->at) return FR_OK;
    fr_status st = fr_map_publish(s->map, s->published, s->at - s->published);
    /* museum 19: a sync that vouches for a failed write */
    if (FR_MUSEUM(19)) st = FR_OK;
    if (st == FR_OK) s->published = s->at;
    return st;
}

fr_status fr_wal_segment_sync(struct fr_wal_segment *s, uint64_t from, uint64_t to)
{
    /* A page that the system writes is write-protected first, at the cost of an interrupt of all
       our processors for each; all at once is cheaper, but the next store has to fault. */
    if (to - from > RELAX_BYTES_MIN) fr_map_relax(s->map, from, to - from);
    return fr_file_sync(s->file);
}
