#include "base/hash.h"

static const uint64_t lane_keys[8] = {FR_HASH_K0, FR_HASH_K1, FR_HASH_K2, FR_HASH_K3,
        0x452821e638d01377u, 0xbe5466cf34e90c6du, 0xc0ac29b7c97c50ddu, 0x3f84d5b5b5470917u};

/* Three chains side by side: a multiplication takes several cycles, but one can start in each. */
static const uint8_t *long_loop(const uint8_t *at, size_t left, uint64_t *ret_seed)
{
    uint64_t a = FR_HASH_K0, b = FR_HASH_K1, c = FR_HASH_K3;

    for (; left > 48; left -= 48, at += 48) {
        a = fr_hash_fold(fr_get_u64(at) ^ FR_HASH_K1, fr_get_u64(at + 8) ^ a);
        b = fr_hash_fold(fr_get_u64(at + 16) ^ FR_HASH_K2, fr_get_u64(at + 24) ^ b);
        c = fr_hash_fold(fr_get_u64(at + 32) ^ FR_HASH_K3, fr_get_u64(at + 40) ^ c);
    }
    *ret_seed = a ^ (b + c);
    return at;
}

uint64_t fr_hash64_long(const uint8_t *data, size_t size)
{
    const uint8_t *at = data, *end = data + size;
    uint64_t seed = FR_HASH_K3;

    if (size > 48) at = long_loop(at, size, &seed);
    for (; end - at > 16; at += 16)
        seed = fr_hash_fold(fr_get_u64(at) ^ FR_HASH_K1, fr_get_u64(at + 8) ^ seed);
    /* The last sixteen bytes, some of which may have been taken before. */
    seed = fr_hash_fold(fr_get_u64(end - 16) ^ FR_HASH_K2, fr_get_u64(end - 8) ^ seed);
    return fr_hash_fold(FR_HASH_K0 ^ size, seed ^ FR_HASH_K1);
}

void fr_hash128_init(struct fr_hash128_state *state)
{
    *state = (struct fr_hash128_state){0};
    for (int i = 0; i < 4; i++)
        state->lanes[i] = lane_keys[7 - i];
}

FR_INLINE uint64_t lane_step(uint64_t lane, const uint8_t *from, uint64_t key)
{
    uint64_t a = fr_get_u64(from), b = fr_get_u64(from + 8);

    return fr_hash_fold(lane ^ a, key ^ b) + (a ^ (b << 32 | b >> 32));
}

static const uint8_t *take_stripes(uint64_t *lanes, const uint8_t *at, size_t count)
{
    uint64_t a = lanes[0], b = lanes[1], c = lanes[2], d = lanes[3];

    for (; count > 0; count--, at += FR_HASH_STRIPE) {
        a = lane_step(a, at, lane_keys[0]);
        b = lane_step(b, at + 16, lane_keys[1]);
        c = lane_step(c, at + 32, lane_keys[2]);
        d = lane_step(d, at + 48, lane_keys[3]);
    }
    lanes[0] = a;
    lanes[1] = b;
    lanes[2] = c;
    lanes[3] = d;
    return at;
}

void fr_hash128_add(struct fr_hash128_state *state, const void *data, size_t size)
{
    const uint8_t *at = data, *end = at + size;
    size_t held = state->size % FR_HASH_STRIPE;

    if (size == 0) return;
    state->size += size;
    if (held > 0) {
        size_t moved = FR_MIN(size, FR_HASH_STRIPE - held);

        memcpy(state->tail + held, at, moved);
        at += moved;
        if (held + moved < FR_HASH_STRIPE) return;
        take_stripes(state->lanes, state->tail, 1);
    }
    at = take_stripes(state->lanes, at, (size_t)(end - at) / FR_HASH_STRIPE);
    memcpy(state->tail, at, (size_t)(end - at));
}

struct fr_hash128 fr_hash128_get(const struct fr_hash128_state *state)
{
    uint8_t last[FR_HASH_STRIPE] = {0};
    uint64_t lanes[4];
    struct fr_hash128 hash;

    /* What fills no stripe is padded with zeros; the length tells it from real ones. */
    memcpy(last, state->tail, state->size % FR_HASH_STRIPE);
    memcpy(lanes, state->lanes, sizeof(lanes));
    take_stripes(lanes, last, 1);
    lanes[0] ^= state->size;
    hash.low = fr_hash_fold(lanes[0] ^ lane_keys[4], lanes[1] ^ lane_keys[5]);
    hash.low += fr_hash_fold(lanes[2] ^ lane_keys[6], lanes[3] ^ lane_keys[7]);
    hash.high = fr_hash_fold(lanes[0] + lane_keys[6], lanes[2] ^ lane_keys[0]);
    hash.high += fr_hash_fold(lanes[1] + lane_keys[7], lanes[3] ^ lane_keys[1]);
    hash.low = fr_hash_fold(hash.low ^ lane_keys[2], lane_keys[3]) ^ hash.high;
    hash.high = fr_hash_fold(hash.high ^ lane_keys[0], lane_keys[1]) + state->size;
    return hash;
}
