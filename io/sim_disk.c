/*
 * sim_disk.c - inodes: what is seen, what is durable, and the effects between the two.
 *
 * The durable bytes plus all effects in their order make the live bytes; that is the invariant, and
 * the list is all that a power loss has to play with. A sync marks effects durable and settles
 * those at the head of the list: they become durable bytes. An effect that is durable behind one
 * that is not waits in the list, because the earlier one, if it is kept, lies below it.
 *
 *     durable bytes   [ W1 pending ][ W2 durable ][ W3 pending ]   ->   live bytes
 */
#include <errno.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "io/sim_priv.h"

/* --- Effects --------------------------------------------------------------------------------- */

static void effect_free(struct fr_sim_effect *effect)
{
    if (effect == NULL) return;
    fr_sim_blob_unref(effect->blob);
    fr_free(effect);
}

static struct fr_sim_effect *effect_new(enum fr_sim_effect_kind kind, uint64_t offset,
        uint64_t size)
{
    struct fr_sim_effect *effect = FR_NEW(struct fr_sim_effect);

    if (effect == NULL) return NULL;
    effect->kind = kind;
    effect->offset = offset;
    effect->size = size;
    return effect;
}

static void append_effect(struct fr_sim_disk *disk, struct fr_sim_inode *inode,
        struct fr_sim_effect *effect)
{
    effect->seq = disk->next_seq++;
    *inode->effects_end = effect;
    inode->effects_end = &effect->next;
}

static void pop_effect(struct fr_sim_inode *inode)
{
    struct fr_sim_effect *effect = inode->effects;

    inode->effects = effect->next;
    if (inode->effects == NULL) inode->effects_end = &inode->effects;
    effect_free(effect);
}

size_t fr_sim_effect_sectors(const struct fr_sim_effect *effect)
{
    if (effect->kind != FR_SIM_EFFECT_WRITE) return 1;
    uint64_t first = effect->offset / FR_SIM_SECTOR_SIZE;
    uint64_t last = (effect->offset + effect->size - 1) / FR_SIM_SECTOR_SIZE;
    return (size_t)(last - first + 1);
}

struct fr_sim_span fr_sim_effect_sector(const struct fr_sim_effect *effect, size_t index)
{
    uint64_t sector = effect->offset / FR_SIM_SECTOR_SIZE + index;
    uint64_t from = FR_MAX(sector * FR_SIM_SECTOR_SIZE, effect->offset);
    uint64_t to = FR_MIN((sector + 1) * FR_SIM_SECTOR_SIZE, effect->offset + effect->size);

    FR_ASSERT(from < to);
    return (struct fr_sim_span){
            .offset = from, .at = (size_t)(from - effect->offset), .size = (size_t)(to - from)};
}

/* --- Inodes ---------------------------------------------------------------------------------- */

struct fr_sim_inode *fr_sim_inode_new(struct fr_sim_disk *disk, bool is_dir)
{
    struct fr_sim_inode *inode = FR_NEW(struct fr_sim_inode);

    if (inode == NULL) return NULL;
    inode->id = disk->next_inode++;
    inode->is_dir = is_dir;
    inode->refs = 1;
    inode->effects_end = &inode->effects;
    inode->ops_end = &inode->ops;
    inode->next = disk->inodes;
    if (disk->inodes != NULL) disk->inodes->prev = inode;
    disk->inodes = inode;
    return inode;
}

struct fr_sim_inode *fr_sim_inode_ref(struct fr_sim_inode *inode)
{
    inode->refs++;
    return inode;
}

static void unlink_inode(struct fr_sim_disk *disk, struct fr_sim_inode *inode)
{
    if (inode->prev != NULL)
        inode->prev->next = inode->next;
    else
        disk->inodes = inode->next;
    if (inode->next != NULL) inode->next->prev = inode->prev;
}

