/*
 * certify_process.c - processes that are started, traced, killed, and judged by how they ended.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crash/certify_priv.h"

#define POLL_US 200

uint64_t fr_certify_now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void fr_certify_sleep_us(uint64_t us)
{
    struct timespec left = {
            .tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};

    (void)nanosleep(&left, NULL);
}

/* ---- results */

fr_status fr_certify_find(struct fr_certify_work *w, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(w->result->words, sizeof(w->result->words), format, args);
    va_end(args);
    w->result->state = FR_CERTIFY_FAILED;
    return FR_FAIL(FR_ERR_CANCELLED, "a finding ends this part");
}

fr_status fr_certify_skip(struct fr_certify_work *w, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(w->result->words, sizeof(w->result->words), format, args);
    va_end(args);
    w->result->state = FR_CERTIFY_SKIPPED;
    return FR_FAIL(FR_ERR_UNSUPPORTED, "%s", w->result->words);
}

void fr_certify_count(struct fr_certify_work *w, enum fr_certify_counter counter, uint64_t by)
{
    w->result->counters[counter] += by;
}

/* ---- starting and waiting */

pid_t fr_certify_start(struct fr_certify_work *w, const struct fr_life *life)
{
    atomic_store(&w->ledger->stage, FR_LEDGER_BORN);
    w->ledger->failure[0] = '\0';
    w->lives++;
    fr_certify_count(w, FR_CERTIFY_PROCESSES, 1);
    (void)fflush(NULL); /* nothing that waits to be printed is printed twice */
    pid_t pid = fork();
    if (pid == 0) fr_life_live(life);
    return pid;
}

/* Waits to the end, whatever interrupts it. */
static bool await_end(pid_t pid, int *ret_status)
{
    pid_t ended;

    do
        ended = waitpid(pid, ret_status, 0);
    while (ended < 0 && errno == EINTR);
    return ended == pid;
}

static void end_by(struct fr_certify_end *end, int status)
{
    end->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    end->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (end->signal != SIGKILL) end->killed = false;
    if (end->killed) end->signal = 0;
}

struct fr_certify_end fr_certify_wait(struct fr_certify_work *w, pid_t pid, uint64_t kill_after_us)
{
    struct fr_certify_end end = {.code = -1};
    uint64_t begin_us = fr_certify_now_us();
    int status = 0;
    pid_t ended;

    (void)w;
    while ((ended = waitpid(pid, &status, WNOHANG)) == 0) {
        uint64_t spent_us = fr_certify_now_us() - begin_us;
        end.hung = spent_us > (uint64_t)FR_CERTIFY_HUNG_SECONDS * 1000000;
        end.killed = end.hung || spent_us >= kill_after_us;
        if (end.killed) {
            (void)kill(pid, SIGKILL);
            ended = await_end(pid, &status) ? pid : -1;
            break;
        }
        fr_certify_sleep_us(FR_MIN((uint64_t)POLL_US, kill_after_us - spent_us));
    }
    if (ended == pid) end_by(&end, status);
    end.spent_us = fr_certify_now_us() - begin_us;
    return end;
}

/* ---- tracing */

static volatile sig_atomic_t alarmed;

static void on_alarm(int number)
{
    alarmed = number;
}

/* The signal that a stopped thread goes on with; those that only say that it is traced end here. */
static int signal_of(int status)
{
    int number = WSTOPSIG(status);

    if (status >> 16 != 0 || number == SIGSTOP || number == SIGTRAP || number == (SIGTRAP | 0x80))
        return 0;
    return number;
}

/*
 * All threads are stopped at their system calls, and waited for together. A killed one is waited
 * for until its leader is gone, which is the last that is told.
 */
static void follow(pid_t pid, uint64_t kill_at, struct fr_certify_end *end)
{
    for (;;) {
        int status;
        pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0 && errno == EINTR) {
            if (!alarmed) continue;
            end->hung = end->killed = true;
            (void)kill(pid, SIGKILL);
            continue;
        }
        if (thread < 0) return;
        if (!WIFSTOPPED(status)) {
            if (thread != pid) continue;
            end_by(end, status);
            return;
        }
        end->stops += WSTOPSIG(status) == (SIGTRAP | 0x80);
        if (end->stops == kill_at && !end->killed) {
            end->killed = true;
            (void)kill(pid, SIGKILL);
        }
        (void)ptrace(PTRACE_SYSCALL, thread, NULL, (void *)(intptr_t)signal_of(status));
    }
}

