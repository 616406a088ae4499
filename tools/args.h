/*
 * args.h - the command line of one verb: a table says what it takes, and is its help text too.
 *
 * "--name value", "--name=value", "-n value"; "--" ends the options. Words that are no options are
 * the verb's operands, in the order in which they stand.
 */
#ifndef FR_TOOLS_ARGS_H
#define FR_TOOLS_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the tool answers to its caller. */
enum fr_exit {
    FR_EXIT_FINE = 0,
    FR_EXIT_FINDINGS = 1,
    FR_EXIT_USAGE = 2,
    FR_EXIT_IO = 3,
    FR_EXIT_CORRUPT = 4,
    FR_EXIT_BUSY = 5,
};

enum fr_option_kind {
    FR_OPTION_FLAG,     /* bool */
    FR_OPTION_TEXT,     /* const char * */
    FR_OPTION_COUNT,    /* uint64_t, "1000" */
    FR_OPTION_SIZE,     /* uint64_t, "64 MiB" */
    FR_OPTION_DURATION, /* uint64_t of nanoseconds, "2 s" */
};

struct fr_option {
    const char *name;
    char letter; /* 0: none */
    enum fr_option_kind kind;
    const char *value_name; /* as the help calls it; NULL for a flag */
    const char *help;
    void *target; /* holds the default, is overwritten */
};

struct fr_args {
    const char *verb;
    const char *summary;       /* one line */
    const char *operand_names; /* as "DIR [FILE]" */
    size_t operands_least;
    size_t operands_most; /* SIZE_MAX: as many as there are */
    const struct fr_option *options;
    size_t option_count;

    /* Set by the parser. */
    char *const *operands; /* words of argv, which are moved to its front */
    size_t operand_count;
};

/* Complain in the verb's name as the parser does; yields FR_EXIT_USAGE. */
int fr_args_misuse(const char *verb, const char *what);

/*
 * Parse what follows the verb. true: go on. false: stop with *ret_exit, after a complaint on
 * standard error or after --help on standard output.
 */
bool fr_args_parse(struct fr_args *args, int argc, char **argv, int *ret_exit);

/* Print the thread's last error with the tool's name in front; yields the exit code that fits it.
 */
int fr_exit_failed(const char *verb);

#endif
