#include "tools/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/human.h"
#include "tools/interrupt.h"

#define BAR_NS    100000000u
#define BAR_WIDTH 24

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool is_terminal(void)
{
    const char *kind = getenv("TERM");

    return isatty(STDERR_FILENO) == 1 && kind != NULL && strcmp(kind, "dumb") != 0;
}

static uint64_t interval_ns(const struct fr_progress *p)
{
    return p->on_terminal ? BAR_NS : p->line_ns;
}

void fr_progress_begin(struct fr_progress *p)
{
    p->on_terminal = is_terminal();
    p->begin_ns = now_ns();
    p->next_ns = p->begin_ns + interval_ns(p);
    p->shown = false;
}

uint64_t fr_progress_elapsed_ns(const struct fr_progress *p)
{
    return now_ns() - p->begin_ns;
}

/* "52%, " and "38 s left", as far as they can be known. */
static void tell_rest(uint64_t elapsed_ns, uint64_t part, uint64_t total, char percent[16],
        char left[64])
{
    percent[0] = left[0] = '\0';
    if (total == 0 || part == 0 || part > total) return;
    double share = (double)part / (double)total;
    double rest_ns = (double)elapsed_ns * (1 - share) / share;
    uint64_t seconds = (uint64_t)(rest_ns / 1e9) + 1;
    snprintf(percent, 16, "%.0f%%, ", 100 * share);
    snprintf(left, 64, ", %s left", fr_human_duration(seconds * 1000000000u).text);
}

static void draw_bar(uint64_t part, uint64_t total)
{
    size_t full =
            total == 0 || part > total ? 0 : (size_t)((double)part / (double)total * BAR_WIDTH);

    fputc('[', stderr);
    for (size_t i = 0; i < BAR_WIDTH; i++)
        fputc(i < full ? '#' : '-', stderr);
    fputs("] ", stderr);
}

static void tell_done(const struct fr_progress *p, uint64_t done, uint64_t rate)
{
    if (p->unit == NULL)
        fprintf(stderr, "%s, %s a second", fr_human_size(done).text, fr_human_size(rate).text);
    else
        fprintf(stderr, "%s %s, %s a second", fr_human_count(done).text, p->unit,
                fr_human_count(rate).text);
}

void fr_progress_tell(struct fr_progress *p, uint64_t done, uint64_t part, uint64_t total)
{
    char percent[16], left[64];
    uint64_t now = now_ns(), elapsed = now - p->begin_ns;

    if (p->quiet || interval_ns(p) == 0 || now < p->next_ns) return;
    p->next_ns = now + interval_ns(p);
    tell_rest(elapsed, part, total, percent, left);
    double rate = (double)done * 1e9 / (double)FR_MAX(elapsed, (uint64_t)1);
    if (p->on_terminal) {
        fputs("\r\x1b[K", stderr);
        if (total != 0) draw_bar(part, total);
    } else {
        fprintf(stderr, "freshet %s: ", p->verb);
    }
    fputs(percent, stderr);
    tell_done(p, done, (uint64_t)rate);
    fprintf(stderr, "%s%s", left, p->on_terminal ? "" : "\n");
    fflush(stderr);
    p->shown = true;
}

bool fr_progress_hook(void *progress, uint64_t done, uint64_t total)
{
    fr_progress_tell(progress, done, done, total);
    return !fr_interrupted();
}

void fr_progress_end(struct fr_progress *p)
{
    if (p->shown && p->on_terminal) fputs("\r\x1b[K", stderr);
    p->shown = false;
}
