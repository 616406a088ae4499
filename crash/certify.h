/*
 * certify.h - whether a store keeps its promises on a directory's real file system and disk.
 *
 * Processes write there and report what was acknowledged to memory that outlives them (ledger.h);
 * they are killed, at random and around each of their system calls; the disk loses power and fills
 * up, as far as this machine allows that to be played; limits of the process are lowered; and a
 * second process wants the same store. What is left each time is opened by another process, and
 * compared by the oracle of the simulated machines (run.h).
 *
 * The caller must be a process without threads and without children which has no environment open:
 * it forks, and waits for whatever child ends.
 */
#ifndef FR_CRASH_CERTIFY_H
#define FR_CRASH_CERTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "crash/subject.h"

enum fr_certify_part {
    FR_CERTIFY_OPENERS = 0, /* two processes want the same store */
    FR_CERTIFY_LIMITS,      /* no file descriptors; files that may not grow */
    FR_CERTIFY_KILL,        /* kill -9 at random */
    FR_CERTIFY_SYSCALL,     /* kill -9 before and behind each system call */
    FR_CERTIFY_POWERCUT,    /* a file system that is shut down as by a loss of power */
    FR_CERTIFY_FULL,        /* a small file system that is filled up, and freed again */
    FR_CERTIFY_PARTS
};

/* A part's name, a line about it, and what has held if it has passed; static. */
const char *fr_certify_part_name(enum fr_certify_part part);
const char *fr_certify_part_help(enum fr_certify_part part);
const char *fr_certify_part_promise(enum fr_certify_part part);

/* Names with commas between them as a mask; FR_ERR_MISUSE: one of them is no part's. */
FR_NODISCARD fr_status fr_certify_parse_parts(const char *names, unsigned *ret_mask);

enum fr_certify_counter {
    FR_CERTIFY_PROCESSES = 0,
    FR_CERTIFY_KILLS,
    FR_CERTIFY_KILLS_EARLY, /* of them: before they had compared what they found */
    FR_CERTIFY_DEEPEST,     /* deaths of one store, one after the other */
    FR_CERTIFY_CALLS,       /* system calls of a process from its first to its last step */
    FR_CERTIFY_POINTS,      /* before or behind one of them: where one was killed */
    FR_CERTIFY_CUTS,
    FR_CERTIFY_STORES,
    FR_CERTIFY_COMPARED,
    FR_CERTIFY_HELD,  /* batches that had to be there, by the comparison */
    FR_CERTIFY_EXTRA, /* that were there besides */
    FR_CERTIFY_WAITED,
    FR_CERTIFY_REFUSED,
    FR_CERTIFY_COUNTERS
};

/* As "kills_early", for keys, and in words, for people; static. */
const char *fr_certify_counter_key(enum fr_certify_counter counter);
const char *fr_certify_counter_text(enum fr_certify_counter counter);

enum fr_certify_state {
    FR_CERTIFY_NOT_ASKED = 0,
    FR_CERTIFY_PASSED,
    FR_CERTIFY_SKIPPED,
    FR_CERTIFY_FAILED
};

const char *fr_certify_state_name(enum fr_certify_state state);

#define FR_CERTIFY_WORDS_MAX 1024

struct fr_certify_result {
    enum fr_certify_state state;
    char words[FR_CERTIFY_WORDS_MAX]; /* why it was skipped, or what was wrong */
    char where[128];                  /* on what, where that is not the directory's own; "" */
    uint64_t counters[FR_CERTIFY_COUNTERS];
    uint64_t spent_us;
};

struct fr_certificate {
    struct fr_certify_result parts[FR_CERTIFY_PARTS];
    char io[FR_CERTIFY_WORDS_MAX];   /* how files were read and written */
    char kept[FR_CERTIFY_WORDS_MAX]; /* what is left, because something was wrong with it; "" */
    uint64_t spent_us;
};

struct fr_certify {
    const struct fr_crash_subject *subject;
    const char *path; /* a directory; one is made in it, and removed again */
    uint64_t seed;
    uint64_t duration_us;    /* of all parts together; 0: as long as the rounds take */
    unsigned parts;          /* mask of 1 << enum fr_certify_part; 0: all */
    unsigned rounds;         /* the most of each part; 0: no limit */
    bool (*over)(void *ctx); /* whether to end early; NULL: never */
    void *over_ctx;
};

/* Every part that is asked for passed, or was skipped. */
bool fr_certificate_is_good(const struct fr_certificate *certificate);

/* Something was tried: not all of what was asked for was skipped. */
bool fr_certificate_is_of_something(const struct fr_certificate *certificate);

/*
 * FR_OK, whatever was found: the certificate says it. Otherwise the directory could not be used,
 * or the processes could not be had, and what the certificate says is not the whole.
 */
FR_NODISCARD fr_status fr_certify_run(const struct fr_certify *how,
        struct fr_certificate *ret_certificate);

#endif
