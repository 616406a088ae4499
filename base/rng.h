/*
 * rng.h - random numbers from a seed: the same seed, the same numbers, on every machine.
 *
 * xoshiro256** (Blackman and Vigna), its state filled by splitmix64. For tests, sampling, skiplist
 * heights and jitter; never for secrets.
 */
#ifndef FR_BASE_RNG_H
#define FR_BASE_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fr_rng {
    uint64_t state[4];
};

/* One step of splitmix64: a bijection that mixes well, also good as a hash of a u64. */
static inline uint64_t fr_mix64(uint64_t value)
{
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static inline void fr_rng_init(struct fr_rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        rng->state[i] = fr_mix64(seed + (uint64_t)i * 0x9e3779b97f4a7c15u);
}

static inline uint64_t fr_rng_rotl(uint64_t value, unsigned bits)
{
    return (value << bits) | (value >> (64 - bits));
}

static inline uint64_t fr_rng_next(struct fr_rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = fr_rng_rotl(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = fr_rng_rotl(s[3], 45);
    return result;
}

/* Even over 0..bound-1; bound is at least 1. The bias is below bound / 2^64. */
static inline uint64_t fr_rng_below(struct fr_rng *rng, uint64_t bound)
{
    __extension__ typedef unsigned __int128 u128;
    return (uint64_t)(((u128)fr_rng_next(rng) * bound) >> 64);
}

/* Even over least..most, both included. */
static inline uint64_t fr_rng_between(struct fr_rng *rng, uint64_t least, uint64_t most)
{
    uint64_t span = most - least + 1;
    return span == 0 ? fr_rng_next(rng) : least + fr_rng_below(rng, span);
}

/* True once in n times. */
static inline bool fr_rng_one_in(struct fr_rng *rng, uint64_t n)
{
    return fr_rng_below(rng, n) == 0;
}

/* Even over [0, 1). */
static inline double fr_rng_double(struct fr_rng *rng)
{
    return (double)(fr_rng_next(rng) >> 11) * 0x1p-53;
}

void fr_rng_fill(struct fr_rng *rng, void *to, size_t size);

/*
 * A seed that no other process is likely to have, from the system's entropy mixed with clocks, the
 * process id and an address, so that a broken source of entropy alone does not repeat it. Under a
 * schedule (base/schedule.h) it comes from the schedule's seed, so that a run can be repeated.
 */
uint64_t fr_rng_entropy(void);

#endif
