/*
 * stored.h - what an index keeps in the store, and under which keys.
 *
 * All keys of an index begin with "spfresh/", or with "spfresh@NAME/" if it has a name. Numbers in
 * keys are big-endian, so that they are in order; in values little-endian.
 *
 *     m/options     truth     version u8, must-understand u8, metric u8, id kind u8 (1: u64,
 *                             2: text), dimension u32, seed u64
 *     v/ID          truth     the row of a vector: version u8, element type u8 (1: f32),
 *                             must-understand u16, dimension u32, the vector; with ids of text
 *                             the text's size u8 and the text; the payload
 *     t/TEXT        truth     with ids of text, which id a text has: version u8,
 *                             must-understand u8, u16 0, id u64
 *     c/GENERATION TIER NUMBER
 *                   derived   a posting's centroid: version u8, must-understand u8, u16 0,
 *                             scale f32, radius f32 (square), count u32, high bytes, low bytes
 *     p/GENERATION NUMBER
 *                   derived   a posting: records, one after the other, as they came
 *     m/space       derived   version u8, must-understand u8, u16 0, generation u32,
 *                             scale f32, reach f32, the centre: f32 each
 *     m/lost        derived   nothing; stands while what is derived may lack rows that were damaged
 *                             when it was made
 *
 * ID is 1 u8 and the id, u64; with ids of text it is a number that the index gives, and never to
 * another text while either is there. A row and its text's entry come and go in one batch.
 * GENERATION is u32, TIER u8, NUMBER u32: the slot of the centroid. A record of a posting is one of
 *
 *     came          1 u8, crc u32, id u64, scale f32, high bytes, low bytes (spfresh/code.h)
 *     left          2 u8, id u64
 *
 * and a row is in a posting if it came after it last left. What came is of one size, and is read
 * without the rest of its posting, too (spfresh/aside.h): crc, of its own, is the masked CRC-32C of
 * the posting's number, u32, and of all of the record behind the crc. Count and radius of a
 * centroid are as of its posting's last being written as a whole.
 *
 * m/space stands only while all that is derived is complete: it is deleted before a rebuild from
 * rows writes its first posting, and put with the last. Everything else changes in one batch with
 * what it is derived from, so after a crash the two agree.
 *
 * Only rows of the generation that m/space names count. An index that is built anew while others
 * use it (spfresh/index_rebuild.c) has the next generation written beside them, complete and as of
 * the rows, before m/space names that one; until then writes change the old generation, from then
 * on the new one, and the old one's rows are deleted after that. So a crash leaves one generation
 * that counts and agrees with the rows, and perhaps some of another: opening removes these.
 */
#ifndef FR_SPFRESH_STORED_H
#define FR_SPFRESH_STORED_H

#include <assert.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "spfresh/space.h"

#define FR_STORED_VERSION 1

/* The longest key there is of an index: root, name, kind, text. */
#define FR_INDEX_KEY_MAX 160
static_assert(FR_INDEX_KEY_MAX >= 9 + FR_INDEX_NAME_MAX + 2 + FR_TEXT_ID_MAX, "");

/* A key, and how long its part that all keys of the index have is. */
struct fr_index_key {
    uint8_t bytes[FR_INDEX_KEY_MAX];
    size_t size;
};

static inline fr_slice fr_index_key_slice(const struct fr_index_key *key)
{
    return fr_slice_of(key->bytes, key->size);
}

/* FR_ERR_MISUSE: no such name can be. */
FR_NODISCARD fr_status fr_index_name_check(const char *name);

/* The name was checked. */
void fr_key_prefix(const char *name, struct fr_index_key *ret_prefix);

struct fr_index_key fr_key_options(const struct fr_index_key *prefix);
struct fr_index_key fr_key_space(const struct fr_index_key *prefix);
struct fr_index_key fr_key_lost(const struct fr_index_key *prefix);
struct fr_index_key fr_key_vector(const struct fr_index_key *prefix, uint64_t id);
struct fr_index_key fr_key_text(const struct fr_index_key *prefix, fr_slice text);
struct fr_index_key fr_key_posting(const struct fr_index_key *prefix, uint32_t generation,
        uint32_t number);
struct fr_index_key fr_key_centroid(const struct fr_index_key *prefix, uint32_t generation,
        uint8_t tier, uint32_t number);

