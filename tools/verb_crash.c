/*
 * verb_crash.c - how often a store was broken on purpose, and what came of it.
 *
 * Rounds of all harnesses of crash/, seed after seed, until the time is over or all seeds are done.
 * The first finding ends it: its words name what it takes to see it again. With --certify, the
 * machine is this one, and the disk that of a directory (crash/certify.h).
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/human.h"
#include "crash/certify.h"
#include "crash/engine_subject.h"
#include "crash/index_subject.h"
#include "crash/memory.h"
#include "crash/torture.h"
#include "io/env.h"
#include "tools/args.h"
#include "tools/certificate.h"
#include "tools/json.h"
#include "tools/verbs.h"

struct crash {
    struct fr_env *env;
    struct fr_crash_report report;
    uint64_t seed, seeds, steps, points, one_in, duration_ns;
    uint64_t begin_ns;
    uint64_t rounds;
    bool as_json;
    const char *only, *subject_name;
    const struct fr_crash_subject *subject;
    const char *certify; /* a directory; NULL: simulated machines */
    uint64_t rounds_most;
};

static uint64_t spent_ns(const struct crash *c)
{
    return fr_env_now_ns(c->env) - c->begin_ns;
}

static bool is_over(void *ctx)
{
    const struct crash *c = ctx;

    if (c->points > 0 && fr_crash_counted(&c->report, FR_CRASH_POINTS) >= c->points) return true;
    return c->duration_ns > 0 && spent_ns(c) >= c->duration_ns;
}

/* Without seeds and without a time there would be no end. */
static fr_status run_rounds(struct crash *c)
{
    struct fr_crash_torture torture = {.subject = c->subject,
            .steps = (unsigned)FR_MIN(c->steps, (uint64_t)1000000),
            .points_one_in = (unsigned)FR_MIN(c->one_in, (uint64_t)1000000),
            .only = c->only,
            .over = is_over,
            .over_ctx = c};
    fr_status st = FR_OK;

    if (c->seeds == 0 && c->duration_ns == 0 && c->points == 0) c->seeds = 1;
    for (uint64_t i = 0; (c->seeds == 0 || i < c->seeds) && !is_over(c); i++) {
        c->rounds++;
        FR_TRY(fr_crash_torture_round(&torture, &c->report, c->seed + i));
    }
out:
    return st;
}

static const struct fr_crash_subject *find_subject(const char *name)
{
    const struct fr_crash_subject *subjects[] = {&fr_crash_engine, &fr_crash_index};

    for (size_t i = 0; i < FR_ARRAY_COUNT(subjects); i++)
        if (name == NULL || strcmp(subjects[i]->name, name) == 0) return subjects[i];
    return NULL;
}

static bool is_part(const char *name)
{
    const char *help, *part;

    for (unsigned i = 0; (part = fr_crash_torture_part(i, &help)) != NULL; i++)
        if (strcmp(part, name) == 0) return true;
    return false;
}

/* ---- telling */

static fr_status tell_json(const struct crash *c)
{
    struct fr_json json = FR_JSON_EMPTY;

    fr_json_begin_object(&json, NULL);
    fr_json_text(&json, "subject", c->subject->name);
    fr_json_text(&json, "machine", "simulated");
    fr_json_u64(&json, "first_seed", c->seed);
    fr_json_u64(&json, "rounds", c->rounds);
    fr_json_double(&json, "seconds", (double)spent_ns(c) / 1e9);
    for (int i = 0; i < FR_CRASH_COUNTERS; i++)
        fr_json_u64(&json, fr_crash_counter_key((enum fr_crash_counter)i),
                fr_crash_counted(&c->report, (enum fr_crash_counter)i));
    fr_json_text(&json, "finding", c->report.finding);
    fr_json_end_object(&json);
    return fr_json_print(&json);
}

static void tell_words(const struct crash *c)
{
    printf("subject      %s, on simulated machines\n", c->subject->name);
    printf("seeds        from %llu, %llu rounds in %s\n\n", (unsigned long long)c->seed,
            (unsigned long long)c->rounds, fr_human_duration(spent_ns(c)).text);
    for (int i = 0; i < FR_CRASH_COUNTERS; i++) {
        uint64_t count = fr_crash_counted(&c->report, (enum fr_crash_counter)i);
        if (count == 0 && i != FR_CRASH_FINDINGS) continue;
        printf("%14s  %s\n", fr_human_count(count).text,
                fr_crash_counter_text((enum fr_crash_counter)i));
    }
    if (c->report.finding[0] != '\0') printf("\n%s\n", c->report.finding);
}

/* ---- a real disk */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    interrupted = number;
}

static bool is_interrupted(void *ctx)
{
    (void)ctx;
    return interrupted != 0;
}

/* Whoever interrupts it finds neither mounts nor files left. */
static void heed_interrupts(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};

    for (size_t i = 0; i < FR_ARRAY_COUNT(numbers); i++)
        (void)sigaction(numbers[i], &action, NULL);
}

