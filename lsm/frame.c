/* zstd's allocator and its trainer can be chosen only through what it calls static interfaces. */
#define ZDICT_STATIC_LINKING_ONLY
#define ZSTD_STATIC_LINKING_ONLY
#include "lsm/frame.h"

#include <inttypes.h>
#include <zdict.h>
#include <zstd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"

static void *zstd_alloc(void *ctx, size_t size)
{
    (void)ctx;
    return fr_alloc(size);
}

static void zstd_free(void *ctx, void *memory)
{
    (void)ctx;
    fr_free(memory);
}

/*
 * How the trainer works: it counts strings of TRAIN_STRING bytes in a table of 2^TRAIN_TABLE_LOG
 * counters, and takes pieces of TRAIN_PIECE bytes. zstd's own choice is to try several sizes of
 * pieces and a table four times as large: eight times the time (some 80 ms for 1 MiB), for a
 * dictionary that saves no more.
 */
#define TRAIN_STRING    8
#define TRAIN_TABLE_LOG 18
#define TRAIN_PIECE     256

static const ZSTD_customMem memory = {.customAlloc = zstd_alloc, .customFree = zstd_free};

/* ---- Packing ---- */

void fr_packer_init(struct fr_packer *packer, int level)
{
    *packer = (struct fr_packer){.level = level};
}

void fr_packer_deinit(struct fr_packer *packer)
{
    ZSTD_freeCCtx(packer->context);
    fr_packer_drop_dictionary(packer);
    fr_buf_deinit(&packer->packed);
    packer->context = NULL;
}

/*
 * In memory of our own: zstd up to 1.5.4 does not look whether it got any. What it refuses although
 * it has trained it is as good as not trained.
 */
fr_status fr_packer_set_dictionary(struct fr_packer *packer, fr_slice dictionary)
{
    ZSTD_compressionParameters parameters = ZSTD_getCParams(packer->level, 0, dictionary.size);
    size_t size = ZSTD_estimateCDictSize_advanced(dictionary.size, parameters, ZSTD_dlm_byCopy);

    FR_ASSERT(packer->dictionary == NULL);
    packer->dictionary_memory = fr_alloc_aligned(size, 64);
    if (packer->dictionary_memory == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "no memory for a dictionary");
    packer->dictionary = ZSTD_initStaticCDict(packer->dictionary_memory, size, dictionary.data,
            dictionary.size, ZSTD_dlm_byCopy, ZSTD_dct_fullDict, parameters);
    if (packer->dictionary != NULL) return FR_OK;
    fr_packer_drop_dictionary(packer);
    return FR_NOT_FOUND;
}

void fr_packer_drop_dictionary(struct fr_packer *packer)
{
    fr_free(packer->dictionary_memory);
    packer->dictionary = packer->dictionary_memory = NULL;
}

