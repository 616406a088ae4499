/* bench of internals: it uses rng.h.
 *
 * kv_data.c - keys, values, and the check that they are the right ones.
 */
#include "bench/kv_data.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"

#define POOL_SIZE    ((size_t)4 << 20)
#define POOL_ROOM    (POOL_SIZE + KV_VALUE_MAX) /* the last slice ends in it */
#define POOL_SEED    20141
#define ID_BITS      56
#define ROUNDS       4
#define WORDS_COUNT  1000
#define WORD_ROOM    16
#define OBJECT_ROOM  1024
#define OBJECT_WORDS 24

/* --- The pool ----------------------------------------------------------------------------------
 */

static void fill_with_floats(char *pool, struct fr_rng *rng)
{
    for (size_t at = 0; at < POOL_ROOM; at += sizeof(float)) {
        float x = (float)(fr_rng_double(rng) + fr_rng_double(rng) - 1.0) * 0.1f;
        memcpy(pool + at, &x, sizeof(x));
    }
}

struct vocabulary {
    char words[WORDS_COUNT][WORD_ROOM];
};

/* Words of one to four syllables. */
static void make_words(struct vocabulary *v, struct fr_rng *rng)
{
    static const char heads[] = "bdfghklmnprstvwz", vowels[] = "aeiou";

    for (size_t i = 0; i < WORDS_COUNT; i++) {
        char *at = v->words[i];
        for (uint64_t left = 1 + fr_rng_below(rng, 4); left > 0; left--) {
            *at++ = heads[fr_rng_below(rng, sizeof(heads) - 1)];
            *at++ = vowels[fr_rng_below(rng, sizeof(vowels) - 1)];
            if (fr_rng_below(rng, 3) == 0) *at++ = heads[fr_rng_below(rng, sizeof(heads) - 1)];
        }
        *at = '\0';
    }
}

/* Of two draws the lower one: some words are more frequent than others, as in any text. */
static const char *draw_word(const struct vocabulary *v, struct fr_rng *rng)
{
    uint64_t a = fr_rng_below(rng, WORDS_COUNT), b = fr_rng_below(rng, WORDS_COUNT);

    return v->words[FR_MIN(a, b)];
}

/* One draw to a statement, or the order would be the compiler's. */
static size_t make_object(const struct vocabulary *v, struct fr_rng *rng, char to[OBJECT_ROOM])
{
    const char *words[4];
    size_t size;

    for (int i = 0; i < 4; i++)
        words[i] = draw_word(v, rng);
    uint64_t session = fr_rng_below(rng, (uint64_t)1 << 32), count = fr_rng_below(rng, 1000);
    double score = fr_rng_double(rng);
    size = (size_t)snprintf(to, OBJECT_ROOM,
            "{\"user\":\"%s.%s\",\"session\":\"%08" PRIx64 "\",\"score\":%.4f,\"count\":%" PRIu64
            ",\"tags\":[\"%s\",\"%s\"],\"active\":%s,\"text\":\"",
            words[0], words[1], session, score, count, words[2], words[3],
            session % 2 == 0 ? "true" : "false");
    for (uint64_t left = OBJECT_WORDS / 2 + fr_rng_below(rng, OBJECT_WORDS); left > 0; left--)
        size += (size_t)snprintf(to + size, OBJECT_ROOM - size, "%s%s", draw_word(v, rng),
                left > 1 ? " " : "\"}\n");
    return size;
}

/* Every slice of so many bytes begins with an object. */
static void fill_with_json(char *pool, size_t stride, struct fr_rng *rng)
{
    static struct vocabulary vocabulary;
    char object[OBJECT_ROOM];

    make_words(&vocabulary, rng);
    for (size_t slice = 0; slice + stride <= POOL_ROOM; slice += stride) {
        for (size_t at = 0; at < stride;) {
            size_t size = FR_MIN(make_object(&vocabulary, rng, object), stride - at);
            memcpy(pool + slice + at, object, size);
            at += size;
        }
    }
}

void kv_data_init(struct kv_data *data, uint64_t keys, size_t value_size, enum kv_values values)
{
    struct fr_rng rng;

    fr_rng_init(&rng, POOL_SEED);
    *data = (struct kv_data){.keys = keys,
            .value_size = value_size,
            .pool = kv_alloc(POOL_ROOM),
            .stride = values == KV_VALUES_JSON ? value_size : sizeof(float)};
    if (values == KV_VALUES_JSON)
        fill_with_json(data->pool, data->stride, &rng);
    else
        fill_with_floats(data->pool, &rng);
    while (((uint64_t)1 << (2 * data->half_bits)) < keys)
        data->half_bits++;
}

