/* shim.c - runs the tests of one executable, each in a fork; see criterion/criterion.h beside it.
 */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static struct shim_test *tests;

void shim_add(struct shim_test *test)
{
    test->next = tests;
    tests = test;
}

void shim_fail(const char *what, const char *file, int line, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s:%d: not so: %s: ", file, line, what);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    _exit(1);
}

/* Through exit(), so that the sanitizer gets its last word. */
static void run_here(const struct shim_test *test)
{
    if (test->init != NULL) test->init();
    test->run();
    if (test->fini != NULL) test->fini();
    exit(0);
}

static bool run(const struct shim_test *test)
{
    int status;
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0) run_here(test);
    if (child < 0 || waitpid(child, &status, 0) != child) return false;
    if (test->signal != 0) return WIFSIGNALED(status) && WTERMSIG(status) == test->signal;
    return WIFEXITED(status) && WEXITSTATUS(status) == test->exit_code;
}

int main(void)
{
    unsigned count = 0, failed = 0;

    for (const struct shim_test *test = tests; test != NULL; test = test->next) {
        if (test->disabled) continue;
        count++;
        if (run(test)) continue;
        failed++;
        printf("failed: %s: %s\n", test->suite, test->name);
    }
    printf("%u tests, %u failed\n", count, failed);
    return failed != 0;
}