fr_status fr_dictionary_train(const uint8_t *samples, const size_t *sizes, size_t count,
        size_t size_max, struct fr_buf *ret_dictionary)
{
    ZDICT_fastCover_params_t how = {.k = TRAIN_PIECE,
            .d = TRAIN_STRING,
            .f = TRAIN_TABLE_LOG,
            .splitPoint = 1.0,
            .accel = 1};
    uint8_t *to;
    size_t size;

    if (count < 8) return FR_NOT_FOUND;
    to = fr_buf_extend(ret_dictionary, size_max);
    if (to == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to train a dictionary");
    size = ZDICT_trainFromBuffer_fastCover(to, size_max, samples, sizes, (unsigned)count, how);
    if (ZDICT_isError(size)) {
        fr_buf_clear(ret_dictionary);
        return FR_NOT_FOUND;
    }
    ret_dictionary->size = size;
    return FR_OK;
}

static fr_status compress(struct fr_packer *packer, fr_slice raw, size_t *ret_size)
{
    size_t bound = ZSTD_compressBound(raw.size), size;
    uint8_t *to;

    if (packer->context == NULL) packer->context = ZSTD_createCCtx_advanced(memory);
    fr_buf_clear(&packer->packed);
    to = fr_buf_extend(&packer->packed, bound);
    if (packer->context == NULL || to == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "no memory to compress %zu bytes", raw.size);
    size = packer->dictionary != NULL ? ZSTD_compress_usingCDict(packer->context, to, bound,
                                                raw.data, raw.size, packer->dictionary)
                                      : ZSTD_compressCCtx(packer->context, to, bound, raw.data,
                                                raw.size, packer->level);
    if (ZSTD_isError(size))
        return FR_FAIL(FR_ERR_NOMEM, "compressing %zu bytes: %s", raw.size,
                ZSTD_getErrorName(size));
    *ret_size = size;
    return FR_OK;
}

/*
 * What does not get smaller seldom comes alone: codes and real embeddings fill whole files. After a
 * few misses in a row all but one of a growing number are passed by, until one hits again.
 */
#define MISSES_FEW 4
#define SKIP_BITS  5

static void note_miss(struct fr_packer *packer)
{
    if (packer->misses < MISSES_FEW + SKIP_BITS) packer->misses++;
    packer->skip = packer->misses < MISSES_FEW ? 0 : 1u << (packer->misses - MISSES_FEW);
}

fr_status fr_packer_pack(struct fr_packer *packer, fr_slice raw, fr_slice *ret_stored,
        enum fr_codec *ret_compression)
{
    size_t size = 0;
    fr_status st;

    *ret_stored = raw;
    *ret_compression = FR_CODEC_NONE;
    if (packer->skip > 0) {
        packer->skip--;
        return FR_OK;
    }
    FR_TRY(compress(packer, raw, &size));
    if (size < raw.size - raw.size / 10 && fr_frame_ratio_fair(size, raw.size)) {
        packer->misses = 0;
        *ret_stored = fr_slice_of(packer->packed.data, size);
        *ret_compression = packer->dictionary != NULL ? FR_CODEC_ZSTD_DICT : FR_CODEC_ZSTD;
    } else {
        note_miss(packer);
    }
out:
    return st;
}

static uint32_t frame_crc(uint32_t seed, uint64_t offset, fr_slice stored, const uint8_t *trailer)
{
    uint32_t crc = fr_file_id_seed_at(seed, offset);

    crc = fr_crc32c(crc, stored.data, stored.size);
    return fr_crc32c_mask(fr_crc32c(crc, trailer, 8));
}

uint32_t fr_frame_trailer_put(uint8_t *to, uint32_t seed, uint64_t offset, fr_slice stored,
        enum fr_codec compression, enum fr_frame_type type, uint32_t raw_size)
{
    uint32_t crc;

    to[0] = (uint8_t)compression;
    to[1] = (uint8_t)type;
    fr_put_u16(to + 2, 0);
    fr_put_u32(to + 4, raw_size);
    crc = frame_crc(seed, offset, stored, to);
    fr_put_u32(to + 8, crc);
    return crc;
}

/* ---- Unpacking ---- */

void fr_unpacker_deinit(struct fr_unpacker *unpacker)
{
    ZSTD_freeDCtx(atomic_load_explicit(&unpacker->spare, memory_order_acquire));
    fr_free(unpacker->dictionary_memory);
    atomic_store_explicit(&unpacker->spare, NULL, memory_order_relaxed);
    unpacker->dictionary = unpacker->dictionary_memory = NULL;
}

/* In memory of our own, so that want of memory and a bad dictionary are told apart. */
fr_status fr_unpacker_set_dictionary(struct fr_unpacker *unpacker, fr_slice dictionary,
        const char *path, uint64_t offset)
{
    size_t size = ZSTD_estimateDDictSize(dictionary.size, ZSTD_dlm_byCopy);

    FR_ASSERT(unpacker->dictionary == NULL);
    unpacker->dictionary_memory = fr_alloc_aligned(size, 64);
    if (unpacker->dictionary_memory == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory for a dictionary", path);
    unpacker->dictionary_bytes = size;
    unpacker->dictionary = ZSTD_initStaticDDict(unpacker->dictionary_memory, size, dictionary.data,
            dictionary.size, ZSTD_dlm_byCopy, ZSTD_dct_fullDict);
    if (unpacker->dictionary == NULL)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the dictionary at %" PRIu64 " is none", path, offset);
    return FR_OK;
}

static fr_status check_fields(const uint8_t *trailer, enum fr_frame_type type, const char *path,
        uint64_t offset, struct fr_frame *frame)
{
    uint8_t compression = trailer[0];

    if (trailer[1] != type || fr_get_u16(trailer + 2) != 0)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the frame at %" PRIu64 " has type %d, not %d", path,
                offset, trailer[1], type);
    if (compression == 0 || compression > FR_CODEC_ZSTD_DICT)
        return FR_FAIL(FR_ERR_TOO_NEW, "%s: the frame at %" PRIu64 " has compression %d", path,
                offset, compression);
    frame->compression = (enum fr_codec)compression;
    frame->raw_size = fr_get_u32(trailer + 4);
    if (frame->raw_size > FR_BLOCK_SIZE_MAX ||
            !fr_frame_ratio_fair(frame->stored.size, frame->raw_size) ||
            (compression == FR_CODEC_NONE && frame->raw_size != frame->stored.size))
        return FR_FAIL(FR_ERR_CORRUPT,
                "%s: the frame at %" PRIu64 " claims to be of %" PRIu32 " bytes", path, offset,
                frame->raw_size);
    return FR_OK;
}

fr_status fr_frame_check(fr_slice bytes, uint32_t seed, const struct fr_block_handle *handle,
        enum fr_frame_type type, const char *path, struct fr_frame *ret_frame)
{
    uint64_t offset = handle->offset;
    struct fr_frame frame;
    uint32_t crc, stored_crc;
    fr_status st;

    if (bytes.size < FR_FRAME_TRAILER_SIZE)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the frame at %" PRIu64 " is of %zu bytes", path, offset,
                bytes.size);
    frame.stored = fr_slice_of(bytes.data, bytes.size - FR_FRAME_TRAILER_SIZE);
    const uint8_t *trailer = bytes.data + frame.stored.size;

    stored_crc = fr_get_u32(trailer + 8);
    crc = frame_crc(seed, offset, frame.stored, trailer);
    if (crc != stored_crc)
        return FR_FAIL(FR_ERR_CORRUPT,
                "%s: the frame at %" PRIu64 " has checksum %08" PRIx32 ", stored is %08" PRIx32,
                path, offset, crc, stored_crc);
    if (crc != handle->crc)
        return FR_FAIL(FR_ERR_CORRUPT,
                "%s: the frame at %" PRIu64 " has checksum %08" PRIx32 ", but %08" PRIx32
                " was expected: stale bytes",
                path, offset, crc, handle->crc);
    FR_TRY(check_fields(trailer, type, path, offset, &frame));
    *ret_frame = frame;
out:
    return st;
}