static int certify(const struct crash *c)
{
    static struct fr_certificate certificate;
    struct fr_certify how = {.subject = &fr_crash_engine,
            .path = c->certify,
            .seed = c->seed,
            .duration_us = c->duration_ns / 1000,
            .rounds = (unsigned)FR_MIN(c->rounds_most, (uint64_t)1000000),
            .over = is_interrupted};
    struct fr_ground ground;
    int code = FR_EXIT_FINE;

    if (c->only != NULL && fr_certify_parse_parts(c->only, &how.parts) < 0)
        return fr_exit_failed("crash --only");
    if (how.duration_us == 0 && how.rounds == 0) how.rounds = 1;
    heed_interrupts();
    fr_ground_find(c->certify, &ground);
    if (fr_certify_run(&how, &certificate) < 0) {
        code = fr_exit_failed("crash");
        if (certificate.spent_us == 0) return code;
    }
    if (!c->as_json)
        fr_certificate_tell(&how, &ground, &certificate);
    else if (fr_certificate_tell_json(&how, &ground, &certificate) < 0)
        code = fr_exit_failed("crash");
    if (code == FR_EXIT_FINE && !fr_certificate_is_good(&certificate)) code = FR_EXIT_FINDINGS;
    return code;
}

/* ---- the verb */

#define STEPS_USUAL 150

/* Words about options that do not go together, or NULL; then the subject is known. */
static const char *misuse(struct crash *c)
{
    bool simulated = c->seeds > 0 || c->points > 0 || c->one_in != 1 || c->steps != STEPS_USUAL;

    if (c->certify != NULL && simulated)
        return "--seeds, --points, --one-in and --steps are of simulated machines";
    if (c->certify == NULL && c->rounds_most > 0) return "--rounds is of --certify";
    if (c->one_in == 0) return "--one-in is 1 at least";
    if (c->certify == NULL && c->only != NULL && !is_part(c->only))
        return "--only: there is no such part";
    c->subject = find_subject(c->subject_name);
    if (c->subject == NULL) return "--subject: there is no such subject";
    if (c->certify != NULL && c->subject != &fr_crash_engine)
        return "--subject index is of simulated machines";
    return NULL;
}

int fr_verb_crash(int argc, char **argv)
{
    static struct crash c = {
            .seed = 1, .steps = STEPS_USUAL, .one_in = 1, .duration_ns = 60000000000};
    const struct fr_option options[] = {
            {"time", 't', FR_OPTION_DURATION, "TIME", "budget, 0 s for none (60 s)",
                    &c.duration_ns},
            {"seed", 0, FR_OPTION_COUNT, "N", "of the first round (1)", &c.seed},
            {"seeds", 0, FR_OPTION_COUNT, "N", "rounds, each with a seed of its own (all that fit)",
                    &c.seeds},
            {"points", 0, FR_OPTION_COUNT, "N", "end after so many crash points (no limit)",
                    &c.points},
            {"one-in", 0, FR_OPTION_COUNT, "N", "crash at every N-th change of the disk (1)",
                    &c.one_in},
            {"steps", 0, FR_OPTION_COUNT, "N", "of each history (150)", &c.steps},
            {"subject", 0, FR_OPTION_TEXT, "NAME", "engine or index (engine)", &c.subject_name},
            {"only", 0, FR_OPTION_TEXT, "PART",
                    "histories, faults, memory, sequences, damage or configs", &c.only},
            {"certify", 0, FR_OPTION_TEXT, "DIR",
                    "instead: a store on the disk of this directory, which gets one of its own",
                    &c.certify},
            {"rounds", 0, FR_OPTION_COUNT, "N",
                    "with --certify: the most of each part (all that fit)", &c.rounds_most},
            {"json", 0, FR_OPTION_FLAG, NULL, "the figures as one JSON object", &c.as_json},
    };
    struct fr_args args = {.verb = "crash",
            .summary =
                    "Try to break a store on simulated machines: lose power around every change\n"
                    "of the disk, kill the process, let every operation and every allocation\n"
                    "fail. What is found afterwards is compared with what was acknowledged.\n"
                    "\n"
                    "With --certify, do so with processes on a real disk: kill them, at random "
                    "and\n"
                    "around each of their system calls, lose power and fill the disk where that\n"
                    "can be played here, lower their limits; and write a certificate. The parts\n"
                    "for --only, with commas, are openers, limits, kill, syscall, powercut, full.\n"
                    "\n"
                    "Exits with 1 if anything was lost, wrong or left behind.",
            .operand_names = "",
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    fr_status st = fr_crash_memory_install();
    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    const char *wrong = misuse(&c);
    if (wrong != NULL) {
        fprintf(stderr, "freshet crash: %s (try --help)\n", wrong);
        return FR_EXIT_USAGE;
    }
    if (c.certify != NULL) return certify(&c);
    if (st == FR_OK) st = fr_env_open(NULL, &c.env);
    if (st < 0) return fr_exit_failed("crash");
    fr_crash_report_init(&c.report);
    c.begin_ns = fr_env_now_ns(c.env);
    st = run_rounds(&c);
    if (st < 0 && st != FR_ERR_CANCELLED) code = fr_exit_failed("crash");
    if (c.as_json && tell_json(&c) < 0)
        code = fr_exit_failed("crash");
    else if (!c.as_json)
        tell_words(&c);
    if (code == FR_EXIT_FINE && fr_crash_counted(&c.report, FR_CRASH_FINDINGS) > 0)
        code = FR_EXIT_FINDINGS;
    fr_crash_report_deinit(&c.report);
    fr_env_close(c.env);
    return code;
}
