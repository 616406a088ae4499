/*
 * frame.h - the frames of a table file: packing them, checking them, unpacking them.
 *
 * The bytes are in lsm/table_format.h.
 */
#ifndef FR_LSM_FRAME_H
#define FR_LSM_FRAME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"
#include "lsm/table_format.h"

/* ---- Packing. One thread. ---- */

struct fr_packer {
    void *context;          /* zstd's */
    const void *dictionary; /* zstd's, digested, in memory below; or NULL */
    void *dictionary_memory;
    struct fr_buf packed;
    int level;
    unsigned misses; /* in a row, that were not worth it */
    unsigned skip;   /* so many are not tried */
};

/* Takes no memory yet. */
void fr_packer_init(struct fr_packer *packer, int level);
void fr_packer_deinit(struct fr_packer *packer);

/* From now on compress with this dictionary, which is copied; or without one again. FR_NOT_FOUND:
 * zstd does not take it. */
FR_NODISCARD fr_status fr_packer_set_dictionary(struct fr_packer *packer, fr_slice dictionary);
void fr_packer_drop_dictionary(struct fr_packer *packer);

/*
 * Train a dictionary of up to size_max bytes from samples that lie back to back. FR_NOT_FOUND:
 * there is too little to learn from. Besides, zstd takes about 2 MiB meanwhile, for which it asks
 * the system itself.
 */
FR_NODISCARD fr_status fr_dictionary_train(const uint8_t *samples, const size_t *sizes,
        size_t count, size_t size_max, struct fr_buf *ret_dictionary);

/*
 * The payload to store for these bytes, compressed if that saves a tenth or more; where it has not
 * done so several times in a row, most are not tried. *ret_stored is raw itself, or valid until the
 * next call.
 */
FR_NODISCARD fr_status fr_packer_pack(struct fr_packer *packer, fr_slice raw, fr_slice *ret_stored,
        enum fr_codec *ret_compression);

/* Fill a trailer. seed is fr_file_id_seed of the file. The answer is the crc as stored. */
uint32_t fr_frame_trailer_put(uint8_t *to, uint32_t seed, uint64_t offset, fr_slice stored,
        enum fr_codec compression, enum fr_frame_type type, uint32_t raw_size);

/* ---- Unpacking. Any thread, several at a time. ---- */

struct fr_unpacker {
    const void *dictionary; /* zstd's, digested, in memory below; or NULL; constant once set */
    void *dictionary_memory;
    size_t dictionary_bytes; /* of that memory */
    _Atomic(void *) spare;   /* a context that nobody uses; acquire on taking, release on giving */
};

void fr_unpacker_deinit(struct fr_unpacker *unpacker);

/* Copied. path and offset are for words. FR_ERR_CORRUPT: it is none; FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_unpacker_set_dictionary(struct fr_unpacker *unpacker, fr_slice dictionary,
        const char *path, uint64_t offset);

/* A frame whose checksum is right. */
struct fr_frame {
    fr_slice stored;
    uint32_t raw_size;
    enum fr_codec compression;
};

/* bytes: what the handle leads to. FR_ERR_CORRUPT, FR_ERR_TOO_NEW. */
FR_NODISCARD fr_status fr_frame_check(fr_slice bytes, uint32_t seed,
        const struct fr_block_handle *handle, enum fr_frame_type type, const char *path,
        struct fr_frame *ret_frame);

/* Put the raw_size bytes of the frame to `to`. path and offset are for words. */
FR_NODISCARD fr_status fr_frame_unpack(struct fr_unpacker *unpacker, const struct fr_frame *frame,
        uint8_t *to, const char *path, uint64_t offset);

/* ---- One value at a time, for value files: no dictionary. ---- */

FR_NODISCARD fr_status fr_unpack(struct fr_unpacker *unpacker, fr_slice stored,
        bool with_dictionary, uint8_t *to, size_t raw_size, const char *path, uint64_t offset);

/* Whether so many stored bytes may claim to be that many. */
static inline bool fr_frame_ratio_fair(uint64_t stored, uint64_t raw)
{
    return raw <= FR_FRAME_RAW_FREE + stored * FR_FRAME_RATIO_MAX;
}

#endif
