/* bench of internals: it uses rng.h.
 *
 * kv_data.c - keys, values, and the check that they are the right ones.
 */
#include "bench/kv_data.h"

#include <inttypes.h>
#include <string.h>

#include "base/rng.h"

#define POOL_SIZE    ((size_t)4 << 20)
#define ID_BITS      56
#define ROUNDS       4
#define FLOATS_COUNT ((POOL_SIZE + KV_VALUE_MAX) / sizeof(float))

void kv_data_init(struct kv_data *data, uint64_t keys, size_t value_size)
{
    struct fr_rng rng;
    float *floats = kv_alloc(FLOATS_COUNT * sizeof(float));

    fr_rng_init(&rng, 20141);
    for (size_t i = 0; i < FLOATS_COUNT; i++)
        floats[i] = (float)(fr_rng_double(&rng) + fr_rng_double(&rng) - 1.0) * 0.1f;
    *data = (struct kv_data){.keys = keys, .value_size = value_size, .pool = (char *)floats};
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

static const char *slice_of(const struct kv_data *data, uint64_t id, unsigned version)
{
    return data->pool + fr_mix64(id * 256 + version) % (POOL_SIZE / sizeof(float)) * sizeof(float);
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
