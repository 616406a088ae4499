#include "spfresh/stored.h"

#include <math.h>
#include <string.h>

#include "base/coding.h"
#include "base/crc32c.h"
#include "base/status.h"
#include "spfresh/code.h"

#define ROOT        "spfresh"
#define ELEMENT_F32 1
#define ID_U64      1 /* of a key */
#define CAME        1
#define LEFT        2

/* ---- Keys ---- */

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}

fr_status fr_index_name_check(const char *name)
{
    size_t size = name == NULL ? FR_INDEX_NAME_MAX + 1 : strlen(name);

    for (size_t i = 0; i < size && size <= FR_INDEX_NAME_MAX; i++)
        if (!is_name_byte(name[i])) size = FR_INDEX_NAME_MAX + 1;
    if (size <= FR_INDEX_NAME_MAX) return FR_OK;
    return FR_FAIL(FR_ERR_MISUSE,
            "the name of an index has up to %d letters, digits, dots, dashes and underscores",
            FR_INDEX_NAME_MAX);
}

static void add(struct fr_index_key *key, const void *bytes, size_t size)
{
    memcpy(key->bytes + key->size, bytes, size);
    key->size += size;
}

static void add_number(struct fr_index_key *key, uint64_t number, size_t size)
{
    while (size-- > 0)
        key->bytes[key->size++] = (uint8_t)(number >> (8 * size));
}

void fr_key_prefix(const char *name, struct fr_index_key *ret_prefix)
{
    ret_prefix->size = 0;
    add(ret_prefix, ROOT, strlen(ROOT));
    if (name[0] != '\0') add(ret_prefix, "@", 1);
    add(ret_prefix, name, strlen(name));
    add(ret_prefix, "/", 1);
}

static struct fr_index_key with(const struct fr_index_key *prefix, const char *text)
{
    struct fr_index_key key = *prefix;

    add(&key, text, strlen(text));
    return key;
}

struct fr_index_key fr_key_options(const struct fr_index_key *prefix)
{
    return with(prefix, "m/options");
}

struct fr_index_key fr_key_space(const struct fr_index_key *prefix)
{
    return with(prefix, "m/space");
}

struct fr_index_key fr_key_lost(const struct fr_index_key *prefix)
{
    return with(prefix, "m/lost");
}

struct fr_index_key fr_key_vector(const struct fr_index_key *prefix, uint64_t id)
{
    struct fr_index_key key = with(prefix, "v/");

    add_number(&key, ID_U64, 1);
    add_number(&key, id, 8);
    return key;
}

struct fr_index_key fr_key_text(const struct fr_index_key *prefix, fr_slice text)
{
    struct fr_index_key key = with(prefix, "t/");

    add(&key, text.data, text.size);
    return key;
}

struct fr_index_key fr_key_posting(const struct fr_index_key *prefix, uint32_t generation,
        uint32_t number)
{
    struct fr_index_key key = fr_key_generation(prefix, 'p', generation);

    add_number(&key, number, 4);
    return key;
}

struct fr_index_key fr_key_centroid(const struct fr_index_key *prefix, uint32_t generation,
        uint8_t tier, uint32_t number)
{
    struct fr_index_key key = fr_key_generation(prefix, 'c', generation);

    add_number(&key, tier, 1);
    add_number(&key, number, 4);
    return key;
}

struct fr_index_key fr_key_kind(const struct fr_index_key *prefix, char kind)
{
    char text[3] = {kind, '/', '\0'};

    return with(prefix, kind == 0 ? "" : text);
}

struct fr_index_key fr_key_generation(const struct fr_index_key *prefix, char kind,
        uint32_t generation)
{
    struct fr_index_key key = fr_key_kind(prefix, kind);

    add_number(&key, generation, 4);
    return key;
}

struct fr_index_key fr_key_behind(const struct fr_index_key *kind)
{
    struct fr_index_key key = *kind;
    size_t at = key.size;

    /* A slash at the latest takes one more. */
    while (++key.bytes[--at] == 0)
        continue;
    return key;
}

