/* bench of internals: it uses rng.h.
 *
 * kv_data.h - the keys and values of bench_kv, made cheaply and recognised when they come back.
 *
 * A key is the id in 16 decimal digits, so that keys are ordered as their ids are. A value is a
 * slice of a pool of 4 MiB, the first 8 bytes replaced by the id and, in the top byte, the version:
 * that costs a copy, so that making values is not what gets measured. Which slice depends on id and
 * version, and the check compares its last bytes too.
 *
 *   floats   random ones, as embeddings have them, which hardly compress; slices begin anywhere
 *   json     objects, one after the other, of made-up words out of a vocabulary and of numbers,
 *            cut where the value ends; slices begin with an object. zstd makes 0.3 to 0.5 of them
 *
 * A random order is a permutation: every id comes up once, so that counts can be told in advance.
 */
#ifndef FR_BENCH_KV_DATA_H
#define FR_BENCH_KV_DATA_H

#include <stdint.h>

#include "bench/kv_engine.h"

#define KV_KEY_SIZE   16
#define KV_VALUE_MIN  16
#define KV_VALUE_MAX  ((size_t)1 << 20)
#define KV_PIECE_SIZE 40 /* of a posting */

enum kv_values { KV_VALUES_FLOATS, KV_VALUES_JSON };

struct kv_data {
    uint64_t keys;
    size_t value_size;
    char *pool;
    size_t stride;      /* where slices may begin */
    unsigned half_bits; /* of the permutation's domain */
};

void kv_data_init(struct kv_data *data, uint64_t keys, size_t value_size, enum kv_values values);

struct kv_bytes kv_data_key(char to[KV_KEY_SIZE], uint64_t id);

/* The id that a key is made of; ends the process if it is none. */
uint64_t kv_data_id(struct kv_bytes key);

/* The index-th id of the random order that the seed names. */
uint64_t kv_data_permute(const struct kv_data *data, uint64_t index, uint64_t seed);

/* The value of an id, in scratch of value_size bytes. */
struct kv_bytes kv_data_value(const struct kv_data *data, uint64_t id, unsigned version,
        char *scratch);

/* End the process with words unless this is the id's value of that version or a later one. */
void kv_data_check(const struct kv_data *data, uint64_t id, unsigned version,
        struct kv_bytes value);

/* The sequence-th fragment, for the posting of an id. */
struct kv_bytes kv_data_piece(const struct kv_data *data, uint64_t id, uint64_t sequence,
        char to[KV_PIECE_SIZE]);

/* End the process unless this is a posting of the id; yields the count of its fragments. */
uint64_t kv_data_check_posting(uint64_t id, struct kv_bytes posting);

#endif
