#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/thread.h"

static _Atomic(int) lines;
static char last_line[2048];
static char last_component[32];
static fr_log_level last_level;
static void *last_ctx;

static void keep(void *ctx, fr_log_level level, const char *component, const char *text)
{
    lines++;
    last_ctx = ctx;
    last_level = level;
    snprintf(last_line, sizeof(last_line), "%s", text);
    snprintf(last_component, sizeof(last_component), "%s", component);
}

Test(log, is_silent_until_somebody_listens)
{
    cr_assert(!fr_log_wanted(FR_LOG_ERROR));
    fr_log(FR_LOG_ERROR, "base", "nobody hears this");
    fr_set_log(keep, NULL, FR_LOG_DEBUG);
    cr_assert(fr_log_wanted(FR_LOG_DEBUG));
    fr_set_log(NULL, NULL, FR_LOG_DEBUG);
    cr_assert(!fr_log_wanted(FR_LOG_ERROR));
    fr_log(FR_LOG_ERROR, "base", "nor this");
    cr_assert_eq(lines, 0);
}

Test(log, a_line_arrives_with_all_that_belongs_to_it)
{
    int ctx;

    fr_set_log(keep, &ctx, FR_LOG_INFO);
    fr_log(FR_LOG_WARN, "io", "%s is %d %% full", "disk", 97);
    cr_assert_str_eq(last_line, "disk is 97 % full");
    cr_assert_str_eq(last_component, "io");
    cr_assert_eq(last_level, FR_LOG_WARN);
    cr_assert_eq(last_ctx, &ctx);
}

Test(log, levels_below_the_least_are_dropped)
{
    for (int least = FR_LOG_DEBUG; least <= FR_LOG_ERROR; least++) {
        fr_set_log(keep, NULL, (fr_log_level)least);
        for (int level = FR_LOG_DEBUG; level <= FR_LOG_ERROR; level++) {
            lines = 0;
            fr_log((fr_log_level)level, "base", "line");
            cr_assert_eq(lines, level >= least);
            cr_assert_eq(fr_log_wanted((fr_log_level)level), level >= least);
        }
    }
}

Test(log, a_long_line_is_cut)
{
    char text[3000];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    fr_set_log(keep, NULL, FR_LOG_DEBUG);
    fr_log(FR_LOG_INFO, "base", "%s", text);
    cr_assert_eq(strlen(last_line), 1023);
}

Test(log, levels_have_names)
{
    cr_assert_str_eq(fr_log_level_name(FR_LOG_DEBUG), "debug");
    cr_assert_str_eq(fr_log_level_name(FR_LOG_INFO), "info");
    cr_assert_str_eq(fr_log_level_name(FR_LOG_WARN), "warn");
    cr_assert_str_eq(fr_log_level_name(FR_LOG_ERROR), "error");
    cr_assert_str_eq(fr_log_level_name((fr_log_level)9), "unknown");
}

static void count_line(void *ctx, fr_log_level level, const char *component, const char *text)
{
    (void)ctx;
    (void)level;
    (void)component;
    if (strcmp(text, "line of a thread") == 0) lines++;
}

static void speak(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++)
        fr_log(FR_LOG_INFO, "base", "line of %s", "a thread");
}

Test(log, threads_may_speak_at_once)
{
    struct fr_thread threads[4];

    fr_set_log(count_line, NULL, FR_LOG_DEBUG);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(fr_thread_start(&threads[i], "speaker", speak, NULL), FR_OK);
    for (int i = 0; i < 4; i++)
        fr_thread_join(&threads[i]);
    cr_assert_eq(lines, 4000);
}
