/*
 * criterion_tsan.c - lets Criterion's runner live in the address space that ThreadSanitizer leaves.
 *
 * Criterion hands its parameters to the process of each test in a mapping that it places itself, at
 * 0x200000000000 + r * 2^24, where r is 22 bits of rand_r(). ThreadSanitizer reserves most of that
 * range on x86-64, so nine times in ten the runner gives up ("Could not initialize inheritable
 * arena"). This rand_r, which the runner finds before the C library's, keeps r where the address
 * lies in [0x550000000000, 0x555000000000): ours to use, and below any program's own image.
 *
 * Linked to the tests of -Db_sanitize=thread builds only.
 */
#include <stdlib.h>

#define FIRST 0x350000u
#define COUNT 0x005000u

int rand_r(unsigned int *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return (int)(FIRST + (*seed >> 8) % COUNT);
}

/*
 * A runner's process has threads by the time it forks a test, and so has a test that forks a child
 * of its own. The sanitizer ends such a child when it starts a thread; let it go on instead, with
 * less to say about it.
 */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}
