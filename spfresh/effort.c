#include "spfresh/effort.h"

#include <math.h>

#include "base/compiler.h"

static const struct {
    double recall;
    float postings, width, slack;
} steps[FR_EFFORT_STEPS] = {{0.50, 8, 8, 1.5F}, {0.80, 28, 12, 1.5F}, {0.920, 64, 16, 1.5F},
        {0.966, 128, 20, 1.5F}, {0.979, 180, 24, 1.5F}, {0.990, 280, 30, 1.7F},
        {0.996, 440, 40, 2.0F}, {0.998, 700, 60, 2.3F}, {0.9995, 1400, 100, 2.8F}};

#define LAST (FR_EFFORT_STEPS - 1)

/* No step reaches more, as far as anybody can say. */
#define RECALL_MAX 0.9995

void fr_efforts_init(struct fr_efforts *efforts)
{
    for (size_t i = 0; i < FR_EFFORT_STEPS; i++)
        atomic_init(&efforts->recalls[i], (float)steps[i].recall);
}

struct fr_effort fr_effort_step(size_t step)
{
    return (struct fr_effort){.postings = (size_t)steps[step].postings,
            .width = (size_t)steps[step].width,
            .slack = steps[step].slack};
}

/* More effort never counts as less recall, whatever was measured by chance. */
void fr_efforts_set(struct fr_efforts *efforts, const double *recalls)
{
    double least = 0;

    for (size_t i = 0; i < FR_EFFORT_STEPS; i++) {
        double recall = i == LAST ? RECALL_MAX : fmin(recalls[i], RECALL_MAX);

        least = fmax(least, recall);
        atomic_store_explicit(&efforts->recalls[i], (float)least, memory_order_relaxed);
    }
}

static float between(float from, float to, double part)
{
    return from + (float)part * (to - from);
}

/* What is missed, as a logarithm: postings grow about evenly with that. */
static double missed(const struct fr_efforts *efforts, size_t step)
{
    float recall = atomic_load_explicit(&efforts->recalls[step], memory_order_relaxed);

    return log(1 - fmin((double)recall, RECALL_MAX));
}

struct fr_effort fr_effort_for(const struct fr_efforts *efforts, double recall)
{
    double wanted = log(1 - fmin(recall, RECALL_MAX));
    size_t at = 0;

    while (at < LAST && missed(efforts, at) > wanted)
        at++;
    if (at == 0) return fr_effort_step(0);
    double from = missed(efforts, at - 1), to = missed(efforts, at);
    double part = from > to ? fmin(fmax((wanted - from) / (to - from), 0), 1) : 1;
    return (struct fr_effort){
            .postings = (size_t)lroundf(between(steps[at - 1].postings, steps[at].postings, part)),
            .width = (size_t)lroundf(between(steps[at - 1].width, steps[at].width, part)),
            .slack = between(steps[at - 1].slack, steps[at].slack, part)};
}

struct fr_effort fr_effort_of(size_t postings)
{
    size_t at = 0;

    while (at < LAST && steps[at].postings < (float)postings)
        at++;
    return (struct fr_effort){.postings = postings,
            .width = FR_MAX((size_t)steps[at].width, postings / 8),
            .slack = steps[at].slack};
}