/* The part of a key behind what all of its kind have, of that size; NULL: it is another key. */
static const uint8_t *rest_of(const struct fr_index_key *kind, fr_slice key, size_t size)
{
    bool is_one = key.size == kind->size + size && memcmp(key.data, kind->bytes, kind->size) == 0;

    return is_one ? key.data + kind->size : NULL;
}

static fr_status refuse_key(fr_slice key)
{
    return FR_FAIL(FR_ERR_CORRUPT, "a key of %zu bytes is not of an index", key.size);
}

static uint64_t read_number(const uint8_t *bytes, size_t size)
{
    uint64_t number = 0;

    for (size_t i = 0; i < size; i++)
        number = number << 8 | bytes[i];
    return number;
}

fr_status fr_key_read_vector(const struct fr_index_key *kind, fr_slice key, uint64_t *ret_id)
{
    const uint8_t *rest = rest_of(kind, key, 9);

    if (rest == NULL) return refuse_key(key);
    if (rest[0] != ID_U64)
        return FR_FAIL(FR_ERR_TOO_NEW, "the key of a vector has an id of kind %u", rest[0]);
    *ret_id = read_number(rest + 1, 8);
    return FR_OK;
}

fr_status fr_key_read_text(const struct fr_index_key *kind, fr_slice key, fr_slice *ret_text)
{
    size_t size = key.size > kind->size ? key.size - kind->size : 0;
    const uint8_t *rest = rest_of(kind, key, size);

    if (rest == NULL || size == 0 || size > FR_TEXT_ID_MAX) return refuse_key(key);
    *ret_text = fr_slice_of(rest, size);
    return FR_OK;
}

fr_status fr_key_read_number(const struct fr_index_key *kind, fr_slice key, uint32_t *ret_number)
{
    size_t tier = kind->bytes[kind->size - 6] == 'c';
    const uint8_t *rest = rest_of(kind, key, 4 + tier);

    if (rest == NULL) return refuse_key(key);
    *ret_number = (uint32_t)read_number(rest + tier, 4);
    return FR_OK;
}

fr_status fr_key_read_name(fr_slice key, char *to)
{
    const char *bytes = (const char *)key.data;
    size_t at = strlen(ROOT), size = 0;
    bool is_ours = key.size > at && memcmp(bytes, ROOT, at) == 0;
    bool is_named = is_ours && bytes[at] == '@';

    at += is_named;
    while (is_named && at + size < key.size && size <= FR_INDEX_NAME_MAX && bytes[at + size] != '/')
        size++;
    if (!is_ours || is_named != (size > 0) || size > FR_INDEX_NAME_MAX || at + size >= key.size ||
            bytes[at + size] != '/')
        return refuse_key(key);
    memcpy(to, bytes + at, size);
    to[size] = '\0';
    return strlen(to) == size ? fr_index_name_check(to) : refuse_key(key);
}

/* ---- Values ---- */