static size_t decompress(ZSTD_DCtx *context, const ZSTD_DDict *dictionary, fr_slice stored,
        uint8_t *to, size_t raw_size)
{
    if (dictionary != NULL)
        return ZSTD_decompress_usingDDict(context, to, raw_size, stored.data, stored.size,
                dictionary);
    return ZSTD_decompressDCtx(context, to, raw_size, stored.data, stored.size);
}

fr_status fr_unpack(struct fr_unpacker *unpacker, fr_slice stored, bool with_dictionary,
        uint8_t *to, size_t raw_size, const char *path, uint64_t offset)
{
    ZSTD_DCtx *context = atomic_exchange_explicit(&unpacker->spare, NULL, memory_order_acquire);
    size_t size;

    if (context == NULL) context = ZSTD_createDCtx_advanced(memory);
    if (context == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to decompress", path);
    size = decompress(context, with_dictionary ? unpacker->dictionary : NULL, stored, to, raw_size);
    ZSTD_freeDCtx(atomic_exchange_explicit(&unpacker->spare, context, memory_order_acq_rel));
    if (ZSTD_isError(size) || size != raw_size)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: what is at %" PRIu64 " cannot be decompressed: %s",
                path, offset, ZSTD_isError(size) ? ZSTD_getErrorName(size) : "wrong size");
    return FR_OK;
}

fr_status fr_frame_unpack(struct fr_unpacker *unpacker, const struct fr_frame *frame, uint8_t *to,
        const char *path, uint64_t offset)
{
    bool with_dictionary = frame->compression == FR_CODEC_ZSTD_DICT;

    if (frame->compression == FR_CODEC_NONE) {
        memcpy(to, frame->stored.data, frame->raw_size);
        return FR_OK;
    }
    if (with_dictionary && unpacker->dictionary == NULL)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the frame at %" PRIu64 " wants a dictionary", path,
                offset);
    return fr_unpack(unpacker, frame->stored, with_dictionary, to, frame->raw_size, path, offset);
}
