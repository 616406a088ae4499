#include "wal/wal_format.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "base/museum.h"

#define CRC_OFFSET      (FR_WAL_HEADER_SIZE - 4)
#define ZEROS_OFFSET    100
#define FEATURES_MUST   0u /* none yet */
#define GROUP_CHECKED   8  /* what the check covers starts here */
#define GROUP_CRC_START 4

static const uint8_t magic[8] = {'F', 'R', 'E', 'S', 'H', 'W', 'A', 'L'};

void fr_wal_header_encode(struct fr_wal_header *header, uint8_t ret_page[static FR_WAL_HEADER_SIZE])
{
    uint8_t *page = ret_page;

    FR_ASSERT(header->number > 0 && header->epoch > 0);
    FR_ASSERT(header->first % FR_WAL_BLOCK_SIZE == 0);
    FR_ASSERT(header->durable <= header->first);
    memset(page, 0, FR_WAL_HEADER_SIZE);
    memcpy(page, magic, sizeof(magic));
    fr_put_u32(page + 8, FR_WAL_VERSION);
    fr_put_u32(page + 12, header->kind);
    fr_put_u32(page + 16, FEATURES_MUST);
    fr_put_u32(page + 20, 0);
    memcpy(page + 24, header->store, FR_STORE_ID_SIZE);
    fr_put_u64(page + 40, header->number);
    fr_put_u64(page + 48, header->epoch);
    fr_put_u64(page + 56, header->first);
    fr_put_u64(page + 64, header->size);
    fr_put_u64(page + 72, header->previous.number);
    fr_put_u64(page + 80, header->previous.lsn);
    fr_put_u32(page + 88, header->previous.crc);
    fr_put_u64(page + 92, header->durable);
    header->crc = fr_crc32c(0, page, CRC_OFFSET);
    fr_put_u32(page + CRC_OFFSET, header->crc);
}

static bool all_zeros(fr_slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++)
        if (bytes.data[i] != 0) return false;
    return true;
}

/* The crc was right, so this was written on purpose: by us, by a later version, or in bad faith. */
static fr_status check_header(const struct fr_wal_header *h)
{
    const struct fr_wal_link *p = &h->previous;

    if (h->kind != FR_WAL_KIND_LOG && h->kind != FR_WAL_KIND_MANIFEST)
        return FR_FAIL(FR_ERR_CORRUPT, "unknown kind %d of log", (int)h->kind);
    if (h->number == 0 || h->epoch == 0)
        return FR_FAIL(FR_ERR_CORRUPT, "segment header without a number or an epoch");
    if (h->size < FR_WAL_SEGMENT_SIZE_MIN || h->size > FR_WAL_SEGMENT_SIZE_MAX ||
            h->size % FR_WAL_BLOCK_SIZE != 0)
        return FR_FAIL(FR_ERR_CORRUPT, "segment of impossible size %" PRIu64, h->size);
    if (h->first % FR_WAL_BLOCK_SIZE != 0 || h->first > UINT64_MAX / 2)
        return FR_FAIL(FR_ERR_CORRUPT, "segment with impossible first LSN %" PRIu64, h->first);
    if (p->number >= h->number || (p->number == 0 && (p->lsn != 0 || p->crc != 0)) ||
            p->lsn > h->first || (p->number > 0 && h->first != fr_wal_round_up(p->lsn)))
        return FR_FAIL(FR_ERR_CORRUPT,
                "segment %" PRIu64 " from LSN %" PRIu64 " cannot follow %" PRIu64 " up to %" PRIu64,
                h->number, h->first, p->number, p->lsn);
    if (h->durable > h->first)
        return FR_FAIL(FR_ERR_CORRUPT,
                "segment from LSN %" PRIu64 " that knows the log durable up to %" PRIu64, h->first,
                h->durable);
    return FR_OK;
}

fr_status fr_wal_header_decode(const uint8_t page[static FR_WAL_HEADER_SIZE],
        struct fr_wal_header *ret_header)
{
    struct fr_bytes in = fr_bytes_of(fr_slice_of(page, FR_WAL_HEADER_SIZE));
    struct fr_wal_header h = {.crc = fr_get_u32(page + CRC_OFFSET)};

