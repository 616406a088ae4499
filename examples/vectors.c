/*
 * vectors.c - the vector index in one page: put, search, delete, and what is there when it is
 * opened again.
 *
 *   vectors DIR
 *
 * C11, and C++20 as it stands.
 */
#include <freshet/freshet.h>
#include <stdio.h>
#include <stdlib.h>

#define DIM 4

static void check(fr_status st)
{
    if (st >= 0) return; /* FR_OK, or an answer like FR_NOT_FOUND */
    fprintf(stderr, "vectors: %s\n", fr_last_error());
    exit(1);
}

static void search(struct fr_index *index, const char *what, const float *query)
{
    struct fr_hit hits[3];
    size_t count;

    check(fr_index_search(index, NULL, query, 3, hits, &count));
    printf("%s:", what);
    for (size_t i = 0; i < count; i++)
        printf("  %llu at %.2f", (unsigned long long)hits[i].id, (double)hits[i].distance);
    printf("\n");
}

int main(int argc, char **argv)
{
    static const uint64_t ids[3] = {10, 20, 30};
    static const float vectors[3 * DIM] = {1, 0, 0, 0, 0, 1, 0, 0, 0.9F, 0.1F, 0, 0};
    static const struct fr_payload payloads[3] = {{"ten", 3}, {"twenty", 6}, {"thirty", 6}};
    static const float query[DIM] = {1, 0.1F, 0, 0};
    struct fr_index_options options;
    struct fr_pinned payload;
    struct fr_index *index;
    struct fr_db *db;
    float vector[DIM];

    if (argc != 2) {
        fprintf(stderr, "usage: vectors DIR\n");
        return 2;
    }
    check(fr_db_open(argv[1], NULL, &db));
    fr_index_options_init(&options);
    options.dimension = DIM;
    check(fr_index_open(db, "", &options, &index));

    check(fr_index_upsert(index, NULL, 3, ids, vectors, payloads)); /* on stable storage now */
    search(index, "nearest", query);
    check(fr_index_delete(index, NULL, 1, &ids[0], NULL));
    search(index, "without 10", query);

    fr_index_close(index);
    check(fr_db_close(db));

    check(fr_db_open(argv[1], NULL, &db));
    check(fr_index_open(db, "", NULL, &index));
    search(index, "opened again", query);
    check(fr_index_get(index, 30, vector, &payload));
    printf("the payload of 30: %.*s\n", (int)payload.size, (const char *)payload.data);
    fr_pinned_release(&payload);
    fr_index_close(index);
    check(fr_db_close(db));
    return 0;
}