static void free_ops(struct fr_sim_inode *inode)
{
    while (inode->ops != NULL) {
        struct fr_sim_name_op *op = inode->ops;

        inode->ops = op->next;
        fr_sim_name_op_free(op);
    }
}

static void free_inode(struct fr_sim_inode *inode)
{
    while (inode->effects != NULL)
        pop_effect(inode);
    free_ops(inode);
    fr_sim_bytes_deinit(&inode->live);
    fr_sim_bytes_deinit(&inode->durable);
    fr_sim_names_deinit(&inode->live_names);
    fr_sim_names_deinit(&inode->durable_names);
    fr_free(inode);
}

static void unref_names(struct fr_sim_disk *disk, struct fr_sim_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        fr_sim_inode_unref(disk, names->entries[i].inode);
}

void fr_sim_inode_unref(struct fr_sim_disk *disk, struct fr_sim_inode *inode)
{
    FR_ASSERT(inode->refs > 0);
    if (--inode->refs > 0) return;
    unref_names(disk, &inode->live_names);
    unref_names(disk, &inode->durable_names);
    for (struct fr_sim_name_op *op = inode->ops; op != NULL; op = op->next)
        fr_sim_inode_unref(disk, op->inode);
    unlink_inode(disk, inode);
    free_inode(inode);
}

void fr_sim_inode_open(struct fr_sim_inode *inode)
{
    inode->refs++;
    inode->open_count++;
}

void fr_sim_inode_close(struct fr_sim_disk *disk, struct fr_sim_inode *inode)
{
    FR_ASSERT(inode->open_count > 0);
    inode->open_count--;
    fr_sim_inode_unref(disk, inode);
}

/* --- Changes --------------------------------------------------------------------------------- */

/* Space counts while somebody can see it; how soon a real file system frees it is its own affair.
 */
uint64_t fr_sim_disk_used_pages(const struct fr_sim_disk *disk)
{
    uint64_t used = 0;

    for (const struct fr_sim_inode *inode = disk->inodes; inode != NULL; inode = inode->next)
        if (inode->link_count + inode->open_count > 0) used += fr_sim_bytes_held(&inode->live);
    return used;
}

/* The part of a write for which there is room. */
static size_t fit(const struct fr_sim_disk *disk, const struct fr_sim_inode *inode, uint64_t offset,
        size_t size)
{
    if (disk->capacity_pages == 0) return size;

    uint64_t used = fr_sim_disk_used_pages(disk);
    uint64_t room = disk->capacity_pages - FR_MIN(used, disk->capacity_pages);
    if (fr_sim_bytes_missing(&inode->live, offset, size) <= room) return size;

    uint64_t end = offset;
    for (uint64_t next; end < offset + size; end = next) {
        next = FR_MIN((end / FR_SIM_PAGE_SIZE + 1) * FR_SIM_PAGE_SIZE, offset + size);
        if (fr_sim_bytes_missing(&inode->live, offset, next - offset) > room) break;
    }
    return (size_t)(end - offset);
}

int64_t fr_sim_inode_write(struct fr_sim_disk *disk, struct fr_sim_inode *inode, uint64_t offset,
        const void *data, size_t size)
{
    if (size == 0) return 0;
    if (offset > FR_SIM_FILE_MAX || size > FR_SIM_FILE_MAX - offset) return -EFBIG;
    size = fit(disk, inode, offset, size);
    if (size == 0) return -ENOSPC;

    struct fr_sim_effect *effect = effect_new(FR_SIM_EFFECT_WRITE, offset, size);
    if (effect == NULL) return -ENOMEM;
    effect->blob = fr_sim_blob_new(data, size);
    if (effect->blob == NULL || fr_sim_bytes_write(&inode->live, offset, data, size) != 0) {
        effect_free(effect);
        return -ENOMEM;
    }
    effect->grows = offset + size > inode->live.size;
    if (effect->grows) inode->live.size = offset + size;
    append_effect(disk, inode, effect);
    return (int64_t)size;
}

