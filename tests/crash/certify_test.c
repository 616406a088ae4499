/*
 * certify_test.c - certifications of the disk that the tests run on, and of stores that lie.
 *
 * A part which this machine does not permit is skipped, with words; a lie is found by each part
 * whose promise it breaks.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crash/certify_priv.h"
#include "crash/engine_subject.h"

#ifdef FR_SANITIZED
#define ROUNDS 4
#else
#define ROUNDS 8
#endif

static struct fr_certificate certificate;

/* The certificate of one part, and the directory as it was before. */
static const struct fr_certify_result *certify(const struct fr_crash_subject *subject,
        enum fr_certify_part part, unsigned rounds)
{
    char path[] = "certify-test-XXXXXX";
    struct fr_certify how = {.subject = subject, .path = path, .seed = 1, .rounds = rounds};

    how.parts = 1u << part;
    cr_assert_not_null(mkdtemp(path));
    cr_assert_eq(fr_certify_run(&how, &certificate), FR_OK, "%s", fr_last_error());
    if (certificate.kept[0] != '\0') fr_certify_remove(certificate.kept);
    cr_assert_eq(rmdir(path), 0, "something is left in %s", path);
    return &certificate.parts[part];
}

static void tell(enum fr_certify_part part)
{
    const struct fr_certify_result *result = &certificate.parts[part];

    fprintf(stderr, "%s: %s %s\n", fr_certify_part_name(part), fr_certify_state_name(result->state),
            result->words);
    for (int i = 0; i < FR_CERTIFY_COUNTERS; i++)
        if (result->counters[i] > 0)
            fprintf(stderr, "%10llu %s\n", (unsigned long long)result->counters[i],
                    fr_certify_counter_text((enum fr_certify_counter)i));
}

/* It passes, or may be skipped; what it has then is at least this. */
static void must_pass(enum fr_certify_part part, unsigned rounds, bool may_skip,
        enum fr_certify_counter counter, uint64_t least)
{
    const struct fr_certify_result *result = certify(&fr_crash_engine, part, rounds);

    tell(part);
    cr_assert(fr_certificate_is_good(&certificate), "%s", result->words);
    if (may_skip && result->state == FR_CERTIFY_SKIPPED) {
        cr_assert_str_not_empty(result->words);
        cr_skip_test("%s", result->words);
    }
    cr_assert_eq(result->state, FR_CERTIFY_PASSED, "%s", result->words);
    cr_assert_geq(result->counters[counter], least);
    cr_assert_gt(result->counters[FR_CERTIFY_COMPARED], 0);
    cr_assert_gt(result->counters[FR_CERTIFY_HELD], 0);
}

Test(certify, a_second_opener_is_refused_and_readers_are_not, .timeout = 300)
{
    must_pass(FR_CERTIFY_OPENERS, 3, false, FR_CERTIFY_REFUSED, 6);
}

Test(certify, a_store_bears_lowered_limits_and_goes_on, .timeout = 300)
{
    must_pass(FR_CERTIFY_LIMITS, 2, false, FR_CERTIFY_REFUSED, 20);
}

Test(certify, a_store_survives_kills_at_random, .timeout = 600)
{
    must_pass(FR_CERTIFY_KILL, 4 * ROUNDS, false, FR_CERTIFY_KILLS, 1);
}

Test(certify, a_store_survives_kills_around_its_system_calls, .timeout = 600)
{
    must_pass(FR_CERTIFY_SYSCALL, 2 * ROUNDS, true, FR_CERTIFY_POINTS, ROUNDS);
}

Test(certify, a_store_survives_losses_of_power, .timeout = 600)
{
    must_pass(FR_CERTIFY_POWERCUT, ROUNDS, true, FR_CERTIFY_CUTS, ROUNDS);
}

Test(certify, a_store_bears_a_full_disk_and_goes_on, .timeout = 600)
{
    must_pass(FR_CERTIFY_FULL, 3, true, FR_CERTIFY_REFUSED, 20);
}

/* ---- stores that lie */

static void must_fail(const struct fr_crash_subject *subject, enum fr_certify_part part,
        const char *words)
{
    const struct fr_certify_result *result = certify(subject, part, 60);

    tell(part);
    cr_assert_null(strstr(result->words, "e2fsck"), "a finding is forgiven: %s", result->words);
    if (result->state == FR_CERTIFY_SKIPPED) cr_skip_test("%s", result->words);
    cr_assert_eq(result->state, FR_CERTIFY_FAILED);
    cr_assert(!fr_certificate_is_good(&certificate));
    cr_assert_not_null(strstr(result->words, words), "%s", result->words);
    cr_assert_str_not_empty(certificate.kept);
}

/* The fourth batch of each process is acknowledged, and gone. */
static fr_status write_and_forget(void *store, const struct fr_crash_change *changes, size_t count,
        fr_sync sync)
{
    static unsigned written;

    if (++written == 4) return FR_OK;
    return fr_crash_engine.write(store, changes, count, sync);
}