static uint32_t f32_bits(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static float f32_of(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void put_f32(struct fr_buf *to, float value)
{
    fr_buf_u32(to, f32_bits(value));
}

static float read_f32(struct fr_bytes *in)
{
    return f32_of(fr_bytes_u32(in));
}

/* Version and bits that every value but a posting begins with. */
static fr_status check_head(const struct fr_bytes *in, const char *what, unsigned version,
        unsigned must)
{
    if (!fr_bytes_ok(in)) return FR_FAIL(FR_ERR_CORRUPT, "%s is cut short", what);
    if (version != FR_STORED_VERSION || must != 0)
        return FR_FAIL(FR_ERR_TOO_NEW, "%s has version %u, and must-understand bits %#x", what,
                version, must);
    return FR_OK;
}

void fr_stored_put_options(struct fr_buf *to, const struct fr_stored_options *options)
{
    fr_buf_u8(to, FR_STORED_VERSION);
    fr_buf_u8(to, 0);
    fr_buf_u8(to, (uint8_t)options->metric);
    fr_buf_u8(to, (uint8_t)options->id_kind);
    fr_buf_u32(to, options->dimension);
    fr_buf_u64(to, options->seed);
}

fr_status fr_stored_read_options(fr_slice value, struct fr_stored_options *ret)
{
    struct fr_bytes in = fr_bytes_of(value);
    unsigned version = fr_bytes_u8(&in), must = fr_bytes_u8(&in);
    unsigned metric = fr_bytes_u8(&in), id_kind = fr_bytes_u8(&in);
    fr_status st;

    ret->dimension = fr_bytes_u32(&in);
    ret->seed = fr_bytes_u64(&in);
    ret->metric = (enum fr_metric)metric;
    ret->id_kind = (enum fr_id_kind)id_kind;
    FR_TRY(check_head(&in, "the options of an index", version, must));
    if (id_kind != FR_ID_U64 && id_kind != FR_ID_TEXT)
        return FR_FAIL(FR_ERR_TOO_NEW, "the options of an index have ids of kind %u", id_kind);
    if (metric < FR_METRIC_L2 || metric > FR_METRIC_INNER_PRODUCT || ret->dimension == 0 ||
            ret->dimension > FR_DIMENSION_MAX || !fr_bytes_done(&in))
        return FR_FAIL(FR_ERR_CORRUPT, "the options of an index have metric %u, dimension %u",
                metric, ret->dimension);
out:
    return st;
}

void fr_stored_put_vector(struct fr_buf *to, const float *vector, uint32_t dimension,
        const struct fr_text_id *text, const void *payload, size_t payload_size)
{
    fr_buf_u8(to, FR_STORED_VERSION);
    fr_buf_u8(to, ELEMENT_F32);
    fr_buf_u16(to, 0);
    fr_buf_u32(to, dimension);
    uint8_t *floats = fr_buf_extend(to, dimension * sizeof(float));
    for (uint32_t i = 0; floats != NULL && i < dimension; i++)
        fr_put_u32(floats + 4 * i, f32_bits(vector[i]));
    if (text != NULL) {
        fr_buf_u8(to, (uint8_t)text->size);
        fr_buf_append(to, text->data, text->size);
    }
    fr_buf_append(to, payload, payload_size);
}

fr_status fr_stored_read_vector(fr_slice value, uint32_t dimension, float *ret_vector,
        fr_slice *ret_payload)
{
    struct fr_bytes in = fr_bytes_of(value);
    unsigned version = fr_bytes_u8(&in), type = fr_bytes_u8(&in), must = fr_bytes_u16(&in);
    uint32_t has = fr_bytes_u32(&in);
    fr_status st;

    FR_TRY(check_head(&in, "the row of a vector", version, must));
    if (type != ELEMENT_F32)
        return FR_FAIL(FR_ERR_TOO_NEW, "the row of a vector has elements of type %u", type);
    fr_slice vector = fr_bytes_take(&in, (uint64_t)dimension * sizeof(float));
    if (has != dimension || !fr_bytes_ok(&in))
        return FR_FAIL(FR_ERR_CORRUPT,
                "the row of a vector has %zu bytes and dimension %u, where %u is the index's",
                value.size, has, dimension);
    const uint8_t *floats = vector.data;
    for (uint32_t i = 0; ret_vector != NULL && i < dimension; i++)
        ret_vector[i] = f32_of(fr_get_u32(floats + 4 * i));
    *ret_payload = fr_bytes_take(&in, fr_bytes_left(&in));
out:
    return st;
}

fr_status fr_stored_read_dimension(fr_slice value, uint32_t *ret_dimension)
{
    struct fr_bytes in = fr_bytes_of(value);
    fr_slice payload;
    fr_status st;

    (void)fr_bytes_take(&in, FR_STORED_VECTOR_HEAD - 4);
    uint32_t dimension = fr_bytes_u32(&in);
    if (!fr_bytes_ok(&in) || dimension == 0 || dimension > FR_DIMENSION_MAX)
        return FR_FAIL(FR_ERR_CORRUPT, "the row of a vector has %zu bytes and dimension %u",
                value.size, dimension);
    FR_TRY(fr_stored_read_vector(value, dimension, NULL, &payload));
    *ret_dimension = dimension;
out:
    return st;
}

fr_status fr_stored_split_text(fr_slice *payload, fr_slice *ret_text)
{
    struct fr_bytes in = fr_bytes_of(*payload);
    size_t size = fr_bytes_u8(&in);
    fr_slice text = fr_bytes_take(&in, size);

    if (!fr_bytes_ok(&in) || size == 0 || size > FR_TEXT_ID_MAX)
        return FR_FAIL(FR_ERR_CORRUPT,
                "the row of a vector has an id of %zu bytes, cut short or not", size);
    *payload = fr_bytes_take(&in, fr_bytes_left(&in));
    *ret_text = text;
    return FR_OK;
}

void fr_stored_put_text(struct fr_buf *to, uint64_t id)
{
    fr_buf_u8(to, FR_STORED_VERSION);
    fr_buf_u8(to, 0);
    fr_buf_u16(to, 0);
    fr_buf_u64(to, id);
}

fr_status fr_stored_read_text(fr_slice value, uint64_t *ret_id)
{
    struct fr_bytes in = fr_bytes_of(value);
    unsigned version = fr_bytes_u8(&in), must = fr_bytes_u8(&in);
    fr_status st;

    (void)fr_bytes_u16(&in);
    uint64_t id = fr_bytes_u64(&in);
    FR_TRY(check_head(&in, "an id of text", version, must));
    if (!fr_bytes_done(&in))
        return FR_FAIL(FR_ERR_CORRUPT, "an id of text has a value of %zu bytes", value.size);
    *ret_id = id;
out:
    return st;
}

void fr_stored_put_centroid(struct fr_buf *to, size_t dims,
        const struct fr_stored_centroid *centroid)
{
    fr_buf_u8(to, FR_STORED_VERSION);
    fr_buf_u8(to, 0);
    fr_buf_u16(to, 0);
    put_f32(to, centroid->scale);
    put_f32(to, centroid->radius);
    fr_buf_u32(to, centroid->count);
    fr_buf_append(to, centroid->high, dims);
    fr_buf_append(to, centroid->low, fr_row_low_size(dims));
}

fr_status fr_stored_read_centroid(fr_slice value, size_t dims, struct fr_stored_centroid *ret)
{
    struct fr_bytes in = fr_bytes_of(value);
    unsigned version = fr_bytes_u8(&in), must = fr_bytes_u8(&in);
    fr_status st;

    (void)fr_bytes_u16(&in);
    ret->scale = read_f32(&in);
    ret->radius = read_f32(&in);
    ret->count = fr_bytes_u32(&in);
    FR_TRY(check_head(&in, "a centroid", version, must));
    ret->high = (const int8_t *)fr_bytes_take(&in, dims).data;
    ret->low = fr_bytes_take(&in, fr_row_low_size(dims)).data;
    if (!fr_bytes_done(&in) || !isfinite(ret->scale) || !isfinite(ret->radius))
        return FR_FAIL(FR_ERR_CORRUPT, "a centroid of %zu bytes, scale %g, radius %g", value.size,
                (double)ret->scale, (double)ret->radius);
out:
    return st;
}

/* In front of what the checksum of a record covers: its kind, and the checksum. */
#define CAME_HEAD 5

size_t fr_stored_came_size(size_t dims)
{
    return CAME_HEAD + 12 + dims + fr_row_low_size(dims);
}

static uint32_t came_crc(uint32_t number, const uint8_t *covered, size_t size)
{
    uint8_t bytes[4];

    fr_put_u32(bytes, number);
    return fr_crc32c_mask(fr_crc32c(fr_crc32c(0, bytes, sizeof(bytes)), covered, size));
}

void fr_stored_put_came(struct fr_buf *to, size_t dims, uint32_t number, uint64_t id, float scale,
        const int8_t *high, const uint8_t *low)
{
    size_t size = fr_stored_came_size(dims);
    uint8_t *record = fr_buf_extend(to, size);

    if (record == NULL) return; /* the buffer knows */
    record[0] = CAME;
    fr_put_u64(record + CAME_HEAD, id);
    fr_put_u32(record + CAME_HEAD + 8, f32_bits(scale));
    memcpy(record + CAME_HEAD + 12, high, dims);
    memcpy(record + CAME_HEAD + 12 + dims, low, fr_row_low_size(dims));
    fr_put_u32(record + 1, came_crc(number, record + CAME_HEAD, size - CAME_HEAD));
}

void fr_stored_put_left(struct fr_buf *to, uint64_t id)
{
    fr_buf_u8(to, LEFT);
    fr_buf_u64(to, id);
}

static bool read_came(struct fr_bytes *in, size_t dims, uint32_t number,
        struct fr_stored_record *ret)
{
    uint32_t crc = fr_bytes_u32(in);
    fr_slice covered = fr_bytes_take(in, fr_stored_came_size(dims) - CAME_HEAD);
    struct fr_bytes fields = fr_bytes_of(covered);

    if (!fr_bytes_ok(in) || crc != came_crc(number, covered.data, covered.size)) return false;
    ret->id = fr_bytes_u64(&fields);
    ret->scale = read_f32(&fields);
    ret->high = (const int8_t *)fr_bytes_take(&fields, dims).data;
    ret->low = fr_bytes_take(&fields, fr_row_low_size(dims)).data;
    return isfinite(ret->scale);
}

static bool read_left(struct fr_bytes *in, struct fr_stored_record *ret)
{
    ret->id = fr_bytes_u64(in);
    return fr_bytes_ok(in);
}

fr_status fr_stored_read_record(struct fr_bytes *in, size_t dims, uint32_t number,
        struct fr_stored_record *ret)
{
    if (fr_bytes_done(in)) return FR_END;
    size_t offset = fr_bytes_offset(in);
    unsigned kind = fr_bytes_u8(in);

    *ret = (struct fr_stored_record){.came = kind == CAME};
    if (kind == CAME && read_came(in, dims, number, ret)) return FR_OK;
    if (kind == LEFT && read_left(in, ret)) return FR_OK;
    return FR_FAIL(FR_ERR_CORRUPT,
            "a posting's record of kind %u at %zu is damaged, cut short or unknown", kind, offset);
}

void fr_stored_put_space(struct fr_buf *to, const struct fr_space *space, uint32_t generation)
{
    fr_buf_u8(to, FR_STORED_VERSION);
    fr_buf_u8(to, 0);
    fr_buf_u16(to, 0);
    fr_buf_u32(to, generation);
    put_f32(to, space->scale);
    put_f32(to, space->reach);
    for (size_t i = 0; i < space->dims; i++)
        put_f32(to, space->center[i]);
}

fr_status fr_stored_read_generation(fr_slice value, uint32_t *ret_generation)
{
    struct fr_bytes in = fr_bytes_of(value);
    unsigned version = fr_bytes_u8(&in), must = fr_bytes_u8(&in);
    fr_status st;

    (void)fr_bytes_u16(&in);
    uint32_t generation = fr_bytes_u32(&in);
    FR_TRY(check_head(&in, "the space of an index", version, must));
    *ret_generation = generation;
out:
    return st;
}

fr_status fr_stored_read_space(fr_slice value, struct fr_space *space, uint32_t *ret_generation)
{
    struct fr_bytes in = fr_bytes_of(value);
    unsigned version = fr_bytes_u8(&in), must = fr_bytes_u8(&in);
    bool finite;
    fr_status st;

    (void)fr_bytes_u16(&in);
    uint32_t generation = fr_bytes_u32(&in);
    FR_TRY(check_head(&in, "the space of an index", version, must));
    float scale = read_f32(&in), reach = read_f32(&in);
    finite = isfinite(scale) && scale > 0 && isfinite(reach) && reach > 0;
    for (size_t i = 0; i < space->dims; i++) {
        space->center[i] = read_f32(&in);
        finite &= (bool)isfinite(space->center[i]);
    }
    if (!finite || !fr_bytes_done(&in))
        return FR_FAIL(FR_ERR_CORRUPT, "the space of an index: %zu bytes, scale %g, reach %g",
                value.size, (double)scale, (double)reach);
    space->scale = scale;
    space->reach = reach;
    *ret_generation = generation;
out:
    return st;
}
