#include "tests/unit/lsm/test_case.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

#include "lsm/place.h"

enum section { OPTIONS, RANGES, SOURCE, EXPECT, KEEP };

static void case_deinit(struct test_case *c)
{
    for (size_t i = 0; i < c->source_count; i++)
        test_entries_deinit(&c->sources[i]);
    fr_range_set_unref(c->set);
    fr_buf_deinit(&c->expect);
    fr_buf_deinit(&c->keep);
}

/* Keys of ranges are single letters, so that they can live in a table. */
static fr_slice letter(char of)
{
    static char letters[256];

    letters[(uint8_t)of] = of;
    return fr_slice_of(&letters[(uint8_t)of], 1);
}

static void parse_range(struct test_case *c, const char *line)
{
    cr_assert(c->range_count < FR_ARRAY_COUNT(c->ranges));
    c->ranges[c->range_count++] = (struct fr_range){
            .start = letter(line[0]), .end = letter(line[3]), .seq = strtoull(line + 5, NULL, 10)};
}

static void parse_bound(char *to, const char *word)
{
    snprintf(to, 16, "%s", strcmp(word, "-") == 0 ? "" : word);
}

static enum section parse_head(struct test_case *c, const char *line)
{
    char words[4][16] = {"", "", "", ""};
    int count = sscanf(line, "%15s %15s %15s %15s", words[0], words[1], words[2], words[3]);
    const char *head = words[0];

    if (strcmp(head, "expect") == 0) return EXPECT;
    if (strcmp(head, "keep") == 0) return KEEP;
    if (strcmp(head, "ranges") == 0) return RANGES;
    if (strcmp(head, "source") == 0) {
        cr_assert(c->source_count < TEST_SOURCES_MAX);
        c->seq_max[c->source_count++] =
                count > 1 ? strtoull(words[1] + strlen("max="), NULL, 10) : FR_SEQ_MAX;
        return SOURCE;
    }
    if (strcmp(head, "at") == 0)
        c->at = strtoull(words[1], NULL, 10);
    else if (strcmp(head, "now") == 0)
        c->now_us = strtoull(words[1], NULL, 10);
    else if (strcmp(head, "bottommost") == 0)
        c->bottommost = true;
    else if (strcmp(head, "nofetch") == 0)
        c->nofetch = true;
    else if (strcmp(head, "prefix") == 0)
        parse_bound(c->prefix, words[1]);
    else if (strcmp(head, "snapshots") == 0) {
        for (int i = 1; i < count; i++)
            c->snapshots[c->snapshot_count++] = strtoull(words[i], NULL, 10);
    } else if (strcmp(head, "bounds") == 0) {
        parse_bound(c->lower, words[1]);
        parse_bound(c->upper, words[2]);
    } else
        cr_assert(false, "no such line: %s", line);
    return OPTIONS;
}

static void parse_body(struct test_case *c, enum section section, const char *line)
{
    switch (section) {
    case RANGES:
        parse_range(c, line);
        break;
    case SOURCE:
        test_entries_parse(&c->sources[c->source_count - 1], line);
        break;
    case EXPECT:
        fr_buf_printf(&c->expect, "%s\n", line);
        break;
    case KEEP:
        fr_buf_printf(&c->keep, "%s\n", line);
        break;
    default:
        cr_assert(false, "a line without a section: %s", line);
    }
}

static void run_case(struct test_case *c, void (*run)(const struct test_case *c))
{
    if (c->name[0] == 0) return;
    cr_assert_eq(fr_range_set_build(c->ranges, c->range_count, &c->set), FR_OK);
    run(c);
    case_deinit(c);
}

void test_cases_run(const char *file, void (*run)(const struct test_case *c))
{
    struct test_case c = {0};
    enum section section = OPTIONS;
    char path[512], line[256];

    snprintf(path, sizeof(path), "%s/%s", TEST_DATA, file);
    FILE *in = fopen(path, "r");
    cr_assert_not_null(in, "%s", path);
    while (fgets(line, sizeof(line), in) != NULL) {
        line[strcspn(line, "\n")] = 0;
        if (line[0] == 0 || line[0] == '#') continue;
        if (strncmp(line, "case ", 5) == 0) {
            run_case(&c, run);
            c = (struct test_case){.at = FR_SEQ_MAX};
            snprintf(c.name, sizeof(c.name), "%s", line + 5);
            section = OPTIONS;
        } else if (line[0] == ' ') {
            parse_body(&c, section, line + strspn(line, " "));
        } else {
            section = parse_head(&c, line);
        }
    }
    run_case(&c, run);
    fclose(in);
}

void test_case_open(const struct test_case *c, struct fr_merge_source *ret_sources)
{
    for (size_t i = 0; i < c->source_count; i++)
        ret_sources[i] = (struct fr_merge_source){
                .it = test_iter_new(&c->sources[i]), .seq_max = c->seq_max[i]};
}

fr_status test_case_fetch(void *ctx, const struct fr_entry *entry, struct fr_buf *to)
{
    struct fr_place place = {0};

    (void)ctx;
    cr_assert(fr_place_get(entry->value, &place));
    fr_buf_printf(to, "v%" PRIu64 "%.*s", place.offset, (int)entry->key.size,
            (const char *)entry->key.data);
    return fr_buf_status(to);
}

void test_case_check(const struct test_case *c, const struct fr_buf *expect, struct fr_buf *found)
{
    cr_assert(fr_slice_equal(fr_buf_slice(expect), fr_buf_slice(found)),
            "%s: expected\n%.*sfound\n%.*s", c->name, (int)expect->size, (const char *)expect->data,
            (int)found->size, (const char *)found->data);
    fr_buf_clear(found);
}
