/* verb_version.c - which library this is, and what it found on this machine. */
#include <stdio.h>
#include <sys/utsname.h>

#include "base/cpu.h"
#include "base/crc32c.h"
#include "base/museum.h"
#include "base/thread.h"
#include "freshet/version.h"
#include "io/env.h"
#include "tools/args.h"
#include "tools/json.h"
#include "tools/verbs.h"

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

struct findings {
    struct utsname system;
    struct fr_env *env;
    struct fr_buf cpu; /* text with a terminating zero */
    const char *crc32c;
};

/* Variants come best last. */
static const char *best_crc32c(void)
{
    const struct fr_crc32c_variant *variant, *best = NULL;

    for (size_t i = 0; (variant = fr_crc32c_variants(i)) != NULL; i++)
        best = variant;
    return best == NULL ? "none" : best->name;
}

static fr_status look_around(struct findings *ret_findings)
{
    struct findings *f = ret_findings;
    fr_status st;

    uname(&f->system);
    f->crc32c = best_crc32c();
    fr_cpu_feature_names(fr_cpu_features(), &f->cpu);
    fr_buf_u8(&f->cpu, 0);
    FR_TRY(fr_buf_status(&f->cpu));
    FR_TRY(fr_env_open(NULL, &f->env));
out:
    return st;
}

static void print_words(const struct findings *f)
{
    printf("freshet   %s\n", fr_version());
    if (FR_MUSEUM_BUILD) printf("museum    exhibit %u: a bug on purpose\n", FR_MUSEUM_EXHIBIT);
    printf("compiler  %s\n", COMPILER);
    printf("system    %s %s, %s, %u processors\n", f->system.sysname, f->system.release,
            f->system.machine, fr_thread_cpu_count());
    printf("cpu       %s\n", (const char *)f->cpu.data);
    printf("crc32c    %s\n", f->crc32c);
    printf("i/o       %s (%s)\n", fr_env_kind_name(fr_env_kind(f->env)), fr_env_reason(f->env));
}

static fr_status print_json(const struct findings *f)
{
    struct fr_json json = FR_JSON_EMPTY;

    fr_json_begin_object(&json, NULL);
    fr_json_text(&json, "version", fr_version());
    if (FR_MUSEUM_BUILD) fr_json_u64(&json, "museum", FR_MUSEUM_EXHIBIT);
    fr_json_text(&json, "compiler", COMPILER);
    fr_json_text(&json, "system", f->system.sysname);
    fr_json_text(&json, "release", f->system.release);
    fr_json_text(&json, "machine", f->system.machine);
    fr_json_u64(&json, "processors", fr_thread_cpu_count());
    fr_json_text(&json, "cpu", (const char *)f->cpu.data);
    fr_json_text(&json, "crc32c", f->crc32c);
    fr_json_text(&json, "io", fr_env_kind_name(fr_env_kind(f->env)));
    fr_json_text(&json, "io_reason", fr_env_reason(f->env));
    fr_json_end_object(&json);
    return fr_json_print(&json);
}

int fr_verb_version(int argc, char **argv)
{
    bool verbose = false, as_json = false;
    const struct fr_option options[] = {
            {"verbose", 'v', FR_OPTION_FLAG, NULL, "also what was found on this machine", &verbose},
            {"json", 0, FR_OPTION_FLAG, NULL, "all of it as one JSON object", &as_json},
    };
    struct fr_args args = {.verb = "version",
            .summary = "Say which library this is and what it found on this machine.",
            .operand_names = "",
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    struct findings findings = {.cpu = FR_BUF_EMPTY};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    if (!verbose && !as_json) {
        printf("freshet %s\n", fr_version());
        if (FR_MUSEUM_BUILD)
            printf("with a bug on purpose: museum, exhibit %u\n", FR_MUSEUM_EXHIBIT);
        return FR_EXIT_FINE;
    }
    fr_status st = look_around(&findings);
    if (st == FR_OK && as_json)
        st = print_json(&findings);
    else if (st == FR_OK)
        print_words(&findings);
    if (st < 0) code = fr_exit_failed("version");
    fr_env_close(findings.env);
    fr_buf_deinit(&findings.cpu);
    return code;
}
