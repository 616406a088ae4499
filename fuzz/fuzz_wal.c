/*
 * fuzz_wal.c - reads a log whose bytes come from somewhere else.
 *
 * The input is up to three segment files: for each, a 16 bit count of bytes and these, which are
 * laid over a file of the smallest size. They become 000001.wal to 000003.wal on a simulated
 * machine. Whatever is in them, the reader ends, in bounded memory; what it answers is no more than
 * what is there; and a second reading answers the same.
 *
 * Random changes hardly ever get past a checksum. So the mutator makes one in a decoded field or in
 * a payload, and then puts the checksums right again, all along the chain.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "base/rng.h"
#include "fuzz/fuzz.h"
#include "io/dir.h"
#include "io/file.h"
#include "io/sim.h"
#include "wal/wal_reader.h"

#define FILES     3
#define FILE_SIZE FR_WAL_SEGMENT_SIZE_MIN
#define ID        "sixteen letters"

/* ---- reading ----------------------------------------------------------------------------------
 */

static void make_file(struct fr_dir *dir, unsigned number, const uint8_t *data, size_t size)
{
    static uint8_t bytes[FILE_SIZE];
    char name[16];
    struct fr_file *file;

    memset(bytes, 0, sizeof(bytes));
    memcpy(bytes, data, size);
    snprintf(name, sizeof(name), "%06u.wal", number);
    FUZZ_CHECK(fr_file_open(dir, name, FR_OPEN_WRITE | FR_OPEN_CREATE, &file) == FR_OK);
    FUZZ_CHECK(fr_file_write(file, 0, bytes, FILE_SIZE, 0) == FR_OK);
    fr_file_close(file);
}

static void make_files(struct fr_dir *dir, const uint8_t *data, size_t size)
{
    for (unsigned i = 1; i <= FILES && size >= 2; i++) {
        size_t count = FR_MIN((size_t)fr_get_u16(data), size - 2);
        make_file(dir, i, data + 2, FR_MIN(count, (size_t)FILE_SIZE));
        data += 2 + count;
        size -= 2 + count;
    }
}

struct reading {
    fr_status status;
    size_t count;
    uint64_t bytes;
    uint64_t hash;
    struct fr_wal_end end;
};

static void read_all(struct fr_wal_reader *reader, struct reading *ret)
{
    fr_slice payload;
    uint64_t tag;
    fr_lsn lsn, last = 0;

    while ((ret->status = fr_wal_reader_next(reader, &payload, &tag, &lsn)) == FR_OK) {
        FUZZ_CHECK(ret->count == 0 || lsn > last);
        last = lsn;
        ret->count++;
        ret->bytes += payload.size;
        ret->hash = fr_mix64(ret->hash ^ tag ^ fr_crc32c(0, payload.data, payload.size));
        FUZZ_CHECK(ret->bytes <= FILES * FILE_SIZE && ret->count <= FILES * FILE_SIZE / 48);
    }
}

static struct reading read_log(struct fr_dir *dir, fr_lsn start)
{
    struct fr_wal_reader_options options = {.kind = FR_WAL_KIND_LOG, .store = ID, .start = start};
    struct fr_wal_reader *reader = NULL;
    struct reading reading = {0};

    reading.status = fr_wal_reader_open(dir, &options, &reader);
    if (reading.status < 0) return reading;
    read_all(reader, &reading);
    FUZZ_CHECK(reading.status != FR_NOT_FOUND);
    if (reading.status == FR_END) fr_wal_reader_end(reader, &reading.end);
    fr_wal_reader_close(reader);
    return reading;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fr_sim_options options = {.seed = 1};
    struct fr_sim *sim;
    struct fr_dir *dir;

    FUZZ_CHECK(fr_sim_open(&options, &sim) == FR_OK);
    FUZZ_CHECK(fr_dir_open(fr_sim_env(sim), "store", FR_DIR_CREATE, &dir) == FR_OK);
    make_files(dir, data, size);
    struct reading first = read_log(dir, 0), second = read_log(dir, 0);
    FUZZ_CHECK(first.status == second.status && first.count == second.count);
    FUZZ_CHECK(first.hash == second.hash);
    FUZZ_CHECK(first.end.link.lsn == second.end.link.lsn);
    (void)read_log(dir, 4096 + 56);
    fr_dir_close(dir);
    fr_sim_close(sim);
    return 0;
}