    if (!fr_slice_equal(fr_bytes_take(&in, 8), fr_slice_of(magic, sizeof(magic))))
        return FR_FAIL(FR_ERR_CORRUPT, "no magic of a log segment");
    if (fr_crc32c(0, page, CRC_OFFSET) != h.crc)
        return FR_FAIL(FR_ERR_CORRUPT, "crc of the segment header is wrong");
    uint32_t version = fr_bytes_u32(&in);
    h.kind = fr_bytes_u32(&in);
    uint32_t must = fr_bytes_u32(&in);
    fr_bytes_skip(&in, 4); /* what a reader need not know */
    if (version != FR_WAL_VERSION || (must & ~FEATURES_MUST) != 0)
        return FR_FAIL(FR_ERR_TOO_NEW, "log of version %" PRIu32 " with features %#" PRIx32,
                version, must);
    fr_slice store = fr_bytes_take(&in, FR_STORE_ID_SIZE);
    if (store.size == FR_STORE_ID_SIZE) memcpy(h.store, store.data, FR_STORE_ID_SIZE);
    h.number = fr_bytes_u64(&in);
    h.epoch = fr_bytes_u64(&in);
    h.first = fr_bytes_u64(&in);
    h.size = fr_bytes_u64(&in);
    h.previous.number = fr_bytes_u64(&in);
    h.previous.lsn = fr_bytes_u64(&in);
    h.previous.crc = fr_bytes_u32(&in);
    h.durable = fr_bytes_u64(&in);
    FR_ASSERT(fr_bytes_offset(&in) == ZEROS_OFFSET);
    if (!all_zeros(fr_bytes_take(&in, CRC_OFFSET - ZEROS_OFFSET)))
        return FR_FAIL(FR_ERR_CORRUPT, "unknown bytes in the segment header");
    fr_status st = check_header(&h);
    if (st == FR_OK) *ret_header = h;
    return st;
}

uint32_t fr_wal_check_seed(const uint8_t store[static FR_STORE_ID_SIZE], uint64_t number)
{
    uint8_t bytes[8];

    if (FR_MUSEUM(9)) number = 0; /* museum 9: a group of a segment's former life accepted */
    fr_put_u64(bytes, number);
    return fr_crc32c(fr_crc32c(0, store, FR_STORE_ID_SIZE), bytes, sizeof(bytes));
}

static uint32_t group_check(const uint8_t *bytes, uint32_t check_seed)
{
    size_t size = FR_WAL_GROUP_HEADER_SIZE - GROUP_CHECKED;
    return fr_crc32c_mask(fr_crc32c(check_seed, bytes + GROUP_CHECKED, size));
}

void fr_wal_group_encode(const struct fr_wal_group *group, uint32_t check_seed,
        uint8_t ret_bytes[static FR_WAL_GROUP_HEADER_SIZE])
{
    uint8_t *bytes = ret_bytes;

    FR_ASSERT(group->size <= FR_WAL_PAYLOAD_MAX);
    FR_ASSERT(group->durable <= group->lsn);
    fr_put_u64(bytes + 8, group->lsn);
    fr_put_u64(bytes + 16, group->durable);
    fr_put_u64(bytes + 24, group->epoch);
    fr_put_u64(bytes + 32, group->tag);
    fr_put_u32(bytes + 40, group->size);
    bytes[44] = group->type;
    bytes[45] = group->flags;
    fr_put_u16(bytes + 46, 0);
    fr_put_u32(bytes + 4, group_check(bytes, check_seed));
}

uint32_t fr_wal_group_crc(uint32_t previous_crc,
        const uint8_t bytes[static FR_WAL_GROUP_HEADER_SIZE])
{
    if (FR_MUSEUM(9)) previous_crc = 0; /* the chain would tell it, too */
    return fr_crc32c(previous_crc, bytes + GROUP_CRC_START,
            FR_WAL_GROUP_HEADER_SIZE - GROUP_CRC_START);
}

void fr_wal_group_seal(uint8_t bytes[static FR_WAL_GROUP_HEADER_SIZE], uint32_t crc)
{
    fr_put_u32(bytes, crc);
}

static bool flags_fit(uint8_t type, uint8_t flags)
{
    switch (type) {
    case FR_WAL_DATA:
        return (flags & ~(FR_WAL_FIRST | FR_WAL_LAST)) == 0;
    case FR_WAL_PAD:
        return flags == 0;
    case FR_WAL_SEAL:
        return (flags & ~FR_WAL_CLOSED) == 0;
    default:
        return false;
    }
}

bool fr_wal_group_decode(const uint8_t bytes[static FR_WAL_GROUP_HEADER_SIZE], uint32_t check_seed,
        struct fr_wal_group *ret_group)
{
    struct fr_bytes in = fr_bytes_of(fr_slice_of(bytes, FR_WAL_GROUP_HEADER_SIZE));
    struct fr_wal_group g;

    g.crc = fr_bytes_u32(&in);
    uint32_t check = fr_bytes_u32(&in);
    g.lsn = fr_bytes_u64(&in);
    g.durable = fr_bytes_u64(&in);
    g.epoch = fr_bytes_u64(&in);
    g.tag = fr_bytes_u64(&in);
    g.size = fr_bytes_u32(&in);
    g.type = fr_bytes_u8(&in);
    g.flags = fr_bytes_u8(&in);
    uint16_t zero = fr_bytes_u16(&in);
    if (!fr_bytes_done(&in) || zero != 0 || !flags_fit(g.type, g.flags)) return false;
    if (g.size > FR_WAL_PAYLOAD_MAX || g.durable > g.lsn) return false;
    if (group_check(bytes, check_seed) != check) return false;
    *ret_group = g;
    return true;
}
