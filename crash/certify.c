#include "crash/certify.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crash/certify_priv.h"

/* A history ends where its next batches might not all have room. */
#define HISTORY_ROOM 40

/* Nested directories that a store and its copies have, and more. */
#define DEPTH_MAX 8

static const struct part {
    const char *name;
    const char *help;
    const char *promise;
    unsigned weight; /* of the time */
    fr_status (*run)(struct fr_certify_work *w);
} parts[FR_CERTIFY_PARTS] = {
        [FR_CERTIFY_OPENERS] = {"openers", "two processes want the same store",
                "one has it, others may read it, and all of it stays", 1, fr_certify_run_openers},
        [FR_CERTIFY_LIMITS] = {"limits", "no file descriptors, no room in files",
                "what was acknowledged stays, and writing goes on", 2, fr_certify_run_limits},
        [FR_CERTIFY_KILL] = {"kill", "processes killed at random",
                "what FR_SYNC_OS and FR_SYNC_DEVICE acknowledged survives", 6, fr_certify_run_kill},
        [FR_CERTIFY_SYSCALL] = {"syscall", "processes killed around each system call",
                "what FR_SYNC_OS and FR_SYNC_DEVICE acknowledged survives", 9,
                fr_certify_run_syscall},
        [FR_CERTIFY_POWERCUT] = {"powercut", "a file system that loses power",
                "what FR_SYNC_DEVICE acknowledged survives", 5, fr_certify_run_powercut},
        [FR_CERTIFY_FULL] = {"full", "a file system that is full",
                "what was acknowledged stays, and writing goes on", 3, fr_certify_run_full},
};

const char *fr_certify_part_name(enum fr_certify_part part)
{
    return parts[part].name;
}

const char *fr_certify_part_help(enum fr_certify_part part)
{
    return parts[part].help;
}

const char *fr_certify_part_promise(enum fr_certify_part part)
{
    return parts[part].promise;
}

static const struct {
    const char *key, *text;
} names[FR_CERTIFY_COUNTERS] = {
        [FR_CERTIFY_PROCESSES] = {"processes", "processes"},
        [FR_CERTIFY_KILLS] = {"kills", "of them killed"},
        [FR_CERTIFY_KILLS_EARLY] = {"kills_early", "killed while they recovered"},
        [FR_CERTIFY_DEEPEST] = {"deepest", "deaths of one store in a row"},
        [FR_CERTIFY_CALLS] = {"system_calls", "system calls of one process"},
        [FR_CERTIFY_POINTS] = {"points", "moments around them at which one was killed"},
        [FR_CERTIFY_CUTS] = {"power_cuts", "losses of power"},
        [FR_CERTIFY_STORES] = {"stores", "stores"},
        [FR_CERTIFY_COMPARED] = {"compared", "comparisons"},
        [FR_CERTIFY_HELD] = {"batches_held", "batches in them that had to be there"},
        [FR_CERTIFY_EXTRA] = {"batches_extra", "others that were there besides"},
        [FR_CERTIFY_WAITED] = {"openings_waited", "openings that waited for the dead to be gone"},
        [FR_CERTIFY_REFUSED] = {"refused", "calls refused as documented"},
};

const char *fr_certify_counter_key(enum fr_certify_counter counter)
{
    return names[counter].key;
}

const char *fr_certify_counter_text(enum fr_certify_counter counter)
{
    return names[counter].text;
}

const char *fr_certify_state_name(enum fr_certify_state state)
{
    static const char *const state_names[] = {"not asked for", "passed", "skipped", "FAILED"};

    return state_names[state];
}

fr_status fr_certify_parse_parts(const char *text, unsigned *ret_mask)
{
    unsigned mask = 0;

    for (const char *at = text;; at++) {
        size_t length = strcspn(at, ",");
        unsigned part = 0;
        while (part < FR_CERTIFY_PARTS &&
                (strlen(parts[part].name) != length || memcmp(parts[part].name, at, length) != 0))
            part++;
        if (part == FR_CERTIFY_PARTS)
            return FR_FAIL(FR_ERR_MISUSE, "there is no part \"%.*s\"", (int)FR_MIN(length, 40u),
                    at);
        mask |= 1u << part;
        at += length;
        if (*at == '\0') break;
    }
    *ret_mask = mask;
    return FR_OK;
}

