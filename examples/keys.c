/*
 * keys.c - the storage engine by itself in one page: batches, appends, a scan, a snapshot.
 *
 *   keys DIR
 *
 * C11, and C++20 as it stands.
 */
#include <freshet/freshet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(fr_status st)
{
    if (st >= 0) return; /* FR_OK, or an answer like FR_NOT_FOUND */
    fprintf(stderr, "keys: %s\n", fr_last_error());
    exit(1);
}

static void scan(struct fr_db *db, const struct fr_snapshot *snapshot)
{
    struct fr_read_options how = {
            .size = sizeof(how), .snapshot = snapshot, .prefix = "user/", .prefix_size = 5};
    struct fr_iterator *it;
    size_t key_size, value_size;
    fr_status st;

    check(fr_iterator_new(db, &how, &it));
    while ((st = fr_iterator_next(it)) == FR_OK) {
        const char *key = (const char *)fr_iterator_key(it, &key_size);
        const char *value = (const char *)fr_iterator_value(it, &value_size);

        printf("  %.*s = %.*s\n", (int)key_size, key, (int)value_size, value);
    }
    check(st);
    fr_iterator_free(it);
}

static void put(struct fr_batch *batch, const char *key, const char *value)
{
    check(fr_batch_put(batch, key, strlen(key), value, strlen(value)));
}

int main(int argc, char **argv)
{
    struct fr_snapshot *before;
    struct fr_batch *batch;
    struct fr_db *db;

    if (argc != 2) {
        fprintf(stderr, "usage: keys DIR\n");
        return 2;
    }
    check(fr_db_open(argv[1], NULL, &db));
    check(fr_batch_new(&batch));
    put(batch, "user/ada", "mathematics");
    put(batch, "user/grace", "compilers");
    check(fr_db_write(db, NULL, batch)); /* all or nothing, on stable storage */
    fr_batch_free(batch);

    check(fr_snapshot_new(db, &before));
    check(fr_db_append(db, NULL, "user/ada", 8, ", engines", 9)); /* reads nothing */
    check(fr_db_delete(db, NULL, "user/grace", 10));
    printf("now:\n");
    scan(db, NULL);
    printf("before:\n");
    scan(db, before);
    fr_snapshot_free(before);
    check(fr_db_close(db));
    return 0;
}