struct kv_bytes kv_data_key(char to[KV_KEY_SIZE], uint64_t id)
{
    for (int i = KV_KEY_SIZE - 1; i >= 0; i--) {
        to[i] = (char)('0' + id % 10);
        id /= 10;
    }
    return (struct kv_bytes){to, KV_KEY_SIZE};
}

uint64_t kv_data_id(struct kv_bytes key)
{
    const char *at = key.data;
    uint64_t id = 0;

    if (key.size != KV_KEY_SIZE) kv_die("wrong answer: a key of %zu bytes", key.size);
    for (int i = 0; i < KV_KEY_SIZE; i++)
        id = id * 10 + (uint64_t)(at[i] - '0');
    return id;
}

/* A Feistel network over the least even number of bits, walked until it is back below keys. */
uint64_t kv_data_permute(const struct kv_data *data, uint64_t index, uint64_t seed)
{
    uint64_t mask = ((uint64_t)1 << data->half_bits) - 1, at = index;

    do {
        uint64_t left = at >> data->half_bits, right = at & mask;
        for (uint64_t round = 0; round < ROUNDS; round++) {
            uint64_t mixed = left ^ (fr_mix64(right + (seed * ROUNDS + round) * 0x10001u) & mask);
            left = right;
            right = mixed;
        }
        at = left << data->half_bits | right;
    } while (at >= data->keys);
    return at;
}

/* --- Keys and values ---------------------------------------------------------------------------
 */

static const char *slice_of(const struct kv_data *data, uint64_t id, unsigned version)
{
    return data->pool + fr_mix64(id * 256 + version) % (POOL_SIZE / data->stride) * data->stride;
}

struct kv_bytes kv_data_value(const struct kv_data *data, uint64_t id, unsigned version,
        char *scratch)
{
    uint64_t head = id | (uint64_t)version << ID_BITS;

    memcpy(scratch, slice_of(data, id, version), data->value_size);
    memcpy(scratch, &head, sizeof(head));
    return (struct kv_bytes){scratch, data->value_size};
}

void kv_data_check(const struct kv_data *data, uint64_t id, unsigned version, struct kv_bytes value)
{
    uint64_t head;

    if (value.data == NULL) kv_die("wrong answer: key %" PRIu64 " has no value", id);
    if (value.size != data->value_size)
        kv_die("wrong answer: the value of key %" PRIu64 " has %zu bytes", id, value.size);
    memcpy(&head, value.data, sizeof(head));
    unsigned found = (unsigned)(head >> ID_BITS);
    if ((head & (((uint64_t)1 << ID_BITS) - 1)) != id)
        kv_die("wrong answer: key %" PRIu64 " has the value of another", id);
    if (found < version)
        kv_die("wrong answer: key %" PRIu64 " has version %u, not %u", id, found, version);
    size_t tail = data->value_size - sizeof(head);
    if (memcmp((const char *)value.data + tail, slice_of(data, id, found) + tail, sizeof(head)) !=
            0)
        kv_die("wrong answer: the value of key %" PRIu64 " ends in other bytes", id);
}

struct kv_bytes kv_data_piece(const struct kv_data *data, uint64_t id, uint64_t sequence,
        char to[KV_PIECE_SIZE])
{
    memcpy(to, slice_of(data, id, (unsigned)(sequence & 255)), KV_PIECE_SIZE);
    memcpy(to, &id, sizeof(id));
    memcpy(to + sizeof(id), &sequence, sizeof(sequence));
    return (struct kv_bytes){to, KV_PIECE_SIZE};
}

uint64_t kv_data_check_posting(uint64_t id, struct kv_bytes posting)
{
    uint64_t count = posting.size / KV_PIECE_SIZE, first, last;
    const char *at = posting.data;

    if (at == NULL) return 0;
    if (count == 0 || posting.size % KV_PIECE_SIZE != 0)
        kv_die("wrong answer: posting %" PRIu64 " has %zu bytes", id, posting.size);
    memcpy(&first, at, sizeof(first));
    memcpy(&last, at + (count - 1) * KV_PIECE_SIZE, sizeof(last));
    if (first != id || last != id)
        kv_die("wrong answer: posting %" PRIu64 " has another's fragments", id);
    return count;
}
