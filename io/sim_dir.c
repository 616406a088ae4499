/*
 * sim_dir.c - the names of a directory, as they are seen and as they are durable.
 *
 * Every change is applied to the visible names at once and lined up as an operation; the durable
 * names follow when the directory is synced. A directory's operations are kept or lost one by one,
 * under one rule: who touches a name needs all earlier operations on that name. Since a move
 * touches two names, chains form: create a, move a to b, drop b.
 */
#include <errno.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "io/sim_priv.h"

static const char *text_of(const struct fr_sim_blob *name)
{
    return (const char *)name->bytes;
}

/* Where the name is, or would be. */
static size_t find_place(const struct fr_sim_names *names, const char *name, bool *ret_found)
{
    size_t low = 0, high = names->count;

    *ret_found = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(text_of(names->entries[middle].name), name);

        if (order == 0) *ret_found = true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct fr_sim_inode *fr_sim_names_find(const struct fr_sim_names *names, const char *name)
{
    bool found;
    size_t place = find_place(names, name, &found);

    return found ? names->entries[place].inode : NULL;
}

int fr_sim_names_reserve(struct fr_sim_names *names, size_t count)
{
    if (count <= names->capacity) return 0;

    size_t capacity = FR_MAX(count, names->capacity * 2 + 4);
    struct fr_sim_entry *entries = fr_realloc(names->entries, capacity * sizeof(*entries));
    if (entries == NULL) return -ENOMEM;
    names->entries = entries;
    names->capacity = capacity;
    return 0;
}

void fr_sim_names_deinit(struct fr_sim_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        fr_sim_blob_unref(names->entries[i].name);
    fr_free(names->entries);
    *names = (struct fr_sim_names){0};
}

int fr_sim_names_copy(const struct fr_sim_names *names, struct fr_sim_names *ret_names)
{
    int rc = fr_sim_names_reserve(ret_names, names->count);

    if (rc != 0) return rc;
    for (size_t i = 0; i < names->count; i++) {
        struct fr_sim_entry *entry = &ret_names->entries[ret_names->count++];

        entry->name = fr_sim_blob_ref(names->entries[i].name);
        entry->inode = fr_sim_inode_ref(names->entries[i].inode->copy);
    }
    return 0;
}

static void drop_entry(struct fr_sim_disk *disk, struct fr_sim_names *names, const char *name)
{
    bool found;
    size_t place = find_place(names, name, &found);

    if (!found) return;
    struct fr_sim_entry gone = names->entries[place];
    names->count--;
    memmove(&names->entries[place], &names->entries[place + 1],
            (names->count - place) * sizeof(gone));
    fr_sim_blob_unref(gone.name);
    fr_sim_inode_unref(disk, gone.inode);
}

static void set_entry(struct fr_sim_disk *disk, struct fr_sim_names *names,
        struct fr_sim_blob *name, struct fr_sim_inode *inode)
{
    bool found;

    fr_sim_inode_ref(inode);
    drop_entry(disk, names, text_of(name));
    FR_ASSERT(names->count < names->capacity);
    size_t place = find_place(names, text_of(name), &found);
    memmove(&names->entries[place + 1], &names->entries[place],
            (names->count - place) * sizeof(names->entries[0]));
    names->entries[place] = (struct fr_sim_entry){.name = fr_sim_blob_ref(name), .inode = inode};
    names->count++;
}

void fr_sim_names_apply(struct fr_sim_disk *disk, struct fr_sim_names *names,
        const struct fr_sim_name_op *op)
{
    switch (op->kind) {
    case FR_SIM_NAME_SET:
        set_entry(disk, names, op->name, op->inode);
        break;
    case FR_SIM_NAME_DROP:
        drop_entry(disk, names, text_of(op->name));
        break;
    case FR_SIM_NAME_MOVE:
        set_entry(disk, names, op->to, op->inode);
        drop_entry(disk, names, text_of(op->name));
        break;
    }
}

static bool touches(const struct fr_sim_name_op *op, const struct fr_sim_blob *name)
{
    return name != NULL && (strcmp(text_of(op->name), text_of(name)) == 0 ||
                                   (op->to != NULL && strcmp(text_of(op->to), text_of(name)) == 0));
}

bool fr_sim_name_op_needs(const struct fr_sim_name_op *later, const struct fr_sim_name_op *earlier)
{
    return touches(earlier, later->name) || touches(earlier, later->to);
}

void fr_sim_name_op_free(struct fr_sim_name_op *op)
{
    if (op == NULL) return;
    fr_sim_blob_unref(op->name);
    fr_sim_blob_unref(op->to);
    fr_free(op);
}

static struct fr_sim_name_op *op_new(enum fr_sim_name_kind kind, const char *name, const char *to)
{
    struct fr_sim_name_op *op = FR_NEW(struct fr_sim_name_op);

    if (op == NULL) return NULL;
    op->kind = kind;
    op->name = fr_sim_blob_of_text(name);
    if (to != NULL) op->to = fr_sim_blob_of_text(to);
    if (op->name != NULL && (to == NULL || op->to != NULL)) return op;
    fr_sim_name_op_free(op);
    return NULL;
}

/* Apply to the visible names and line up. Whatever can fail comes first. */
static int commit_op(struct fr_sim_disk *disk, struct fr_sim_inode *dir, enum fr_sim_name_kind kind,
        const char *name, const char *to, struct fr_sim_inode *inode)
{
    if (fr_sim_names_reserve(&dir->live_names, dir->live_names.count + 1) != 0) return -ENOMEM;
    struct fr_sim_name_op *op = op_new(kind, name, to);
    if (op == NULL) return -ENOMEM;

    op->inode = fr_sim_inode_ref(inode);
    op->seq = disk->next_seq++;
    fr_sim_names_apply(disk, &dir->live_names, op);
    *dir->ops_end = op;
    dir->ops_end = &op->next;
    return 0;
}

int fr_sim_dir_set(struct fr_sim_disk *disk, struct fr_sim_inode *dir, const char *name,
        struct fr_sim_inode *inode)
{
    if (fr_sim_names_find(&dir->live_names, name) != NULL) return -EEXIST;
    int rc = commit_op(disk, dir, FR_SIM_NAME_SET, name, NULL, inode);
    if (rc == 0) inode->link_count++;
    return rc;
}

/* One name less for an inode that the caller holds. */
static void drop_link(struct fr_sim_disk *disk, struct fr_sim_inode *inode)
{
    FR_ASSERT(inode->link_count > 0);
    inode->link_count--;
    fr_sim_inode_unref(disk, inode);
}

int fr_sim_dir_drop(struct fr_sim_disk *disk, struct fr_sim_inode *dir, const char *name,
        bool want_dir)
{
    struct fr_sim_inode *inode = fr_sim_names_find(&dir->live_names, name);

    if (inode == NULL) return -ENOENT;
    if (inode->is_dir != want_dir) return want_dir ? -ENOTDIR : -EISDIR;
    if (inode->live_names.count > 0) return -ENOTEMPTY;
    fr_sim_inode_ref(inode);
    int rc = commit_op(disk, dir, FR_SIM_NAME_DROP, name, NULL, inode);
    if (rc != 0)
        fr_sim_inode_unref(disk, inode);
    else
        drop_link(disk, inode);
    return rc;
}

static int check_move(const struct fr_sim_inode *inode, const struct fr_sim_inode *target)
{
    if (target == NULL) return 0;
    if (target->is_dir && !inode->is_dir) return -EISDIR;
    if (!target->is_dir && inode->is_dir) return -ENOTDIR;
    return target->live_names.count > 0 ? -ENOTEMPTY : 0;
}

int fr_sim_dir_move(struct fr_sim_disk *disk, struct fr_sim_inode *dir, const char *from,
        const char *to)
{
    struct fr_sim_inode *inode = fr_sim_names_find(&dir->live_names, from);
    struct fr_sim_inode *target = fr_sim_names_find(&dir->live_names, to);

    if (inode == NULL) return -ENOENT;
    if (inode == target) return 0; /* POSIX: two names of one file both stay */
    int rc = check_move(inode, target);
    if (rc != 0) return rc;

    if (target != NULL) fr_sim_inode_ref(target);
    rc = commit_op(disk, dir, FR_SIM_NAME_MOVE, from, to, inode);
    if (target != NULL && rc == 0) drop_link(disk, target);
    if (target != NULL && rc != 0) fr_sim_inode_unref(disk, target);
    return rc;
}

/* Make durable what this operation stands on. */
static bool pull_needs(struct fr_sim_inode *dir, const struct fr_sim_name_op *later)
{
    bool pulled = false;

    for (struct fr_sim_name_op *op = dir->ops; op != later; op = op->next) {
        if (op->durable || !fr_sim_name_op_needs(later, op)) continue;
        op->durable = true;
        pulled = true;
    }
    return pulled;
}

/* A failed sync may have left behind what a later one needs; needs have needs, hence the rounds. */
static void close_up(struct fr_sim_inode *dir)
{
    bool pulled;

    do {
        pulled = false;
        for (const struct fr_sim_name_op *op = dir->ops; op != NULL; op = op->next)
            if (op->durable) pulled |= pull_needs(dir, op);
    } while (pulled);
}

/*
 * Move the durable operations at the head of the list into the durable names. What finds no memory
 * stays in the list, where it is as durable as it was.
 */
static void settle(struct fr_sim_disk *disk, struct fr_sim_inode *dir)
{
    while (dir->ops != NULL && dir->ops->durable) {
        struct fr_sim_name_op *op = dir->ops;

        if (fr_sim_names_reserve(&dir->durable_names, dir->durable_names.count + 1) != 0) return;
        fr_sim_names_apply(disk, &dir->durable_names, op);
        dir->ops = op->next;
        if (dir->ops == NULL) dir->ops_end = &dir->ops;
        fr_sim_inode_unref(disk, op->inode);
        fr_sim_name_op_free(op);
    }
}

void fr_sim_dir_sync(struct fr_sim_disk *disk, struct fr_sim_inode *dir)
{
    for (struct fr_sim_name_op *op = dir->ops; op != NULL; op = op->next)
        if (!op->stuck) op->durable = true;
    close_up(dir);
    settle(disk, dir);
}

struct fr_sim_inode *fr_sim_dir_walk(struct fr_sim_inode *dir, const char *path, int *ret_error)
{
    char name[FR_NAME_MAX + 1];

    *ret_error = 0;
    while (*ret_error == 0) {
        path += strspn(path, "/");
        size_t size = strcspn(path, "/");
        if (size == 0) return dir;
        if (size == 1 && path[0] == '.') {
            path++;
            continue;
        }
        if (!dir->is_dir)
            *ret_error = -ENOTDIR;
        else if (size > FR_NAME_MAX)
            *ret_error = -ENAMETOOLONG;
        else {
            memcpy(name, path, size);
            name[size] = '\0';
            path += size;
            dir = fr_sim_names_find(&dir->live_names, name);
            if (dir == NULL) *ret_error = -ENOENT;
        }
    }
    return NULL;
}
