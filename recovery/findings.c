#include "recovery/findings.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/lock_ranks.h"
#include "io/dir.h"
#include "wal/file_name.h"

struct fr_kept_finding {
    fr_finding_kind kind;
    fr_status status;
    uint64_t offset;
    size_t place; /* in the order in which they were added */
    char file[64];
    char words[FR_ERROR_TEXT_MAX];
};

void fr_findings_init(struct fr_findings *findings, struct fr_dir *dir)
{
    *findings = (struct fr_findings){.dir = dir};
    fr_mutex_init(&findings->mu, FR_RANK_LEAF);
}

void fr_findings_deinit(struct fr_findings *findings)
{
    fr_mutex_deinit(&findings->mu);
    fr_free(findings->kept);
}

fr_finding_kind fr_finding_kind_of(fr_status st)
{
    switch ((int)st) {
    case FR_ERR_MISSING:
        return FR_FINDING_MISSING;
    case FR_ERR_TOO_NEW:
        return FR_FINDING_TOO_NEW;
    case FR_ERR_FOREIGN:
        return FR_FINDING_DISAGREE;
    case FR_ERR_CORRUPT:
        return FR_FINDING_DAMAGE;
    default:
        return FR_FINDING_UNREADABLE;
    }
}

/* "DIR/000012.table: the block ..." -> "000012.table", if there is such a name in front. */
static void file_of(const struct fr_findings *f, const char *words, char file[64])
{
    const char *path = fr_dir_path(f->dir);
    size_t size = strlen(path);

    file[0] = '\0';
    if (strncmp(words, path, size) != 0 || words[size] != '/') return;
    size_t length = strcspn(words + size + 1, ":/ ");
    if (length == 0 || length >= 64) return;
    memcpy(file, words + size + 1, length);
    file[length] = '\0';
}

static struct fr_kept_finding *grow_locked(struct fr_findings *f)
{
    if (f->count == f->capacity) {
        size_t capacity = FR_MAX(f->capacity * 2, (size_t)16);
        void *grown = fr_realloc(f->kept, capacity * sizeof(*f->kept));
        if (grown == NULL) {
            f->no_memory = true;
            return NULL;
        }
        f->kept = grown;
        f->capacity = capacity;
    }
    return &f->kept[f->count++];
}

static void keep_locked(struct fr_findings *f, const struct fr_kept_finding *finding)
{
    struct fr_kept_finding *to = grow_locked(f);

    if (to == NULL) return;
    *to = *finding;
    to->place = f->count;
}

void fr_findings_add(struct fr_findings *f, fr_finding_kind kind, fr_status st, const char *name,
        uint64_t offset, unsigned *told)
{
    struct fr_kept_finding finding = {.kind = kind, .status = st, .offset = offset};
    bool is_told = told == NULL || ++*told <= FR_FINDINGS_TOLD_MAX;

    (void)snprintf(finding.words, sizeof(finding.words), "%s", fr_last_error());
    if (name != NULL)
        (void)snprintf(finding.file, sizeof(finding.file), "%s", name);
    else
        file_of(f, finding.words, finding.file);
    fr_mutex_lock(&f->mu);
    f->counted += kind < FR_FINDING_ORPHAN;
    f->untold += !is_told;
    if (is_told) keep_locked(f, &finding);
    fr_mutex_unlock(&f->mu);
}

void fr_findings_forget(struct fr_findings *f)
{
    fr_mutex_lock(&f->mu);
    f->count = 0;
    f->counted = f->untold = 0;
    f->no_memory = false;
    fr_mutex_unlock(&f->mu);
}

uint64_t fr_findings_print(struct fr_findings *f)
{
    uint64_t print = 0;

    fr_mutex_lock(&f->mu);
    for (size_t i = 0; i < f->count; i++)
        print = fr_hash_fold(print ^ FR_HASH_K1, fr_hash64(fr_slice_of_text(f->kept[i].words))) | 1;
    fr_mutex_unlock(&f->mu);
    return print;
}

static int compare_files(const void *a, const void *b)
{
    const struct fr_kept_finding *left = a, *right = b;
    int order = strcmp(left->file, right->file);

    if (order != 0) return order;
    return left->place < right->place ? -1 : left->place > right->place;
}

void fr_findings_sort(struct fr_findings *f)
{
    fr_mutex_lock(&f->mu);
    if (f->count > 1) qsort(f->kept, f->count, sizeof(*f->kept), compare_files);
    fr_mutex_unlock(&f->mu);
}

static bool tell_one(const struct fr_kept_finding *kept, const struct fr_verify_options *how)
{
    const struct fr_finding finding = {.size = sizeof(finding),
            .kind = kept->kind,
            .status = kept->status,
            .file = kept->file,
            .offset = kept->offset,
            .words = kept->words};

    return how->finding == NULL || how->finding(how->ctx, &finding);
}

/* The hook is the caller's, and may do anything: no lock is held. */
fr_status fr_findings_tell(struct fr_findings *f, const struct fr_verify_options *how)
{
    fr_mutex_lock(&f->mu);
    struct fr_kept_finding *kept = FR_TAKE(f->kept);
    size_t count = f->count;
    bool no_memory = f->no_memory;
    f->count = f->capacity = 0;
    fr_mutex_unlock(&f->mu);
    bool goes_on = true;
    for (size_t i = 0; i < count && goes_on; i++)
        goes_on = tell_one(&kept[i], how);
    fr_free(kept);
    if (!goes_on) return FR_FAIL(FR_ERR_CANCELLED, "given up by who is told of findings");
    return no_memory ? FR_FAIL(FR_ERR_NOMEM, "no memory for all that was found") : FR_OK;
}
