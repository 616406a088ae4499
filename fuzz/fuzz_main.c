/*
 * fuzz_main.c - a fuzz target without its engine: replays files as a test.
 *
 * Arguments are files, and folders whose files are taken in the order of their names, so that a
 * failure is where it was the last time. Says only how many there were. Exits 1 if a file cannot be
 * read, or if there is none: a test that tests nothing must not pass.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "fuzz/fuzz.h"

static bool read_file(const char *path, struct fr_buf *content)
{
    FILE *file = fopen(path, "rb");
    uint8_t chunk[4096];
    size_t size;

    if (file == NULL) return false;
    while ((size = fread(chunk, 1, sizeof(chunk), file)) > 0)
        fr_buf_append(content, chunk, size);
    bool whole = !ferror(file) && fr_buf_status(content) == FR_OK;
    fclose(file);
    return whole;
}

/* A copy of the exact size, so that a sanitizer sees a byte read too many. */
static bool replay_content(const struct fr_buf *content)
{
    uint8_t *copy = fr_alloc(content->size);

    if (copy == NULL) return false;
    if (content->size > 0) memcpy(copy, content->data, content->size);
    LLVMFuzzerTestOneInput(copy, content->size);
    fr_free(copy);
    return true;
}

static bool replay_file(const char *path)
{
    struct fr_buf content = FR_BUF_EMPTY;
    bool done = read_file(path, &content) && replay_content(&content);

    fr_buf_deinit(&content);
    if (!done) fprintf(stderr, "%s: cannot be read\n", path);
    return done;
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static bool replay_folder(const char *path, unsigned *count);

static bool replay(const char *path, unsigned *count)
{
    struct stat info;

    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return replay_folder(path, count);
    (*count)++;
    return replay_file(path);
}

static bool replay_folder(const char *path, unsigned *count)
{
    struct dirent **entries;
    char inside[4096];
    bool done = true;
    int found = scandir(path, &entries, visible, alphasort);

    if (found < 0) return false;
    for (int i = 0; i < found; i++) {
        snprintf(inside, sizeof(inside), "%s/%s", path, entries[i]->d_name);
        done &= replay(inside, count);
        (free)(entries[i]); /* the C library's: in brackets, the name is no macro */
    }
    (free)(entries);
    return done;
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    bool done = true;

    for (int i = 1; i < argc; i++)
        done &= replay(argv[i], &count);
    printf("%u inputs\n", count);
    return done && count > 0 ? 0 : 1;
}