bool fr_certificate_is_good(const struct fr_certificate *certificate)
{
    for (size_t i = 0; i < FR_CERTIFY_PARTS; i++)
        if (certificate->parts[i].state == FR_CERTIFY_FAILED) return false;
    return true;
}

bool fr_certificate_is_of_something(const struct fr_certificate *certificate)
{
    for (size_t i = 0; i < FR_CERTIFY_PARTS; i++)
        if (certificate->parts[i].state == FR_CERTIFY_PASSED) return true;
    return false;
}

/* ---- directories */

static void empty_at(int parent, const char *name, dev_t device, unsigned depth);

/* What is mounted there is left alone. */
static void remove_at(int parent, const char *name, dev_t device, unsigned depth)
{
    struct stat info;

    if (fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) != 0 || info.st_dev != device) return;
    if (!S_ISDIR(info.st_mode)) {
        (void)unlinkat(parent, name, 0);
        return;
    }
    if (depth < DEPTH_MAX) empty_at(parent, name, device, depth + 1);
    (void)unlinkat(parent, name, AT_REMOVEDIR);
}

static void empty_at(int parent, const char *name, dev_t device, unsigned depth)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (stream == NULL) {
        if (fd >= 0) (void)close(fd);
        return;
    }
    while ((entry = readdir(stream)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
                strcmp(entry->d_name, "lost+found") != 0)
            remove_at(fd, entry->d_name, device, depth);
    (void)closedir(stream);
}

void fr_certify_empty(const char *path)
{
    struct stat info;

    if (stat(path, &info) == 0) empty_at(AT_FDCWD, path, info.st_dev, 0);
}

void fr_certify_remove(const char *path)
{
    fr_certify_empty(path);
    (void)rmdir(path);
}

/* ---- stores */

bool fr_certify_is_over(struct fr_certify_work *w)
{
    const struct fr_certify *how = w->how;

    if (how->over != NULL && how->over(how->over_ctx)) return true;
    if (how->rounds > 0 && w->rounds >= how->rounds) return true;
    if (w->rounds > 0 && w->deadline_us > 0 && fr_certify_now_us() >= w->deadline_us) return true;
    w->rounds++;
    return false;
}

bool fr_certify_is_old(const struct fr_certify_work *w, unsigned steps)
{
    return atomic_load(&w->ledger->issued) + steps + HISTORY_ROOM > FR_CRASH_HISTORY_MAX;
}

void fr_certify_begin_store(struct fr_certify_work *w, bool small)
{
    unsigned configs = w->how->subject->configs;

    fr_certify_empty(w->place);
    fr_ledger_begin(w->ledger, (uint32_t)fr_rng_next(&w->rng));
    w->config = (unsigned)fr_rng_below(&w->rng, small ? configs / 2 : configs);
    w->deaths = w->lives = 0;
    fr_certify_count(w, FR_CERTIFY_STORES, 1);
}

struct fr_life fr_certify_life(struct fr_certify_work *w, unsigned steps)
{
    return (struct fr_life){.subject = w->how->subject,
            .ledger = w->ledger,
            .dir = w->place,
            .seed = w->how->seed,
            .chance = fr_rng_next(&w->rng),
            .config = w->config,
            .steps = steps};
}

/* ---- all parts in turn */

/* What the processes have counted goes to the part at its end. */
static void take_figures(struct fr_certify_work *w)
{
    struct fr_ledger *ledger = w->ledger;

    fr_certify_count(w, FR_CERTIFY_COMPARED, atomic_exchange(&ledger->compared, 0));
    fr_certify_count(w, FR_CERTIFY_HELD, atomic_exchange(&ledger->held, 0));
    fr_certify_count(w, FR_CERTIFY_EXTRA, atomic_exchange(&ledger->extra, 0));
    fr_certify_count(w, FR_CERTIFY_WAITED, atomic_exchange(&ledger->waited, 0));
    fr_certify_count(w, FR_CERTIFY_REFUSED, atomic_exchange(&ledger->refused, 0));
    (void)snprintf(w->certificate->io, sizeof(w->certificate->io), "%s", ledger->io);
}

