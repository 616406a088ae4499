#include <criterion/criterion.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/status.h"
#include "base/thread.h"

static struct fr_error last(void)
{
    struct fr_error error = {.size = sizeof(error)};
    cr_assert_eq(fr_last_error_get(&error), FR_OK);
    return error;
}

Test(status, every_code_has_a_name_and_a_meaning_of_its_own)
{
    for (int a = FR_ERR_FOREIGN; a <= FR_NOT_FOUND; a++) {
        cr_assert_str_neq(fr_status_name((fr_status)a), "unknown", "%d", a);
        for (int b = FR_ERR_FOREIGN; b < a; b++) {
            cr_assert_str_neq(fr_status_name((fr_status)a), fr_status_name((fr_status)b));
            cr_assert_str_neq(fr_status_text((fr_status)a), fr_status_text((fr_status)b));
        }
    }
    cr_assert_str_eq(fr_status_name(FR_ERR_CORRUPT), "FR_ERR_CORRUPT");
    cr_assert_str_eq(fr_status_text(FR_ERR_CORRUPT), "damaged data");
}

Test(status, a_code_from_the_future_is_unknown_but_has_words)
{
    cr_assert_str_eq(fr_status_name((fr_status)-1000), "unknown");
    cr_assert_str_eq(fr_status_text((fr_status)1000), "unknown status");
}

Test(status, a_thread_starts_without_an_error)
{
    struct fr_error error = {.size = sizeof(error), .line = 77};

    cr_assert_str_eq(fr_last_error(), "");
    cr_assert_eq(fr_last_error_get(&error), FR_NOT_FOUND);
    cr_assert_eq(error.line, 77, "what was not asked for is untouched");
}

Test(status, failing_records_words_and_place)
{
    int line = __LINE__ + 1;
    cr_assert_eq(FR_FAIL(FR_ERR_CORRUPT, "block %d of %s", 7, "a.sst"), FR_ERR_CORRUPT);

    struct fr_error error = last();
    cr_assert_str_eq(error.text, "block 7 of a.sst");
    cr_assert_str_eq(fr_last_error(), "block 7 of a.sst");
    cr_assert_eq(error.status, FR_ERR_CORRUPT);
    cr_assert_eq(error.line, line);
    cr_assert_eq(error.os_error, 0);
    cr_assert_str_eq(error.source, "tests/unit/base/status_test.c");
}

Test(status, failing_with_an_errno_appends_what_it_means)
{
    cr_assert_eq(FR_FAIL_OS(ENOSPC, "cannot write %s", "x.log"), FR_ERR_NOSPACE);
    cr_assert_str_eq(fr_last_error(), "cannot write x.log: No space left on device");
    cr_assert_eq(last().os_error, ENOSPC);
}

Test(status, failing_leaves_errno_alone)
{
    errno = EXDEV;
    (void)FR_FAIL_OS(12345, "an errno that the system does not know");
    cr_assert_eq(errno, EXDEV);
}

Test(status, errnos_find_their_status)
{
    cr_assert_eq(fr_status_of_errno(ENOMEM), FR_ERR_NOMEM);
    cr_assert_eq(fr_status_of_errno(EDQUOT), FR_ERR_NOSPACE);
    cr_assert_eq(fr_status_of_errno(EACCES), FR_ERR_PERM);
    cr_assert_eq(fr_status_of_errno(EROFS), FR_ERR_READONLY);
    cr_assert_eq(fr_status_of_errno(ENOENT), FR_ERR_MISSING);
    cr_assert_eq(fr_status_of_errno(EEXIST), FR_ERR_EXISTS);
    cr_assert_eq(fr_status_of_errno(EBUSY), FR_ERR_BUSY);
    cr_assert_eq(fr_status_of_errno(ENOSYS), FR_ERR_UNSUPPORTED);
    cr_assert_eq(fr_status_of_errno(ECANCELED), FR_ERR_CANCELLED);
    cr_assert_eq(fr_status_of_errno(EIO), FR_ERR_IO);
    cr_assert_eq(fr_status_of_errno(12345), FR_ERR_IO);
}

Test(status, long_words_are_cut_and_end_in_zero)
{
    char words[2 * FR_ERROR_TEXT_MAX];

    memset(words, 'w', sizeof(words) - 1);
    words[sizeof(words) - 1] = '\0';
    (void)FR_FAIL_OS(EIO, "%s", words);
    cr_assert_eq(strlen(fr_last_error()), FR_ERROR_TEXT_MAX - 1);
}

Test(status, words_may_be_built_from_the_words_before)
{
    (void)FR_FAIL(FR_ERR_IO, "the cause");
    (void)FR_FAIL(FR_ERR_CORRUPT, "the consequence, after: %s", fr_last_error());
    cr_assert_str_eq(fr_last_error(), "the consequence, after: the cause");
}

