#include "base/rng.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/schedule.h"

void fr_rng_fill(struct fr_rng *rng, void *to, size_t size)
{
    uint8_t *at = to;

    for (; size > 0;) {
        uint64_t word = fr_rng_next(rng);
        size_t part = size < sizeof(word) ? size : sizeof(word);
        /* By bytes, so that a big-endian machine gets the same ones. */
        for (size_t i = 0; i < part; i++)
            at[i] = (uint8_t)(word >> (8 * i));
        at += part;
        size -= part;
    }
}

uint64_t fr_rng_entropy(void)
{
    struct timespec wall, up;
    uint64_t random = 0;

    if (fr_schedule() != NULL && fr_schedule()->entropy(&random)) return random;
    /* Without entropy (early at boot) the rest must do: this is for uniqueness, not for secrets. */
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random)) random = 0;
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_MONOTONIC, &up);
    uint64_t mixed = fr_mix64(random);
    mixed = fr_mix64(mixed ^ ((uint64_t)wall.tv_sec << 30) ^ (uint64_t)wall.tv_nsec);
    mixed = fr_mix64(mixed ^ ((uint64_t)up.tv_sec << 30) ^ (uint64_t)up.tv_nsec);
    return fr_mix64(mixed ^ (uint64_t)getpid() ^ (uint64_t)(uintptr_t)&wall);
}
