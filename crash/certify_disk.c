/*
 * certify_disk.c - a file system that loses power, and one that is full.
 *
 * A loss of power is the file system's own: from one moment on nothing reaches its device, and what
 * was not written before is gone when it is mounted again. The device below it keeps all that it
 * was given; what a drive does with its cache no program can play.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "crash/certify_priv.h"
#include "crash/small_disk.h"

#define MIB ((uint64_t)1 << 20)

/* Room for a store, its copies, and the journal. */
#define POWER_DISK_SIZE (48 * MIB)
#define FULL_DISK_SIZE  (16 * MIB)
#define FULL_TMPFS_SIZE (4 * MIB)

#define STEPS_LEAST 10
#define STEPS_MOST  90
#define LIVES_MOST  30

static void say_where(struct fr_certify_work *w, const struct fr_small_disk *disk, uint64_t size)
{
    (void)snprintf(w->result->where, sizeof(w->result->where), "%s of %u MiB%s", disk->type,
            (unsigned)(size / MIB), strcmp(disk->type, "ext4") == 0 ? " in a file there" : "");
}

/* The processes live on the disk; a finding keeps the image, unmounted, and not its place. */
static void enter_disk(struct fr_certify_work *w, const struct fr_small_disk *disk)
{
    (void)snprintf(w->place, sizeof(w->place), "%s", disk->mount);
}

/* ---- losses of power */

/* The power goes while the process lives, which may hear of it or die of it. */
static fr_status lose_power(struct fr_certify_work *w, struct fr_small_disk *disk,
        uint64_t after_us)
{
    unsigned steps = (unsigned)fr_rng_between(&w->rng, STEPS_LEAST, STEPS_MOST);
    struct fr_life life = fr_certify_life(w, steps);
    struct fr_certify_end end;
    fr_status st;

    life.power = true;
    life.troubles[0] = FR_ERR_IO;
    life.troubles[1] = FR_ERR_POISONED;
    life.troubles[2] = FR_ERR_READONLY;
    pid_t pid = fr_certify_start(w, &life);
    if (pid < 0) return FR_FAIL(FR_ERR_IO, "a process cannot be started");
    fr_certify_sleep_us(after_us);
    atomic_store(&w->ledger->trouble, true);
    w->shut_down = true;
    st = fr_small_disk_cut(disk);
    if (st == FR_OK && fr_rng_one_in(&w->rng, 2)) fr_certify_sleep_us(3000);
    end = fr_certify_wait(w, pid, 0);
    if (st == FR_ERR_UNSUPPORTED) return fr_certify_skip(w, "%s", fr_last_error());
    FR_TRY(st);
    FR_TRY(fr_certify_judge(w, &end));
    fr_certify_count(w, FR_CERTIFY_CUTS, 1);
    st = fr_small_disk_boot(disk);
    atomic_store(&w->ledger->trouble, false);
out:
    w->shut_down = false;
    return st;
}

/* A store that nobody has crashed yet, and how long a process takes with it. */
static fr_status begin_power_store(struct fr_certify_work *w, uint64_t *ret_us)
{
    struct fr_certify_end end;
    fr_status st;

    fr_certify_begin_store(w, false);
    struct fr_life life = fr_certify_life(w, STEPS_MOST);
    FR_TRY(fr_certify_live(w, &life, FR_CERTIFY_NEVER, &end));
    *ret_us = end.spent_us;
out:
    return st;
}

static fr_status lose_power_often(struct fr_certify_work *w, struct fr_small_disk *disk)
{
    uint64_t usual_us = 0;
    fr_status st = FR_OK;

    w->lives = 0;
    while (!fr_certify_is_over(w)) {
        if (w->lives == 0 || w->lives >= LIVES_MOST || fr_certify_is_old(w, STEPS_MOST))
            FR_TRY(begin_power_store(w, &usual_us));
        FR_TRY(lose_power(w, disk, fr_rng_below(&w->rng, usual_us + 1)));
        if (fr_rng_one_in(&w->rng, 3)) FR_TRY(fr_certify_compare(w, true));
    }
    if (w->lives > 0) FR_TRY(fr_certify_compare(w, true));
out:
    return st;
}

/* One that has just lost power is judged as it is found afterwards, its journal replayed. */
static bool is_sound_at_last(struct fr_certify_work *w, struct fr_small_disk *disk)
{
    bool failed = w->result->state == FR_CERTIFY_FAILED;

    if (failed && disk->cut && fr_small_disk_boot(disk) < 0) failed = false; /* not to be judged */
    fr_small_disk_end(disk);
    return !failed || fr_small_disk_is_sound(disk);
}

/* A journal that does not keep its own file system whole is no measure for a store on it. */
static fr_status forgive(struct fr_certify_work *w)
{
    char words[FR_CERTIFY_WORDS_MAX];

    memcpy(words, w->result->words, sizeof(words));
    return fr_certify_skip(w,
            "e2fsck finds the file system damaged by its own loss of power; %.800s", words);
}