Test(status, clearing_forgets)
{
    (void)FR_FAIL(FR_ERR_IO, "gone");
    fr_error_clear();
    struct fr_error error = {.size = sizeof(error)};
    cr_assert_str_eq(fr_last_error(), "");
    cr_assert_eq(fr_last_error_get(&error), FR_NOT_FOUND);
}

Test(status, an_older_caller_with_a_smaller_struct_gets_what_fits)
{
    (void)FR_FAIL(FR_ERR_PERM, "twelve bytes");
    for (size_t size = offsetof(struct fr_error, line); size <= sizeof(struct fr_error); size++) {
        struct fr_error error;
        memset(&error, 0x5a, sizeof(error));
        error.size = size;
        cr_assert_eq(fr_last_error_get(&error), FR_OK);
        cr_assert_eq(error.size, size);
        cr_assert_eq(error.status, FR_ERR_PERM);
        for (size_t i = size; i < sizeof(error); i++)
            cr_assert_eq(((unsigned char *)&error)[i], 0x5a, "byte %zu with size %zu", i, size);
        if (size > offsetof(struct fr_error, text))
            cr_assert_not_null(memchr(error.text, '\0', size - offsetof(struct fr_error, text)));
    }
}

Test(status, a_newer_caller_with_a_larger_struct_gets_what_there_is)
{
    struct {
        struct fr_error error;
        char more[64];
    } newer;

    (void)FR_FAIL(FR_ERR_PERM, "words");
    memset(&newer, 0x5a, sizeof(newer));
    newer.error.size = sizeof(newer);
    cr_assert_eq(fr_last_error_get(&newer.error), FR_OK);
    cr_assert_str_eq(newer.error.text, "words");
    cr_assert_eq(newer.error.size, sizeof(newer));
    for (size_t i = 0; i < sizeof(newer.more); i++)
        cr_assert_eq(newer.more[i], 0x5a);
}

Test(status, a_size_that_was_never_set_is_misuse)
{
    struct fr_error error = {.size = 0};

    (void)FR_FAIL(FR_ERR_IO, "something");
    cr_assert_eq(fr_last_error_get(&error), FR_ERR_MISUSE);
    error.size = offsetof(struct fr_error, line) - 1;
    cr_assert_eq(fr_last_error_get(&error), FR_ERR_MISUSE);
}

static fr_status step(int *steps, fr_status answer)
{
    (*steps)++;
    return answer;
}

static fr_status three_steps(int *steps, fr_status second)
{
    fr_status st;

    FR_TRY(step(steps, FR_OK));
    FR_TRY(step(steps, second));
    FR_TRY(step(steps, FR_OK));
out:
    return st;
}

Test(status, try_leaves_at_a_failure_and_goes_on_at_an_answer)
{
    int steps = 0;

    cr_assert_eq(three_steps(&steps, FR_ERR_IO), FR_ERR_IO);
    cr_assert_eq(steps, 2);
    cr_assert_eq(three_steps(&steps, FR_END), FR_OK);
    cr_assert_eq(steps, 5);
}

struct job {
    fr_status status;
    struct fr_error error;
    bool began_clean;
};

static void failing_job(void *arg)
{
    struct job *job = arg;

    job->began_clean = fr_last_error()[0] == '\0';
    job->status = FR_FAIL_OS(EIO, "job");
    fr_error_save(&job->error);
}

Test(status, records_are_per_thread_and_travel_by_save_and_restore)
{
    struct fr_thread thread;
    struct job job = {0};

    (void)FR_FAIL(FR_ERR_BUSY, "mine");
    cr_assert_eq(fr_thread_start(&thread, "job", failing_job, &job), FR_OK);
    fr_thread_join(&thread);
    cr_assert(job.began_clean);
    cr_assert_str_eq(fr_last_error(), "mine");

    cr_assert_eq(fr_error_restore(&job.error), FR_ERR_IO);
    cr_assert_str_eq(fr_last_error(), "job: Input/output error");
    cr_assert_eq(last().os_error, EIO);
    cr_assert_eq(last().status, FR_ERR_IO);
}

Test(status, nothing_travels_too)
{
    struct fr_error none;

    fr_error_save(&none);
    (void)FR_FAIL(FR_ERR_BUSY, "mine");
    cr_assert_eq(fr_error_restore(&none), FR_OK);
    cr_assert_str_eq(fr_last_error(), "");
}

Test(status, a_failure_of_a_sync_says_so_wherever_it_travels)
{
    struct fr_error error;

    (void)FR_FAIL(FR_ERR_IO, "a sync");
    fr_error_mark_sync();
    fr_error_save(&error);
    cr_assert(error.of_sync);
    (void)FR_FAIL(FR_ERR_IO, "a read");
    cr_assert_not(last().of_sync);
    cr_assert_eq(fr_error_restore(&error), FR_ERR_IO);
    cr_assert(last().of_sync);
}
