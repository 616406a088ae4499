/*
 * capture.h - what the code under test prints, as a string.
 *
 * The stream's descriptor is led into a file without a name while the capture is on, so that it
 * does not matter whether printf or write was used.
 */
#ifndef FR_TEST_CAPTURE_H
#define FR_TEST_CAPTURE_H

#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

struct capture {
    FILE *stream;
    FILE *file;
    int before; /* the stream's own descriptor, put away */
    char text[8192];
};

static inline void capture_begin(struct capture *capture, FILE *stream)
{
    capture->stream = stream;
    capture->file = tmpfile();
    cr_assert_not_null(capture->file);
    fflush(stream);
    capture->before = dup(fileno(stream));
    dup2(fileno(capture->file), fileno(stream));
}

/* Back to normal; the text stays valid until the next capture. */
static inline const char *capture_end(struct capture *capture)
{
    fflush(capture->stream);
    dup2(capture->before, fileno(capture->stream));
    close(capture->before);
    rewind(capture->file);
    size_t size = fread(capture->text, 1, sizeof(capture->text) - 1, capture->file);
    capture->text[size] = '\0';
    fclose(capture->file);
    return capture->text;
}

#endif
