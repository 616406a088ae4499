/*
 * museum.h - bugs that other stores have had, as small wrong turns in our code: the bug museum.
 *
 * Each stands where that bug would live here, behind FR_MUSEUM(number). In an ordinary build this
 * is the constant false, and nothing is left of it. A build with -Dmuseum=N has the one bug; one
 * with -Dmuseum=all has all of them, and FRESHET_MUSEUM says at the start of a process which one is
 * at work, 0 being none. docs/museum.md tells what each of them is, and scripts/museum proves that
 * the project's own checks catch it. A build with bugs cannot be installed.
 */
#ifndef FR_BASE_MUSEUM_H
#define FR_BASE_MUSEUM_H

#include <stdbool.h>

#include "base/compiler.h"

#if defined(FR_MUSEUM_ALL)
extern unsigned fr_museum_shown; /* set before main() and never again */
#define FR_MUSEUM_EXHIBIT fr_museum_shown
#elif !defined(FR_MUSEUM_EXHIBIT)
#define FR_MUSEUM_EXHIBIT 0
#endif

/* Numbers begin at 1. */
#define FR_MUSEUM(number) FR_UNLIKELY(FR_MUSEUM_EXHIBIT == (number))

#if defined(FR_MUSEUM_ALL)
#define FR_MUSEUM_BUILD true
#else
#define FR_MUSEUM_BUILD (FR_MUSEUM_EXHIBIT != 0)
#endif

#endif
