#include "tools/args.h"

#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "base/status.h"
#include "tests/unit/tools/capture.h"

static bool flag;
static const char *text;
static uint64_t count, size_bytes, duration_ns;
static struct capture out, err;

static const struct fr_option options[] = {
        {"flag", 'f', FR_OPTION_FLAG, NULL, "a flag", &flag},
        {"text", 'x', FR_OPTION_TEXT, "TEXT", "some text", &text},
        {"count", 'c', FR_OPTION_COUNT, "N", "a count", &count},
        {"size", 's', FR_OPTION_SIZE, "SIZE", "a size", &size_bytes},
        {"time", 0, FR_OPTION_DURATION, "TIME", "a duration", &duration_ns},
};

static struct fr_args args = {.verb = "verb",
        .summary = "Does something.",
        .operand_names = "A [B]",
        .operands_least = 1,
        .operands_most = 2,
        .options = options,
        .option_count = FR_ARRAY_COUNT(options)};

/* Parse words up to a NULL. -1: go on; else the exit code. */
static int parse(const char *const *words)
{
    static char *argv[16]; /* operands point into it */
    int argc = 0, code = -1;

    for (; words[argc] != NULL; argc++)
        argv[argc] = fr_unconst(words[argc]);
    capture_begin(&out, stdout);
    capture_begin(&err, stderr);
    bool go_on = fr_args_parse(&args, argc, argv, &code);
    capture_end(&err);
    capture_end(&out);
    cr_assert_eq(go_on, code == -1, "an exit code goes with a stop, and only with one");
    return code;
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static void complains(int code, const char *words)
{
    cr_assert_eq(code, FR_EXIT_USAGE);
    cr_assert(strstr(err.text, words) != NULL, "\"%s\" is not in: %s", words, err.text);
    cr_assert(strncmp(err.text, "freshet verb: ", 14) == 0, "%s", err.text);
    cr_assert(strstr(err.text, "(try --help)\n") != NULL, "%s", err.text);
    cr_assert_str_eq(out.text, "");
}

Test(args, defaults_stay_where_no_option_is_given)
{
    count = 7, text = "default";
    cr_assert_eq(PARSE("a"), -1);
    cr_assert_not(flag);
    cr_assert_str_eq(text, "default");
    cr_assert_eq(count, 7);
    cr_assert_eq(args.operand_count, 1);
    cr_assert_str_eq(args.operands[0], "a");
}

Test(args, takes_every_kind_with_a_value_behind_it)
{
    cr_assert_eq(PARSE("--flag", "--text", "t", "--count", "12", "--size", "4 MiB", "--time",
                         "1.5 s", "a"),
            -1);
    cr_assert(flag);
    cr_assert_str_eq(text, "t");
    cr_assert_eq(count, 12);
    cr_assert_eq(size_bytes, 4u << 20);
    cr_assert_eq(duration_ns, 1500000000u);
}

Test(args, takes_every_kind_with_its_value_glued_on)
{
    cr_assert_eq(PARSE("--text=a=b", "--count=0", "--size=64k", "--time=20ms", "a"), -1);
    cr_assert_str_eq(text, "a=b", "only the first sign of equality is ours");
    cr_assert_eq(count, 0);
    cr_assert_eq(size_bytes, 65536);
    cr_assert_eq(duration_ns, 20000000u);
}

Test(args, takes_letters)
{
    cr_assert_eq(PARSE("-f", "-x", "t", "-c", "3", "-s", "1", "a"), -1);
    cr_assert(flag);
    cr_assert_str_eq(text, "t");
    cr_assert_eq(count, 3);
    cr_assert_eq(size_bytes, 1);
}

Test(args, options_may_stand_behind_operands)
{
    cr_assert_eq(PARSE("a", "-f", "b"), -1);
    cr_assert(flag);
    cr_assert_eq(args.operand_count, 2);
    cr_assert_str_eq(args.operands[1], "b");
}

Test(args, an_empty_glued_value_is_a_value)
{
    cr_assert_eq(PARSE("--text=", "a"), -1);
    cr_assert_str_eq(text, "");
    complains(PARSE("--count=", "a"), "a number is missing");
    complains(PARSE("--size=", "a"), "");
}

Test(args, a_value_may_look_like_an_option)
{
    cr_assert_eq(PARSE("--text", "--flag", "a"), -1);
    cr_assert_str_eq(text, "--flag");
    cr_assert_not(flag);
}

Test(args, two_dashes_end_the_options)
{
    cr_assert_eq(PARSE("--", "--flag", "--"), -1);
    cr_assert_not(flag);
    cr_assert_eq(args.operand_count, 2);
    cr_assert_str_eq(args.operands[0], "--flag");
    cr_assert_str_eq(args.operands[1], "--");
    cr_assert_eq(PARSE("--", "-h"), -1, "nor is help asked for behind them");
}

Test(args, a_lone_dash_and_an_empty_word_are_operands)
{
    cr_assert_eq(PARSE("-", ""), -1);
    cr_assert_str_eq(args.operands[0], "-");
    cr_assert_str_eq(args.operands[1], "");
}

Test(args, complains_about_unknown_options)
{
    static const char *const unknown[] = {
            "--what", "--fla", "--flags", "-q", "-ff", "-c5", "--=1", "---flag", "--what=1"};

    for (size_t i = 0; i < FR_ARRAY_COUNT(unknown); i++) {
        complains(PARSE(unknown[i], "a"), "unknown option ");
        cr_assert(strstr(err.text, unknown[i]) != NULL);
    }
}

Test(args, complains_about_a_missing_value)
{
    complains(PARSE("a", "--text"), "needs a value: --text");
    complains(PARSE("a", "-c"), "needs a value: -c");
}

Test(args, complains_about_a_flag_with_a_value)
{
    complains(PARSE("--flag=yes", "a"), "takes no value: --flag=yes");
    complains(PARSE("--flag=", "a"), "takes no value: ");
}

Test(args, complains_about_too_few_and_too_many_operands)
{
    complains(PARSE("-f"), "needs A [B]");
    complains(PARSE("a", "b", "c"), "did not expect c");
}

Test(args, counts_are_all_of_64_bits_and_nothing_else)
{
    static const char *const bad[] = {"18446744073709551616", "99999999999999999999999", "-1", "+1",
            " 1", "1 ", "0x10", "1e3", "one", "\xff"};

    cr_assert_eq(PARSE("-c", "18446744073709551615", "a"), -1);
    cr_assert_eq(count, UINT64_MAX);
    count = 5;
    for (size_t i = 0; i < FR_ARRAY_COUNT(bad); i++) {
        complains(PARSE("-c", bad[i], "a"), "is no number");
        cr_assert_eq(count, 5, "%s", bad[i]);
    }
}

Test(args, sizes_and_durations_that_make_no_sense_are_named)
{
    complains(PARSE("-s", "17 EiB", "a"), "17 EiB");
    complains(PARSE("-s", "4 apples", "a"), "4 apples");
    complains(PARSE("--time", "5", "a"), "5");
    complains(PARSE("--time", "1000000 d", "a"), "1000000 d");
}

Test(args, help_goes_to_standard_output_and_is_no_failure)
{
    static const char *const wishes[] = {"--help", "-h"};

    for (size_t i = 0; i < FR_ARRAY_COUNT(wishes); i++) {
        cr_assert_eq(PARSE(wishes[i]), FR_EXIT_FINE);
        cr_assert_str_eq(err.text, "");
        cr_assert_str_eq(out.text, "usage: freshet verb [options] A [B]\n"
                                   "\n"
                                   "Does something.\n"
                                   "\n"
                                   "options:\n"
                                   "  -f, --flag                 a flag\n"
                                   "  -x, --text TEXT            some text\n"
                                   "  -c, --count N              a count\n"
                                   "  -s, --size SIZE            a size\n"
                                   "      --time TIME            a duration\n"
                                   "  -h, --help                 show this text\n");
    }
}

Test(args, help_of_a_verb_without_operands_has_no_blank_at_the_end)
{
    args.operand_names = "";
    cr_assert_eq(PARSE("-h"), FR_EXIT_FINE);
    cr_assert(strncmp(out.text, "usage: freshet verb [options]\n", 30) == 0, "%s", out.text);
}

Test(args, a_number_below_zero_is_an_operand)
{
    cr_assert_eq(PARSE("-1", "-.5"), -1);
    cr_assert_str_eq(args.operands[0], "-1");
    cr_assert_str_eq(args.operands[1], "-.5");
}

Test(args, keeps_all_operands_if_there_is_no_limit)
{
    args.operands_most = SIZE_MAX;
    cr_assert_eq(PARSE("1", "2", "--flag", "3", "4", "5", "-c", "6", "7", "8", "9", "10"), -1);
    cr_assert_eq(args.operand_count, 9);
    cr_assert_str_eq(args.operands[2], "3");
    cr_assert_str_eq(args.operands[8], "10");
    cr_assert_eq(count, 6);
}

/* The exit code for a failure of this kind; its words are printed. */
static int exit_after(fr_status status)
{
    (void)!FR_FAIL(status, "the %s", "reason");
    capture_begin(&err, stderr);
    int code = fr_exit_failed("verb");
    capture_end(&err);
    cr_assert_str_eq(err.text, "freshet verb: the reason\n");
    return code;
}

Test(args, each_kind_of_failure_has_its_exit_code)
{
    cr_assert_eq(exit_after(FR_ERR_MISUSE), FR_EXIT_USAGE);
    cr_assert_eq(exit_after(FR_ERR_LIMIT), FR_EXIT_USAGE);
    cr_assert_eq(exit_after(FR_ERR_CORRUPT), FR_EXIT_CORRUPT);
    cr_assert_eq(exit_after(FR_ERR_TOO_NEW), FR_EXIT_CORRUPT);
    cr_assert_eq(exit_after(FR_ERR_FOREIGN), FR_EXIT_CORRUPT);
    cr_assert_eq(exit_after(FR_ERR_BUSY), FR_EXIT_BUSY);
    cr_assert_eq(exit_after(FR_ERR_IO), FR_EXIT_IO);
    cr_assert_eq(exit_after(FR_ERR_NOMEM), FR_EXIT_IO);
    cr_assert_eq(exit_after(FR_ERR_MISSING), FR_EXIT_IO);
    cr_assert_eq(exit_after(FR_ERR_POISONED), FR_EXIT_IO);
    cr_assert_eq(exit_after(FR_ERR_UNSUPPORTED), FR_EXIT_IO);
}

Test(args, a_failure_without_words_still_says_something)
{
    fr_error_clear();
    capture_begin(&err, stderr);
    cr_assert_eq(fr_exit_failed("verb"), FR_EXIT_IO);
    cr_assert_str_eq(capture_end(&err), "freshet verb: failed, and nobody said why\n");
}
