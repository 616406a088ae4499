#include "db/scrub.h"

#include <inttypes.h>

#include "base/log.h"
#include "lsm/events.h"
#include "recovery/verify.h"

/* For pointers into value files: what does not fit is done in several walks over the tables. */
#define MEMORY ((uint64_t)8 << 20)

static bool on_finding(void *ctx, const struct fr_finding *finding)
{
    struct fr_scrub *scrub = ctx;
    struct fr_event_finding event = {.status = finding->status,
            .file = finding->file,
            .offset = finding->offset,
            .text = finding->words};

    if (finding->kind >= FR_FINDING_ORPHAN) return true; /* no harm */
    fr_log(FR_LOG_ERROR, "scrub", "%s", finding->words);
    fr_events_finding(fr_engine_events(scrub->engine), &event);
    fr_mutex_lock(&scrub->mu);
    scrub->findings++;
    fr_mutex_unlock(&scrub->mu);
    return !atomic_load_explicit(&scrub->stop, memory_order_relaxed);
}

static void end_walk(struct fr_scrub *scrub, const struct fr_event_scrub *event)
{
    fr_mutex_lock(&scrub->mu);
    scrub->running = 0;
    scrub->from_us = fr_engine_now_us(scrub->engine);
    if (event->status == FR_OK) {
        scrub->count++;
        scrub->bytes += event->bytes;
        scrub->last_findings = event->findings;
    }
    fr_mutex_unlock(&scrub->mu);
    if (event->status < 0 && event->status != FR_ERR_CANCELLED)
        fr_log(FR_LOG_WARN, "scrub", "not to its end: %s", fr_last_error());
    fr_events_scrub(fr_engine_events(scrub->engine), event);
}

static void walk(struct fr_scrub *scrub)
{
    const struct fr_verify_options how = {.size = sizeof(how),
            .depth = FR_VERIFY_FILES,
            .threads = 1,
            .memory = MEMORY,
            .finding = on_finding,
            .ctx = scrub};
    const struct fr_verify_watch watch = {.limiter = &scrub->limiter, .stop = &scrub->stop};
    struct fr_verify_stats stats = {.size = sizeof(stats)};
    struct fr_event_scrub event = {0};
    uint64_t start_us = fr_engine_now_us(scrub->engine);

    fr_events_scrub(fr_engine_events(scrub->engine), &event);
    event.done = true;
    event.status = fr_verify_engine(scrub->engine, &how, &watch, &stats);
    event.findings = stats.findings;
    event.bytes = stats.bytes;
    event.duration_us = fr_engine_now_us(scrub->engine) - start_us;
    end_walk(scrub, &event);
}

/* false: it is over. */
static bool wait_for_turn(struct fr_scrub *scrub)
{
    fr_mutex_lock(&scrub->mu);
    while (!atomic_load_explicit(&scrub->stop, memory_order_relaxed)) {
        uint64_t passed_us = fr_engine_now_us(scrub->engine) - scrub->from_us;

        if (scrub->interval_us == 0)
            fr_cond_wait(&scrub->changed, &scrub->mu);
        else if (passed_us < scrub->interval_us)
            (void)fr_cond_wait_for(&scrub->changed, &scrub->mu, scrub->interval_us - passed_us);
        else
            break;
    }
    bool goes_on = !atomic_load_explicit(&scrub->stop, memory_order_relaxed);
    scrub->running = goes_on;
    fr_mutex_unlock(&scrub->mu);
    return goes_on;
}

static void scrub_main(void *arg)
{
    while (wait_for_turn(arg))
        walk(arg);
}

void fr_scrub_open(struct fr_scrub *scrub, struct fr_engine *engine)
{
    scrub->engine = engine;
    scrub->from_us = fr_engine_now_us(engine);
    fr_rate_limiter_init(&scrub->limiter, fr_engine_env(engine), 0);
    fr_mutex_init(&scrub->mu, FR_RANK_LEAF);
    fr_cond_init(&scrub->changed);
}

fr_status fr_scrub_set(struct fr_scrub *scrub, uint32_t interval_s, uint64_t rate)
{
    fr_status st = FR_OK;

    fr_rate_limiter_set(&scrub->limiter, rate);
    fr_mutex_lock(&scrub->mu);
    bool starts = interval_s > 0 && !scrub->has_thread;
    scrub->has_thread |= starts;
    fr_mutex_unlock(&scrub->mu);
    if (starts) st = fr_thread_start(&scrub->thread, "fr-scrub", scrub_main, scrub);
    fr_mutex_lock(&scrub->mu);
    if (st < 0)
        scrub->has_thread = false;
    else
        scrub->interval_us = (uint64_t)interval_s * 1000000;
    fr_cond_broadcast(&scrub->changed);
    fr_mutex_unlock(&scrub->mu);
    return st;
}

void fr_scrub_close(struct fr_scrub *scrub)
{
    if (scrub->engine == NULL) return;
    atomic_store_explicit(&scrub->stop, true, memory_order_relaxed);
    fr_rate_limiter_set(&scrub->limiter, 0); /* whoever waits for it goes on, and sees it */
    fr_mutex_lock(&scrub->mu);
    fr_cond_broadcast(&scrub->changed);
    bool has_thread = scrub->has_thread;
    fr_mutex_unlock(&scrub->mu);
    if (has_thread) fr_thread_join(&scrub->thread);
    scrub->engine = NULL;
    fr_rate_limiter_deinit(&scrub->limiter);
    fr_cond_deinit(&scrub->changed);
    fr_mutex_deinit(&scrub->mu);
}

void fr_scrub_count(struct fr_scrub *scrub, struct fr_engine_stats *stats)
{
    fr_mutex_lock(&scrub->mu);
    stats->scrub_running = scrub->running;
    stats->scrub_count = scrub->count;
    stats->scrub_bytes = scrub->bytes;
    stats->scrub_findings = scrub->findings;
    stats->scrub_last_findings = scrub->last_findings;
    fr_mutex_unlock(&scrub->mu);
}