int fr_sim_inode_add_write(struct fr_sim_disk *disk, struct fr_sim_inode *inode, uint64_t offset,
        struct fr_sim_blob *blob, size_t size)
{
    struct fr_sim_effect *effect = effect_new(FR_SIM_EFFECT_WRITE, offset, size);

    if (effect == NULL) return -ENOMEM;
    effect->blob = fr_sim_blob_ref(blob);
    effect->grows = offset + size > inode->live.size;
    append_effect(disk, inode, effect);
    return 0;
}

int fr_sim_inode_truncate(struct fr_sim_disk *disk, struct fr_sim_inode *inode, uint64_t size)
{
    if (size > FR_SIM_FILE_MAX) return -EFBIG;
    if (size == inode->live.size) return 0;

    struct fr_sim_effect *effect = effect_new(FR_SIM_EFFECT_TRUNCATE, 0, size);
    if (effect == NULL) return -ENOMEM;
    if (fr_sim_bytes_cut(&inode->live, size) != 0) {
        effect_free(effect);
        return -ENOMEM;
    }
    append_effect(disk, inode, effect);
    return 0;
}

int fr_sim_inode_punch(struct fr_sim_disk *disk, struct fr_sim_inode *inode, uint64_t offset,
        uint64_t size)
{
    if (size == 0) return -EINVAL;
    if (offset >= inode->live.size) return 0;
    size = FR_MIN(size, inode->live.size - offset);

    struct fr_sim_effect *effect = effect_new(FR_SIM_EFFECT_PUNCH, offset, size);
    if (effect == NULL) return -ENOMEM;
    if (fr_sim_bytes_zero(&inode->live, offset, size) != 0) {
        effect_free(effect);
        return -ENOMEM;
    }
    append_effect(disk, inode, effect);
    return 0;
}

/* --- Durability ------------------------------------------------------------------------------ */

int fr_sim_effect_apply(const struct fr_sim_effect *effect, struct fr_sim_bytes *bytes)
{
    int rc;

    switch (effect->kind) {
    case FR_SIM_EFFECT_TRUNCATE:
        return fr_sim_bytes_cut(bytes, effect->size);
    case FR_SIM_EFFECT_PUNCH:
        return fr_sim_bytes_zero(bytes, effect->offset, effect->size);
    default:
        rc = fr_sim_bytes_write(bytes, effect->offset, effect->blob->bytes, (size_t)effect->size);
        if (rc == 0) bytes->size = FR_MAX(bytes->size, effect->offset + effect->size);
        return rc;
    }
}

/* Settle the head of the list. What finds no memory stays there, as durable as it was. */
static void settle(struct fr_sim_inode *inode)
{
    while (inode->effects != NULL && inode->effects->durable &&
            fr_sim_effect_apply(inode->effects, &inode->durable) == 0)
        pop_effect(inode);
}

/* Nothing is pending any more, so the durable pages can be the live ones: no page is copied. */
static void settle_all(struct fr_sim_inode *inode)
{
    bool cut = false;
    int rc = 0;

    for (const struct fr_sim_effect *e = inode->effects; e != NULL; e = e->next)
        cut |= e->kind == FR_SIM_EFFECT_TRUNCATE;
    if (cut) {
        fr_sim_bytes_deinit(&inode->durable);
        inode->durable = fr_sim_bytes_share(&inode->live);
    }
    for (const struct fr_sim_effect *e = inode->effects; !cut && rc == 0 && e != NULL; e = e->next)
        rc = fr_sim_bytes_adopt(&inode->durable, &inode->live, e->offset, e->size);
    if (rc != 0) return;
    inode->durable.size = inode->live.size;
    while (inode->effects != NULL)
        pop_effect(inode);
}

static bool all_durable(const struct fr_sim_inode *inode)
{
    for (const struct fr_sim_effect *e = inode->effects; e != NULL; e = e->next)
        if (!e->durable) return false;
    return true;
}