fr_status fr_certify_trace(struct fr_certify_work *w, const struct fr_life *life, uint64_t kill_at,
        struct fr_certify_end *ret_end)
{
    struct sigaction alarms = {.sa_handler = on_alarm}, before;
    struct fr_certify_end end = {.code = -1};
    uint64_t begin_us = fr_certify_now_us();
    int status = 0;

    pid_t pid = fr_certify_start(w, life);
    if (pid < 0) return FR_FAIL(FR_ERR_IO, "a process cannot be started");
    (void)await_end(pid, &status); /* or that it stops */
    if (!WIFSTOPPED(status)) {
        if (WIFEXITED(status) && WEXITSTATUS(status) == FR_LIFE_REFUSED)
            return FR_FAIL(FR_ERR_UNSUPPORTED, "a process may not be traced here");
        end_by(&end, status);
        *ret_end = end;
        return FR_OK;
    }
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)options) != 0) {
        (void)kill(pid, SIGKILL);
        (void)await_end(pid, &status);
        return FR_FAIL(FR_ERR_UNSUPPORTED, "a process may not be traced here");
    }
    (void)sigaction(SIGALRM, &alarms, &before);
    alarmed = 0;
    (void)alarm(FR_CERTIFY_HUNG_SECONDS);
    (void)ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
    follow(pid, kill_at, &end);
    (void)alarm(0);
    (void)sigaction(SIGALRM, &before, NULL);
    end.spent_us = fr_certify_now_us() - begin_us;
    *ret_end = end;
    return FR_OK;
}

/* ---- judging */

static bool is_right(const struct fr_certify_work *w, const struct fr_certify_end *end)
{
    if (end->killed) return true;
    return end->code == FR_LIFE_FINE || (end->signal == SIGBUS && w->shut_down);
}

fr_status fr_certify_judge(struct fr_certify_work *w, const struct fr_certify_end *end)
{
    bool compared = atomic_load(&w->ledger->stage) != FR_LEDGER_BORN;

    w->deaths = end->killed ? w->deaths + 1 : w->deaths;
    if (end->killed) fr_certify_count(w, FR_CERTIFY_KILLS, 1);
    if (end->killed && !compared) fr_certify_count(w, FR_CERTIFY_KILLS_EARLY, 1);
    w->result->counters[FR_CERTIFY_DEEPEST] =
            FR_MAX(w->result->counters[FR_CERTIFY_DEEPEST], (uint64_t)w->deaths);
    if (w->ledger->report.finding[0] != '\0')
        return fr_certify_find(w, "process %u of its store, after %u deaths: %s", w->lives,
                w->deaths, w->ledger->report.finding);
    if (end->hung)
        return fr_certify_find(w, "a process did not end within %d seconds",
                FR_CERTIFY_HUNG_SECONDS);
    if (is_right(w, end)) return FR_OK;
    if (end->code == FR_LIFE_FAILED) return FR_FAIL(FR_ERR_IO, "%s", w->ledger->failure);
    return fr_certify_find(w, "a process ended by itself, %s %d, %s",
            end->signal ? "signal" : "code", end->signal ? end->signal : end->code,
            compared ? "while it wrote" : "before it had compared what it found");
}

fr_status fr_certify_live(struct fr_certify_work *w, const struct fr_life *life,
        uint64_t kill_after_us, struct fr_certify_end *ret_end)
{
    pid_t pid = fr_certify_start(w, life);

    if (pid < 0) return FR_FAIL(FR_ERR_IO, "a process cannot be started");
    *ret_end = fr_certify_wait(w, pid, kill_after_us);
    return fr_certify_judge(w, ret_end);
}

fr_status fr_certify_compare(struct fr_certify_work *w, bool power)
{
    struct fr_life life = fr_certify_life(w, 0);
    struct fr_certify_end end;

    life.power = power;
    life.closes = fr_rng_one_in(&w->rng, 2);
    return fr_certify_live(w, &life, FR_CERTIFY_NEVER, &end);
}