/* The device is not waited for. */
static fr_status write_in_haste(void *store, const struct fr_crash_change *changes, size_t count,
        fr_sync sync)
{
    (void)sync;
    return fr_crash_engine.write(store, changes, count, FR_SYNC_NONE);
}

/* Only the process has it: what FR_SYNC_OS would be without the log's shared memory. */
static fr_status do_in_haste(void *store, enum fr_crash_act act, size_t slot, size_t end)
{
    if (act == FR_CRASH_SYNC || act == FR_CRASH_FLUSH) return FR_OK;
    return fr_crash_engine.act(store, act, slot, end);
}

static fr_status open_for_all(struct fr_env *env, const char *path, unsigned config,
        enum fr_crash_mode mode, void **ret_store)
{
    fr_status st = fr_crash_engine.open(env, path, config, mode, ret_store);

    return st == FR_ERR_BUSY ? FR_ERR_IO : st;
}

/* What is passing is called damage. */
static fr_status write_in_panic(void *store, const struct fr_crash_change *changes, size_t count,
        fr_sync sync)
{
    fr_status st = fr_crash_engine.write(store, changes, count, sync);

    return st == FR_ERR_IO || st == FR_ERR_NOSPACE ? FR_ERR_CORRUPT : st;
}

/* A store in memory of a file that could not grow. */
static fr_status write_to_death(void *store, const struct fr_crash_change *changes, size_t count,
        fr_sync sync)
{
    fr_status st = fr_crash_engine.write(store, changes, count, sync);

    if (st < 0) (void)raise(SIGBUS);
    return st;
}

Test(certify, a_lost_batch_is_found_after_a_kill, .timeout = 600)
{
    struct fr_crash_subject subject = fr_crash_engine;

    subject.write = write_and_forget;
    must_fail(&subject, FR_CERTIFY_KILL, "");
}

Test(certify, a_lost_batch_is_found_around_a_system_call, .timeout = 600)
{
    struct fr_crash_subject subject = fr_crash_engine;

    subject.write = write_and_forget;
    must_fail(&subject, FR_CERTIFY_SYSCALL, "");
}

Test(certify, a_sync_that_was_not_made_is_found_after_a_loss_of_power, .timeout = 600)
{
    struct fr_crash_subject subject = fr_crash_engine;

    subject.write = write_in_haste;
    subject.act = do_in_haste;
    must_fail(&subject, FR_CERTIFY_POWERCUT, "acknowledged");
}

Test(certify, a_wrong_answer_to_a_second_opener_is_found, .timeout = 300)
{
    struct fr_crash_subject subject = fr_crash_engine;

    subject.open = open_for_all;
    must_fail(&subject, FR_CERTIFY_OPENERS, "opening it twice answers FR_ERR_IO");
}

Test(certify, an_undocumented_answer_at_a_limit_is_found, .timeout = 300)
{
    struct fr_crash_subject subject = fr_crash_engine;

    subject.write = write_in_panic;
    must_fail(&subject, FR_CERTIFY_LIMITS, "FR_ERR_CORRUPT");
}

Test(certify, an_undocumented_answer_of_a_full_disk_is_found, .timeout = 300)
{
    struct fr_crash_subject subject = fr_crash_engine;

    subject.write = write_in_panic;
    must_fail(&subject, FR_CERTIFY_FULL, "FR_ERR_CORRUPT");
}

Test(certify, a_death_of_a_limit_is_found, .timeout = 300)
{
    struct fr_crash_subject subject = fr_crash_engine;

    subject.write = write_to_death;
    must_fail(&subject, FR_CERTIFY_LIMITS, "ended by itself, signal");
}

/* ---- the rest */

Test(certify, parts_are_chosen_by_name)
{
    unsigned mask = 0;

    cr_assert_eq(fr_certify_parse_parts("full", &mask), FR_OK);
    cr_assert_eq(mask, 1u << FR_CERTIFY_FULL);
    cr_assert_eq(fr_certify_parse_parts("kill,openers", &mask), FR_OK);
    cr_assert_eq(mask, 1u << FR_CERTIFY_KILL | 1u << FR_CERTIFY_OPENERS);
    cr_assert_eq(fr_certify_parse_parts("kil", &mask), FR_ERR_MISUSE);
    cr_assert_eq(fr_certify_parse_parts("kill,", &mask), FR_ERR_MISUSE);
    cr_assert_eq(fr_certify_parse_parts("", &mask), FR_ERR_MISUSE);
    cr_assert_eq(mask, 1u << FR_CERTIFY_KILL | 1u << FR_CERTIFY_OPENERS);
}

Test(certify, a_directory_that_is_not_there_is_no_finding)
{
    struct fr_certify how = {.subject = &fr_crash_engine, .path = "nowhere", .rounds = 1};

    cr_assert_eq(fr_certify_run(&how, &certificate), FR_ERR_IO);
    cr_assert(strstr(fr_last_error(), "nowhere") != NULL, "%s", fr_last_error());
    cr_assert_not(fr_certificate_is_of_something(&certificate));
}