fr_status fr_certify_run_powercut(struct fr_certify_work *w)
{
    struct fr_small_disk disk = {0};
    char place[sizeof(w->place)];
    fr_status st;

    memcpy(place, w->place, sizeof(place));
    st = fr_small_disk_make(&disk, place, POWER_DISK_SIZE);
    if (st == FR_ERR_UNSUPPORTED) return fr_certify_skip(w, "%s", fr_last_error());
    FR_TRY(st);
    say_where(w, &disk, POWER_DISK_SIZE);
    enter_disk(w, &disk);
    st = lose_power_often(w, &disk);
    if (!is_sound_at_last(w, &disk)) st = forgive(w);
out:
    memcpy(w->place, place, sizeof(place));
    return st;
}

/* ---- a full disk */

/* In the directory where the store is, of another owner so to speak. */
#define BALLAST "ballast"

/* In ever smaller pieces, to the last block. */
static void fill_disk(void)
{
    static uint8_t piece[1 << 16];
    int fd = open(BALLAST, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    for (size_t size = sizeof(piece); fd >= 0 && size >= 512;) {
        memset(piece, (int)(size >> 9), size);
        if (write(fd, piece, size) < 0) size /= 2;
    }
    if (fd < 0) return;
    (void)fsync(fd);
    (void)close(fd);
}

/* Filled while the store is at work, and freed again; twice. */
static fr_status bear_full_disk(struct fr_crash_run *run, const struct fr_life *life)
{
    fr_status st = FR_OK;

    for (int i = 0; i < 2; i++) {
        FR_TRY(fr_life_steps(run, 12));
        FR_TRY(fr_certify_push(run, life, fill_disk, "on a full disk"));
        (void)unlink(BALLAST);
        FR_TRY(fr_certify_get_well(run, life, "a full disk"));
    }
out:
    return st;
}

/* Filled, and then the process is gone. */
static fr_status leave_full_disk(struct fr_crash_run *run, const struct fr_life *life)
{
    fr_status st;

    FR_TRY(fr_life_steps(run, 12));
    st = fr_certify_push(run, life, fill_disk, "on a full disk");
out:
    return st;
}

/* An opening needs some room itself, and says so if there is none; then nothing has changed. */
static fr_status open_full_disk(struct fr_crash_run *run, const struct fr_life *life)
{
    void *store;
    fr_status st = life->subject->open(run->env, run->path, run->config, FR_CRASH_MAKE, &store);

    if (st == FR_OK) return FR_OK; /* it dies with the process */
    run->doing = "opening it on a full disk";
    if (st != FR_ERR_BUSY) st = fr_crash_run_settle(run, st);
    return st == FR_ERR_CANCELLED ? st : FR_OK;
}

static fr_status fill_once(struct fr_certify_work *w, bool stays)
{
    struct fr_life life = fr_certify_life(w, 0);
    char ballast[sizeof(w->place) + sizeof(BALLAST) + 1];
    struct fr_certify_end end;
    fr_status st;

    life.troubles[0] = FR_ERR_NOSPACE;
    life.script = stays ? leave_full_disk : bear_full_disk;
    FR_TRY(fr_certify_live(w, &life, FR_CERTIFY_NEVER, &end));
    if (stays) {
        life.visit = open_full_disk;
        FR_TRY(fr_certify_live(w, &life, FR_CERTIFY_NEVER, &end));
    }
    (void)snprintf(ballast, sizeof(ballast), "%s/" BALLAST, w->place);
    (void)unlink(ballast);
    atomic_store(&w->ledger->trouble, false);
    st = fr_certify_compare(w, false);
out:
    return st;
}

fr_status fr_certify_run_full(struct fr_certify_work *w)
{
    struct fr_small_disk disk = {0};
    uint64_t size = FULL_DISK_SIZE;
    char place[sizeof(w->place)];
    fr_status st;

    memcpy(place, w->place, sizeof(place));
    st = fr_small_disk_make(&disk, place, size);
    if (st == FR_ERR_UNSUPPORTED)
        st = fr_small_disk_make_tmpfs(&disk, place, size = FULL_TMPFS_SIZE);
    if (st == FR_ERR_UNSUPPORTED) return fr_certify_skip(w, "%s", fr_last_error());
    FR_TRY(st);
    say_where(w, &disk, size);
    enter_disk(w, &disk);
    for (unsigned i = 0; !fr_certify_is_over(w); i++) {
        fr_certify_begin_store(w, true);
        if (i % 2 == 0) w->config += w->how->subject->configs; /* the disk refuses, not the store */
        FR_TRY(fill_once(w, i % 3 == 2));
    }
out:
    fr_small_disk_end(&disk);
    memcpy(w->place, place, sizeof(place));
    return st;
}
