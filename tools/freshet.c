/* freshet.c - freshet(1): finds the verb and makes sure that what it printed has arrived. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "tools/args.h"
#include "tools/verbs.h"

struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
};

static const struct verb verbs[] = {
        {"backup", fr_verb_backup, "add to an incremental backup of a store, or look at one"},
        {"bench", fr_verb_bench, "measure what a store does on this machine"},
        {"checkpoint", fr_verb_checkpoint, "make a store with all that another one holds now"},
        {"compact", fr_verb_compact, "rewrite the tables of a range of keys into the last level"},
        {"crash", fr_verb_crash, "try to break a store, on simulated machines or on a real disk"},
        {"create", fr_verb_create, "make a store, or an index in one"},
        {"delete", fr_verb_delete, "delete keys, a range of them, or vectors"},
        {"dump", fr_verb_dump, "print what is in the files of a store, past damage"},
        {"explain", fr_verb_explain, "say what a search did, and why an id is not among its hits"},
        {"export", fr_verb_export, "write the vectors of an index to a file"},
        {"get", fr_verb_get, "print the values of keys, or vectors"},
        {"import", fr_verb_import, "put the vectors of a file into an index"},
        {"iotest", fr_verb_iotest, "measure what reads, writes and syncs cost in a directory"},
        {"ls", fr_verb_ls, "list the files of a store"},
        {"put", fr_verb_put, "put a value under a key"},
        {"rebuild", fr_verb_rebuild, "build what finds the vectors of an index anew"},
        {"repair", fr_verb_repair, "save what can be read of a damaged store"},
        {"restore", fr_verb_restore, "make a store out of a backup"},
        {"scan", fr_verb_scan, "print keys and values in order"},
        {"search", fr_verb_search, "print the nearest vectors"},
        {"stat", fr_verb_stat, "say what a store holds"},
        {"top", fr_verb_top, "say where a store has most to do: levels, tables, postings"},
        {"verify", fr_verb_verify, "see whether all that a store says of itself holds"},
        {"version", fr_verb_version, "say which library this is and what it found on this machine"},
};

static void print_usage(FILE *to)
{
    fprintf(to, "usage: freshet VERB [options] [operands]\n\nverbs:\n");
    for (size_t i = 0; i < FR_ARRAY_COUNT(verbs); i++)
        fprintf(to, "  %-10s %s\n", verbs[i].name, verbs[i].summary);
    fprintf(to, "\n\"freshet VERB --help\" tells more about one of them.\n");
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < FR_ARRAY_COUNT(verbs); i++)
        if (strcmp(verbs[i].name, name) == 0) return &verbs[i];
    return NULL;
}

/* A reader that has gone, like head, has what it wanted. */
static bool reader_has_gone(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO, .events = POLLOUT};

    return poll(&output, 1, 0) == 1 && (output.revents & POLLERR) != 0;
}

/* Data that did not arrive is a failure, also if the disk was only full for the shell's
 * redirection. */
static int after_output(int code)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    if (reader_has_gone()) return code;
    /* The error may be of an earlier write, whose number is forgotten. */
    fprintf(stderr, "freshet: standard output: %s\n",
            errno == 0 ? "some of it could not be written" : strerror(errno));
    return code == FR_EXIT_FINE ? FR_EXIT_IO : code;
}

/* "help VERB" is "VERB --help". */
static int help(int argc, char **argv)
{
    const struct verb *verb = argc > 2 ? find_verb(argv[2]) : NULL;
    char option[] = "--help", *only[] = {option};

    if (verb != NULL) return verb->run(1, only);
    if (argc > 2) return -1;
    print_usage(stdout);
    return FR_EXIT_FINE;
}

static int misuse(const char *name)
{
    if (name != NULL) fprintf(stderr, "freshet: unknown verb %.40s\n\n", name);
    print_usage(stderr);
    return FR_EXIT_USAGE;
}

static bool is_help(const char *name)
{
    return strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0;
}

int main(int argc, char **argv)
{
    const char *name = argc < 2 ? "" : argv[1];

    /* A reader that goes away must not end a verb before it has tidied up. */
    signal(SIGPIPE, SIG_IGN);
    if (is_help(name)) {
        int code = help(argc, argv);
        return code < 0 ? misuse(argv[2]) : after_output(code);
    }
    if (strcmp(name, "--version") == 0) name = "version";
    const struct verb *verb = find_verb(name);
    if (verb == NULL) return misuse(argc > 1 ? name : NULL);
    return after_output(verb->run(argc - 2, argv + 2));
}