void fr_sim_inode_sync_last(struct fr_sim_inode *inode)
{
    FR_ASSERT(inode->effects != NULL);
    FR_CONTAINER_OF(inode->effects_end, struct fr_sim_effect, next)->durable = true;
    if (all_durable(inode))
        settle_all(inode);
    else
        settle(inode);
}

void fr_sim_inode_sync(struct fr_sim_inode *inode, uint64_t before_seq)
{
    for (struct fr_sim_effect *effect = inode->effects; effect != NULL; effect = effect->next)
        if (!effect->stuck && effect->seq < before_seq) effect->durable = true;
    if (all_durable(inode))
        settle_all(inode);
    else
        settle(inode);
}

void fr_sim_inode_lose(struct fr_sim_inode *inode)
{
    for (struct fr_sim_effect *effect = inode->effects; effect != NULL; effect = effect->next)
        if (!effect->durable) effect->stuck = true;
    for (struct fr_sim_name_op *op = inode->ops; op != NULL; op = op->next)
        if (!op->durable) op->stuck = true;
}

/* --- The disk -------------------------------------------------------------------------------- */

int fr_sim_disk_init(struct fr_sim_disk *disk, uint64_t capacity_pages)
{
    *disk = (struct fr_sim_disk){.next_inode = 2, .next_seq = 1, .capacity_pages = capacity_pages};
    disk->root = fr_sim_inode_new(disk, true);
    if (disk->root == NULL) return -ENOMEM;
    disk->root->link_count = 1;
    return 0;
}

void fr_sim_disk_deinit(struct fr_sim_disk *disk)
{
    while (disk->inodes != NULL) {
        struct fr_sim_inode *inode = disk->inodes;

        disk->inodes = inode->next;
        free_inode(inode);
    }
    *disk = (struct fr_sim_disk){0};
}

static int copy_effects(const struct fr_sim_inode *from, struct fr_sim_inode *to)
{
    for (const struct fr_sim_effect *e = from->effects; e != NULL; e = e->next) {
        struct fr_sim_effect *effect = effect_new(e->kind, e->offset, e->size);

        if (effect == NULL) return -ENOMEM;
        *effect = *e;
        effect->next = NULL;
        fr_sim_blob_ref(effect->blob);
        *to->effects_end = effect;
        to->effects_end = &effect->next;
    }
    return 0;
}

static int copy_ops(const struct fr_sim_inode *from, struct fr_sim_inode *to)
{
    for (const struct fr_sim_name_op *o = from->ops; o != NULL; o = o->next) {
        struct fr_sim_name_op *op = FR_NEW(struct fr_sim_name_op);

        if (op == NULL) return -ENOMEM;
        *op = *o;
        op->next = NULL;
        fr_sim_blob_ref(op->name);
        fr_sim_blob_ref(op->to);
        op->inode = fr_sim_inode_ref(o->inode->copy);
        *to->ops_end = op;
        to->ops_end = &op->next;
    }
    return 0;
}

/* The inode itself; what leads to others follows when all have a copy. */
static int copy_inode(struct fr_sim_inode *from, struct fr_sim_disk *disk)
{
    struct fr_sim_inode *to = fr_sim_inode_new(disk, from->is_dir);

    if (to == NULL) return -ENOMEM;
    from->copy = to;
    to->id = from->id;
    to->refs = 0;
    to->link_count = from->link_count;
    to->modified_us = from->modified_us;
    to->late_error = from->late_error;
    to->live = fr_sim_bytes_share(&from->live);
    to->durable = fr_sim_bytes_share(&from->durable);
    return copy_effects(from, to);
}

static int copy_names(const struct fr_sim_inode *from)
{
    int rc = fr_sim_names_copy(&from->live_names, &from->copy->live_names);

    if (rc == 0) rc = fr_sim_names_copy(&from->durable_names, &from->copy->durable_names);
    if (rc == 0) rc = copy_ops(from, from->copy);
    return rc;
}

