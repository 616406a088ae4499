#include <criterion/criterion.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/thread.h"

struct report {
    bool ran;
    char name[16];
    sigset_t blocked;
};

static void look_around(void *arg)
{
    struct report *report = arg;

    pthread_getname_np(pthread_self(), report->name, sizeof(report->name));
    pthread_sigmask(SIG_SETMASK, NULL, &report->blocked);
    report->ran = true;
}

static struct report run_named(const char *name)
{
    struct fr_thread thread;
    struct report report = {0};

    cr_assert_eq(fr_thread_start(&thread, name, look_around, &report), FR_OK);
    cr_assert(thread.started);
    fr_thread_join(&thread);
    cr_assert(report.ran);
    cr_assert(!thread.started);
    fr_thread_join(&thread);
    return report;
}

Test(thread, has_its_name_cut_at_15_bytes)
{
    cr_assert_str_eq(run_named("fr-short").name, "fr-short");
    cr_assert_str_eq(run_named("fr-fifteen-long").name, "fr-fifteen-long");
    cr_assert_str_eq(run_named("fr-sixteen-bytes").name, "fr-sixteen-byte");
}

Test(thread, leaves_signals_to_the_host)
{
    static const int theirs[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD, SIGPIPE, SIGALRM};
    struct report report = run_named("fr-signals");

    for (size_t i = 0; i < FR_ARRAY_COUNT(theirs); i++)
        cr_assert_eq(sigismember(&report.blocked, theirs[i]), 1, "signal %d", theirs[i]);
}

/* Blocked, they would kill the process without a word from the host's crash reporter. */
Test(thread, keeps_the_signals_that_its_own_faults_raise)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    struct report report = run_named("fr-faults");

    for (size_t i = 0; i < FR_ARRAY_COUNT(own); i++)
        cr_assert_eq(sigismember(&report.blocked, own[i]), 0, "signal %d", own[i]);
}

Test(thread, starting_does_not_change_the_callers_mask)
{
    sigset_t before, after;

    sigemptyset(&before);
    sigaddset(&before, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)run_named("fr-mask");
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int signal = 1; signal < 32; signal++)
        cr_assert_eq(sigismember(&after, signal), signal == SIGUSR2, "signal %d", signal);
}

Test(thread, one_that_never_started_joins_at_once)
{
    struct fr_thread thread = {0};

    fr_thread_join(&thread);
}

Test(thread, a_machine_has_a_processor_for_us)
{
    cpu_set_t one;

    cr_assert_geq(fr_thread_cpu_count(), 1);
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
    cr_assert_eq(fr_thread_cpu_count(), 1, "those that this process may use");
}
