/*
 * fuzz_frame.c - frames and dictionaries from anywhere: refused, or unpacked to what they claim.
 *
 * The input is a byte for the codec, a 16 bit size and a dictionary of it, the raw size that the
 * frame claims (32 bits), and its payload. The trailer with its checksum is made around them. A
 * dictionary that is taken must also give back what was packed with it.
 */
#include "base/alloc.h"
#include "base/coding.h"
#include "fuzz/fuzz.h"
#include "lsm/file_id.h"
#include "lsm/frame.h"

#define OFFSET  4096
#define RAW_MAX ((uint32_t)1 << 21)

static const struct fr_file_id id = {{1, 2}, 3};

static bool is_refusal(fr_status st)
{
    return st == FR_ERR_CORRUPT || st == FR_ERR_TOO_NEW;
}

static void unpack(struct fr_unpacker *unpacker, const struct fr_frame *frame)
{
    uint8_t *to;

    FUZZ_CHECK(fr_frame_ratio_fair(frame->stored.size, frame->raw_size));
    if (frame->raw_size > RAW_MAX) return;
    to = fr_alloc_zeroed(1, (size_t)frame->raw_size + 1);
    FUZZ_CHECK(to != NULL);
    to[frame->raw_size] = 0x5a;
    fr_status st = fr_frame_unpack(unpacker, frame, to, "fuzz", OFFSET);
    FUZZ_CHECK(st == FR_OK || is_refusal(st));
    FUZZ_CHECK(to[frame->raw_size] == 0x5a);
    fr_free(to);
}

static void check_frame(struct fr_unpacker *unpacker, uint8_t codec, uint32_t raw_size,
        fr_slice payload)
{
    uint32_t seed = fr_file_id_seed(&id);
    size_t size = payload.size + FR_FRAME_TRAILER_SIZE;
    struct fr_block_handle handle = {.offset = OFFSET, .size = (uint32_t)size};
    struct fr_frame frame;
    uint8_t *bytes = fr_alloc(size);

    FUZZ_CHECK(bytes != NULL);
    if (payload.size > 0) memcpy(bytes, payload.data, payload.size);
    handle.crc = fr_frame_trailer_put(bytes + payload.size, seed, OFFSET,
            fr_slice_of(bytes, payload.size), (enum fr_codec)codec, FR_FRAME_DATA, raw_size);
    fr_status st =
            fr_frame_check(fr_slice_of(bytes, size), seed, &handle, FR_FRAME_DATA, "fuzz", &frame);
    FUZZ_CHECK(st == FR_OK || is_refusal(st));
    if (st == FR_OK) unpack(unpacker, &frame);
    fr_free(bytes);
}

/* What was packed comes back; and by no other checksum, type or place. */
static void check_round(struct fr_packer *packer, struct fr_unpacker *unpacker, fr_slice raw)
{
    enum fr_codec codec;
    fr_slice stored;

    FUZZ_CHECK(fr_packer_pack(packer, raw, &stored, &codec) == FR_OK);
    FUZZ_CHECK(stored.size <= raw.size);
    struct fr_frame frame = {
            .stored = stored, .raw_size = (uint32_t)raw.size, .compression = codec};
    uint8_t *to = fr_alloc(raw.size + 1);
    FUZZ_CHECK(to != NULL);
    FUZZ_CHECK(fr_frame_unpack(unpacker, &frame, to, "fuzz", OFFSET) == FR_OK);
    FUZZ_CHECK(raw.size == 0 || memcmp(to, raw.data, raw.size) == 0);
    fr_free(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fr_unpacker unpacker = {0};
    struct fr_packer packer;

    if (size < 7 || size > 65536) return 0;
    uint8_t codec = data[0];
    fr_slice dictionary = fr_slice_of(data + 7, FR_MIN((size_t)fr_get_u16(data + 1), size - 7));
    uint32_t raw_size = fr_get_u32(data + 3);
    fr_slice payload = fr_slice_of(data + 7 + dictionary.size, size - 7 - dictionary.size);

    fr_packer_init(&packer, 1);
    if (dictionary.size > 0 &&
            fr_unpacker_set_dictionary(&unpacker, dictionary, "fuzz", OFFSET) == FR_OK &&
            fr_packer_set_dictionary(&packer, dictionary) == FR_OK && payload.size > 0)
        check_round(&packer, &unpacker, payload);
    check_frame(&unpacker, codec, raw_size, payload);
    fr_packer_deinit(&packer);
    fr_unpacker_deinit(&unpacker);
    return 0;
}
