#include "tools/certificate.h"

#include <string.h>

#include "base/alloc.h"
#include "crash/engine_subject.h"
#include "tests/unit/tools/capture.h"

static struct capture out;
static struct fr_ground ground;
static struct fr_certificate certificate;

static const struct fr_certify how = {.subject = &fr_crash_engine, .path = "disk", .seed = 42};

static const char *words(void)
{
    capture_begin(&out, stdout);
    fr_certificate_tell(&how, &ground, &certificate);
    return capture_end(&out);
}

static const char *json(void)
{
    capture_begin(&out, stdout);
    cr_assert_eq(fr_certificate_tell_json(&how, &ground, &certificate), FR_OK);
    return capture_end(&out);
}

static void must_have(const char *text, const char *part)
{
    cr_assert_not_null(strstr(text, part), "\"%s\" is not in:\n%s", part, text);
}

static void must_not_have(const char *text, const char *part)
{
    cr_assert_null(strstr(text, part), "\"%s\" is in:\n%s", part, text);
}

/* One part of each outcome but a failure. */
static void fill(void)
{
    memset(&certificate, 0, sizeof(certificate));
    certificate.parts[FR_CERTIFY_KILL].state = FR_CERTIFY_PASSED;
    certificate.parts[FR_CERTIFY_KILL].counters[FR_CERTIFY_KILLS] = 1234;
    certificate.parts[FR_CERTIFY_FULL].state = FR_CERTIFY_SKIPPED;
    strcpy(certificate.parts[FR_CERTIFY_FULL].words, "no root");
    fr_ground_find(".", &ground);
}

Test(certificate, tells_what_passed_and_why_something_was_skipped)
{
    fill();
    const char *text = words();
    must_have(text, "certificate  engine, on a real disk: passed\n");
    must_have(text, "directory    disk\n");
    must_have(text, "seed         42, ");
    must_have(text, "kill       processes killed at random, 0 ns: passed\n");
    must_have(text, "         1,234  of them killed\n");
    must_have(text, "\n           what FR_SYNC_OS and FR_SYNC_DEVICE acknowledged survives\n");
    must_have(text, "full       a file system that is full, 0 ns: skipped\n           no root\n");
    must_not_have(text, "syscall");
}

Test(certificate, one_finding_fails_all_of_it)
{
    fill();
    certificate.parts[FR_CERTIFY_LIMITS].state = FR_CERTIFY_FAILED;
    strcpy(certificate.parts[FR_CERTIFY_LIMITS].words, "a batch is gone");
    strcpy(certificate.kept, "disk/remains");
    const char *text = words();
    must_have(text, "certificate  engine, on a real disk: FAILED\n");
    must_have(text, ": FAILED\n           a batch is gone\n");
    must_have(text, "what is left  disk/remains\n");
    text = json();
    must_have(text, "\"verdict\":\"failed\"");
    must_have(text, "\"kept\":\"disk/remains\"");
    must_have(text, "{\"name\":\"limits\",\"state\":\"failed\",\"promise\":");
    must_have(text, "\"words\":\"a batch is gone\"");
}

Test(certificate, of_nothing_but_skipped_parts_does_not_pass)
{
    fill();
    certificate.parts[FR_CERTIFY_KILL].state = FR_CERTIFY_NOT_ASKED;
    must_have(words(), "certificate  engine, on a real disk: nothing tried\n");
    must_have(json(), "\"verdict\":\"nothing tried\"");
}

Test(certificate, says_each_part_and_each_figure_in_json)
{
    fill();
    const char *text = json();
    for (int i = 0; i < FR_CERTIFY_PARTS; i++)
        must_have(text, fr_certify_part_name((enum fr_certify_part)i));
    for (int i = 0; i < FR_CERTIFY_COUNTERS; i++)
        must_have(text, fr_certify_counter_key((enum fr_certify_counter)i));
    must_have(text, "\"state\":\"not asked for\"");
    must_have(text, "\"machine\":\"real\"");
}

Test(certificate, the_ground_of_a_file_system_in_memory_has_no_known_cache)
{
    fr_ground_find("/proc", &ground);
    cr_assert_str_eq(ground.cache, "unknown");
    cr_assert(ground.mount_known);
    cr_assert_str_eq(ground.mount.type, "proc");
    cr_assert_str_not_empty(ground.system.release);
}