/* What all keys of one kind begin with: 'm', 'v', 't', 'c' or 'p'; or of the index: 0. */
struct fr_index_key fr_key_kind(const struct fr_index_key *prefix, char kind);

/* What all keys of one generation begin with: of 'c' or 'p'. */
struct fr_index_key fr_key_generation(const struct fr_index_key *prefix, char kind,
        uint32_t generation);

/* The first key behind all that begin so. */
struct fr_index_key fr_key_behind(const struct fr_index_key *kind);

/* The last parts of keys that begin so; a number's, with their generation. FR_ERR_CORRUPT. */
FR_NODISCARD fr_status fr_key_read_vector(const struct fr_index_key *kind, fr_slice key,
        uint64_t *ret_id);
FR_NODISCARD fr_status fr_key_read_text(const struct fr_index_key *kind, fr_slice key,
        fr_slice *ret_text);
FR_NODISCARD fr_status fr_key_read_number(const struct fr_index_key *kind, fr_slice key,
        uint32_t *ret_number);

/* The name of the index whose key this is; to has FR_INDEX_NAME_MAX + 1. FR_ERR_CORRUPT. */
FR_NODISCARD fr_status fr_key_read_name(fr_slice key, char *to);

/* --- Values. All decoders: FR_ERR_CORRUPT, FR_ERR_TOO_NEW; the words do not name the key. --- */

struct fr_stored_options {
    enum fr_metric metric;
    enum fr_id_kind id_kind;
    uint32_t dimension;
    uint64_t seed;
};

void fr_stored_put_options(struct fr_buf *to, const struct fr_stored_options *options);
FR_NODISCARD fr_status fr_stored_read_options(fr_slice value, struct fr_stored_options *ret);

#define FR_STORED_VECTOR_HEAD 8

/* text is NULL where ids are numbers. */
void fr_stored_put_vector(struct fr_buf *to, const float *vector, uint32_t dimension,
        const struct fr_text_id *text, const void *payload, size_t payload_size);

/*
 * dimension floats go to ret_vector, unless it is NULL; the payload is a part of value. Where ids
 * are text, that stands before the payload: fr_stored_split_text parts them.
 */
FR_NODISCARD fr_status fr_stored_read_vector(fr_slice value, uint32_t dimension, float *ret_vector,
        fr_slice *ret_payload);
/* What a row says of itself. */
FR_NODISCARD fr_status fr_stored_read_dimension(fr_slice value, uint32_t *ret_dimension);

FR_NODISCARD fr_status fr_stored_split_text(fr_slice *payload, fr_slice *ret_text);

/* Which id a text has. */
void fr_stored_put_text(struct fr_buf *to, uint64_t id);
FR_NODISCARD fr_status fr_stored_read_text(fr_slice value, uint64_t *ret_id);

struct fr_stored_centroid {
    float scale, radius;
    uint32_t count;
    const int8_t *high; /* dims */
    const uint8_t *low;
};

void fr_stored_put_centroid(struct fr_buf *to, size_t dims,
        const struct fr_stored_centroid *centroid);
FR_NODISCARD fr_status fr_stored_read_centroid(fr_slice value, size_t dims,
        struct fr_stored_centroid *ret);

struct fr_stored_record {
    bool came;
    uint64_t id;
    float scale;
    const int8_t *high;
    const uint8_t *low;
};

/* Into the posting of that number. */
void fr_stored_put_came(struct fr_buf *to, size_t dims, uint32_t number, uint64_t id, float scale,
        const int8_t *high, const uint8_t *low);
size_t fr_stored_came_size(size_t dims);
void fr_stored_put_left(struct fr_buf *to, uint64_t id);

/* The next record of the posting of that number. FR_END. */
FR_NODISCARD fr_status fr_stored_read_record(struct fr_bytes *in, size_t dims, uint32_t number,
        struct fr_stored_record *ret);

/* The generation that an index begins with. */
#define FR_GENERATION_FIRST 1

/* Of a space: what calibration has found. center is where dims floats go. */
void fr_stored_put_space(struct fr_buf *to, const struct fr_space *space, uint32_t generation);
FR_NODISCARD fr_status fr_stored_read_space(fr_slice value, struct fr_space *space,
        uint32_t *ret_generation);

/* No more than that of it. */
FR_NODISCARD fr_status fr_stored_read_generation(fr_slice value, uint32_t *ret_generation);

#endif