/* The part's share of the time that is left, which the parts behind it have, too. */
static uint64_t deadline_of(const struct fr_certify *how, unsigned mask, unsigned part,
        uint64_t begin_us)
{
    uint64_t now_us = fr_certify_now_us(), spent_us = now_us - begin_us;
    unsigned weights = 0;

    if (how->duration_us == 0) return 0;
    for (unsigned i = part; i < FR_CERTIFY_PARTS; i++)
        if (mask >> i & 1) weights += parts[i].weight;
    uint64_t left_us = how->duration_us > spent_us ? how->duration_us - spent_us : 0;
    return now_us + left_us * parts[part].weight / weights;
}

/* A part with a finding leaves what it has found it in. */
static fr_status run_part(struct fr_certify_work *w, unsigned part)
{
    uint64_t begin_us = fr_certify_now_us();

    w->result = &w->certificate->parts[part];
    w->rounds = 0;
    fr_rng_init(&w->rng, w->how->seed * FR_CERTIFY_PARTS + part);
    fr_crash_report_deinit(&w->ledger->report);
    memset(&w->ledger->report, 0, sizeof(w->ledger->report));
    fr_crash_report_init(&w->ledger->report);
    atomic_store(&w->ledger->trouble, false);
    (void)snprintf(w->place, sizeof(w->place), "%s/%s", w->base, parts[part].name);
    if (mkdir(w->place, 0755) != 0)
        return FR_FAIL(FR_ERR_IO, "%s: cannot be made: %s", w->place, strerror(errno));
    fr_status st = parts[part].run(w);
    take_figures(w);
    w->result->spent_us = fr_certify_now_us() - begin_us;
    if (st == FR_OK) w->result->state = w->rounds > 0 ? FR_CERTIFY_PASSED : FR_CERTIFY_SKIPPED;
    if (st == FR_OK && w->rounds == 0)
        (void)snprintf(w->result->words, sizeof(w->result->words), "it was ended before");
    if (w->result->state != FR_CERTIFY_FAILED) fr_certify_remove(w->place);
    return w->result->state == FR_CERTIFY_NOT_ASKED ? st : FR_OK;
}

static fr_status run_parts(struct fr_certify_work *w)
{
    unsigned mask = w->how->parts == 0 ? (1u << FR_CERTIFY_PARTS) - 1 : w->how->parts;
    uint64_t begin_us = fr_certify_now_us();
    fr_status st = FR_OK;

    for (unsigned part = 0; part < FR_CERTIFY_PARTS; part++) {
        if ((mask >> part & 1) == 0) continue;
        w->deadline_us = deadline_of(w->how, mask, part, begin_us);
        FR_TRY(run_part(w, part));
    }
out:
    w->certificate->spent_us = fr_certify_now_us() - begin_us;
    return st;
}

/* The processes go elsewhere, so the path must not depend on where this one is. */
static fr_status make_base(struct fr_certify_work *w)
{
    char resolved[4096]; /* PATH_MAX */

    if (realpath(w->how->path, resolved) == NULL)
        return FR_FAIL(FR_ERR_IO, "%s: %s", w->how->path, strerror(errno));
    int size = snprintf(w->base, sizeof(w->base), "%s/freshet-certify-%d", resolved, (int)getpid());
    if ((size_t)size >= sizeof(w->base))
        return FR_FAIL(FR_ERR_LIMIT, "%s: too long a path", w->how->path);
    if (mkdir(w->base, 0755) != 0)
        return FR_FAIL(FR_ERR_IO, "%s: cannot be made: %s", w->base, strerror(errno));
    return FR_OK;
}

fr_status fr_certify_run(const struct fr_certify *how, struct fr_certificate *ret_certificate)
{
    struct fr_certify_work w = {.how = how, .certificate = ret_certificate};
    struct sigaction before, usual = {.sa_handler = SIG_DFL};
    fr_status st;

    memset(ret_certificate, 0, sizeof(*ret_certificate));
    w.ledger = fr_ledger_new();
    if (w.ledger == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a ledger");
    (void)sigaction(SIGCHLD, &usual, &before); /* ignored, it would hide how processes end */
    FR_TRY(make_base(&w));
    st = run_parts(&w);
    if (fr_certificate_is_good(ret_certificate)) fr_certify_remove(w.base);
    if (access(w.base, F_OK) == 0)
        (void)snprintf(ret_certificate->kept, sizeof(ret_certificate->kept), "%s", w.base);
out:
    (void)sigaction(SIGCHLD, &before, NULL);
    fr_ledger_free(w.ledger);
    return st;
}
