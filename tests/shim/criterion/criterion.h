/*
 * criterion.h - as much of Criterion as our tests use, for ThreadSanitizer.
 *
 * Criterion shares an arena with its test processes at an address where ThreadSanitizer keeps its
 * shadow, and does not start. Under that sanitizer alone the tests are compiled with this header
 * and tests/shim/shim.c: the same claims, each in a fork of its own. A claim that needs more of
 * Criterion than is here adds it here.
 */
#ifndef FR_SHIM_CRITERION_H
#define FR_SHIM_CRITERION_H

/* As with the real one, what its macros do is not our code to warn about. */
#pragma GCC system_header

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct shim_test {
    const char *suite;
    const char *name;
    void (*run)(void);
    struct shim_test *next;

    /* What Test() takes. */
    int signal;
    int exit_code;
    bool disabled;
    double timeout; /* seconds; ignored, the runner above has one */
    void (*init)(void);
    void (*fini)(void);
};

void shim_add(struct shim_test *test);
__attribute__((noreturn, format(printf, 4, 5))) void shim_fail(const char *what, const char *file,
        int line, const char *format, ...);

#define Test(s, n, ...)                                                                            \
    static void s##_##n##_impl(void);                                                              \
    static struct shim_test s##_##n##_test = {                                                     \
            .suite = #s, .name = #n, .run = s##_##n##_impl, ##__VA_ARGS__};                        \
    __attribute__((constructor)) static void s##_##n##_add(void)                                   \
    {                                                                                              \
        shim_add(&s##_##n##_test);                                                                 \
    }                                                                                              \
    static void s##_##n##_impl(void)

/* The message is optional: its format is glued to an empty one. */
#define cr_assert(condition, ...)                                                                  \
    do {                                                                                           \
        if (!(condition)) shim_fail(#condition, __FILE__, __LINE__, "" __VA_ARGS__);               \
    } while (0)

#define cr_assert_not(condition, ...)      cr_assert(!(condition), ##__VA_ARGS__)
#define cr_assert_fail(...)                cr_assert(false, ##__VA_ARGS__)
#define cr_assert_eq(a, b, ...)            cr_assert((a) == (b), ##__VA_ARGS__)
#define cr_assert_neq(a, b, ...)           cr_assert((a) != (b), ##__VA_ARGS__)
#define cr_assert_lt(a, b, ...)            cr_assert((a) < (b), ##__VA_ARGS__)
#define cr_assert_leq(a, b, ...)           cr_assert((a) <= (b), ##__VA_ARGS__)
#define cr_assert_gt(a, b, ...)            cr_assert((a) > (b), ##__VA_ARGS__)
#define cr_assert_geq(a, b, ...)           cr_assert((a) >= (b), ##__VA_ARGS__)
#define cr_assert_null(a, ...)             cr_assert((a) == NULL, ##__VA_ARGS__)
#define cr_assert_not_null(a, ...)         cr_assert((a) != NULL, ##__VA_ARGS__)
#define cr_assert_str_eq(a, b, ...)        cr_assert(strcmp((a), (b)) == 0, ##__VA_ARGS__)
#define cr_assert_str_neq(a, b, ...)       cr_assert(strcmp((a), (b)) != 0, ##__VA_ARGS__)
#define cr_assert_str_empty(a, ...)        cr_assert((a)[0] == '\0', ##__VA_ARGS__)
#define cr_assert_str_not_empty(a, ...)    cr_assert((a)[0] != '\0', ##__VA_ARGS__)
#define cr_assert_arr_eq(a, b, size, ...)  cr_assert(memcmp((a), (b), (size)) == 0, ##__VA_ARGS__)
#define cr_assert_arr_neq(a, b, size, ...) cr_assert(memcmp((a), (b), (size)) != 0, ##__VA_ARGS__)

#endif