/* ---- mutating ---------------------------------------------------------------------------------
 */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size) __attribute__((weak));
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* Make the groups of a segment right that look as if they were some, and say where they end. */
static uint64_t reseal_groups(uint8_t *file, size_t size, uint32_t *crc)
{
    uint32_t seed = fr_wal_check_seed((const uint8_t *)ID, fr_get_u64(file + 40));
    uint64_t first = fr_get_u64(file + 56), epoch = fr_get_u64(file + 48), at = 4096;

    for (;;) {
        uint64_t place = fr_wal_next_place(at);
        if (place + FR_WAL_GROUP_HEADER_SIZE > size) return at;
        uint8_t *bytes = file + place;
        uint64_t extent = fr_wal_group_extent(FR_MIN(fr_get_u32(bytes + 40), (uint32_t)1 << 20));
        if (bytes[44] == 0 || extent > size - place) return at;
        fr_put_u64(bytes + 8, first + place - 4096);
        fr_put_u64(bytes + 24, epoch);
        fr_put_u32(bytes + 4, fr_crc32c_mask(fr_crc32c(seed, bytes + 8, 40)));
        *crc = fr_crc32c(*crc, bytes + 4, (size_t)extent - 4);
        fr_put_u32(bytes, *crc);
        at = place + extent;
    }
}

/* All files, each one's header with the end of the one before, unless it should not follow it. */
static void reseal(uint8_t *data, size_t size, bool link)
{
    uint64_t end = 0;
    uint32_t crc = 0;

    for (unsigned i = 1; i <= FILES && size >= 2; i++) {
        size_t count = FR_MIN((size_t)fr_get_u16(data), size - 2);
        uint8_t *file = data + 2;
        if (count < FR_WAL_HEADER_SIZE) return;
        if (link && i > 1) {
            fr_put_u64(file + 56, fr_wal_round_up(end));
            fr_put_u64(file + 72, i - 1);
            fr_put_u64(file + 80, end);
            fr_put_u32(file + 88, crc);
        }
        crc = fr_crc32c(0, file, 4092);
        fr_put_u32(file + 4092, crc);
        uint64_t first = fr_get_u64(file + 56);
        end = first + reseal_groups(file, count, &crc) - 4096;
        data += 2 + count;
        size -= 2 + count;
    }
}

/* A change where it is read, rather than in the zeros of the header pages. */
static void change_one(uint8_t *data, size_t size, struct fr_rng *rng)
{
    size_t at = (size_t)fr_rng_below(rng, size);

    if (fr_rng_one_in(rng, 4))
        at = 2 + (size_t)fr_rng_below(rng, FR_MIN(size - 2, (size_t)96));
    else if (size > 4200)
        at = 4098 + (size_t)fr_rng_below(rng, size - 4098);
    switch (fr_rng_below(rng, 4)) {
    case 0:
        data[at] ^= (uint8_t)(1 << fr_rng_below(rng, 8));
        break;
    case 1:
        data[at] = (uint8_t)fr_rng_below(rng, 8);
        break;
    case 2:
        data[at] = (uint8_t)fr_rng_next(rng);
        break;
    default:
        memset(data + at, fr_rng_one_in(rng, 2) ? 0xff : 0, FR_MIN((size_t)8, size - at));
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    struct fr_rng rng;

    fr_rng_init(&rng, seed);
    if (size < 100 || fr_rng_one_in(&rng, 8)) {
        size = LLVMFuzzerMutate == NULL ? size : LLVMFuzzerMutate(data, size, max_size);
    } else {
        for (uint64_t i = fr_rng_between(&rng, 1, 4); i > 0; i--)
            change_one(data, size, &rng);
    }
    if (!fr_rng_one_in(&rng, 4)) reseal(data, size, !fr_rng_one_in(&rng, 4));
    return size;
}