int fr_sim_disk_copy(const struct fr_sim_disk *disk, struct fr_sim_disk *ret_disk)
{
    struct fr_sim_disk copy = {.capacity_pages = disk->capacity_pages};
    struct fr_sim_inode *inode = disk->inodes;
    int rc = 0;

    while (inode != NULL && inode->next != NULL)
        inode = inode->next;
    for (; rc == 0 && inode != NULL; inode = inode->prev) /* oldest first, to keep the order */
        rc = copy_inode(inode, &copy);
    for (inode = disk->inodes; rc == 0 && inode != NULL; inode = inode->next)
        rc = copy_names(inode);
    if (rc != 0) {
        fr_sim_disk_deinit(&copy);
        return rc;
    }
    copy.root = fr_sim_inode_ref(disk->root->copy);
    copy.next_inode = disk->next_inode;
    copy.next_seq = disk->next_seq;
    *ret_disk = copy;
    return 0;
}

static void mark_tree(struct fr_sim_inode *inode)
{
    if (inode->mark != 0) return;
    inode->mark = 1;
    for (size_t i = 0; i < inode->live_names.count; i++)
        mark_tree(inode->live_names.entries[i].inode);
    for (size_t i = 0; i < inode->durable_names.count; i++)
        mark_tree(inode->durable_names.entries[i].inode);
    for (struct fr_sim_name_op *op = inode->ops; op != NULL; op = op->next)
        mark_tree(op->inode);
}

static void forget_names(struct fr_sim_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        names->entries[i].inode->refs--;
}

/* Give up its references, so that what stays is counted right. */
static void forget_others(struct fr_sim_inode *inode)
{
    forget_names(&inode->live_names);
    forget_names(&inode->durable_names);
    for (struct fr_sim_name_op *op = inode->ops; op != NULL; op = op->next)
        op->inode->refs--;
}

void fr_sim_disk_sweep(struct fr_sim_disk *disk)
{
    struct fr_sim_inode *next;

    for (struct fr_sim_inode *inode = disk->inodes; inode != NULL; inode = inode->next)
        inode->mark = 0;
    mark_tree(disk->root);
    for (struct fr_sim_inode *inode = disk->inodes; inode != NULL; inode = inode->next)
        if (inode->mark == 0) forget_others(inode);
    for (struct fr_sim_inode *inode = disk->inodes; inode != NULL; inode = next) {
        next = inode->next;
        if (inode->mark != 0) continue;
        unlink_inode(disk, inode);
        free_inode(inode);
    }
}

static void drop_pending(struct fr_sim_inode *inode)
{
    while (inode->effects != NULL)
        pop_effect(inode);
    for (struct fr_sim_name_op *op = inode->ops; op != NULL; op = op->next)
        op->inode->refs--;
    free_ops(inode);
    inode->ops_end = &inode->ops;
    forget_names(&inode->live_names);
    fr_sim_names_deinit(&inode->live_names);
    fr_sim_bytes_deinit(&inode->live);
    inode->live = fr_sim_bytes_share(&inode->durable);
    inode->link_count = 0;
    inode->copy = inode;
}

int fr_sim_disk_settle(struct fr_sim_disk *disk)
{
    int rc = 0;

    for (struct fr_sim_inode *inode = disk->inodes; inode != NULL; inode = inode->next) {
        drop_pending(inode);
        inode->late_error = 0; /* whoever would have been told lost power as well */
    }
    fr_sim_disk_sweep(disk);
    for (struct fr_sim_inode *dir = disk->inodes; rc == 0 && dir != NULL; dir = dir->next) {
        rc = fr_sim_names_copy(&dir->durable_names, &dir->live_names);
        for (size_t i = 0; rc == 0 && i < dir->live_names.count; i++)
            dir->live_names.entries[i].inode->link_count++;
    }
    disk->root->link_count = 1;
    return rc;
}
