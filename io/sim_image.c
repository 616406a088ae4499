/*
 * sim_image.c - the disk that is left when the power is gone: to look at, and to boot from.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "io/sim_priv.h"

/* What a boot takes. */
#define BOOT_US 1000000

struct fr_sim_image *fr_sim_image_new(struct fr_sim *sim)
{
    struct fr_sim_image *image = FR_NEW(struct fr_sim_image);

    if (image == NULL) return NULL;
    image->options = sim->options;
    image->now_us = fr_sim_now_locked(sim);
    image->wall_offset_us = sim->wall_offset_us;
    return image;
}

void fr_sim_image_free(struct fr_sim_image *image)
{
    if (image == NULL) return;
    fr_sim_disk_deinit(&image->disk);
    fr_free(image);
}

static uint64_t hash_tree(uint64_t hash, const struct fr_sim_inode *dir)
{
    hash = fr_mix64(hash ^ dir->live_names.count);
    for (size_t i = 0; i < dir->live_names.count; i++) {
        const struct fr_sim_entry *entry = &dir->live_names.entries[i];
        const struct fr_sim_inode *inode = entry->inode;

        hash = fr_sim_hash(hash, entry->name->bytes, entry->name->size);
        hash = fr_mix64(hash ^ inode->is_dir);
        hash = inode->is_dir ? hash_tree(hash, inode)
                             : fr_mix64(hash ^ fr_sim_bytes_hash(&inode->live));
    }
    return hash;
}

int fr_sim_image_seal(struct fr_sim_image *image)
{
    int rc = fr_sim_disk_settle(&image->disk);

    if (rc == 0) image->hash = hash_tree(0, image->disk.root);
    return rc;
}

/* What is seen becomes what is durable. */
static int harden(struct fr_sim_disk *disk)
{
    int rc = 0;

    for (struct fr_sim_inode *inode = disk->inodes; inode != NULL; inode = inode->next) {
        fr_sim_bytes_deinit(&inode->durable);
        inode->durable = fr_sim_bytes_share(&inode->live);
        inode->copy = inode;
    }
    for (struct fr_sim_inode *inode = disk->inodes; rc == 0 && inode != NULL; inode = inode->next) {
        for (size_t i = 0; i < inode->durable_names.count; i++)
            inode->durable_names.entries[i].inode->refs--;
        fr_sim_names_deinit(&inode->durable_names);
        rc = fr_sim_names_copy(&inode->live_names, &inode->durable_names);
    }
    return rc;
}

fr_status fr_sim_image_take(struct fr_sim *sim, struct fr_sim_image **ret_image)
{
    struct fr_sim_image *image = NULL;
    int rc = -ENOMEM;

    fr_mutex_lock(&sim->mu);
    image = fr_sim_image_new(sim);
    if (image != NULL) rc = fr_sim_disk_copy(&sim->disk, &image->disk);
    fr_mutex_unlock(&sim->mu);
    if (rc == 0) rc = harden(&image->disk);
    if (rc == 0) rc = fr_sim_image_seal(image);
    if (rc != 0) {
        fr_sim_image_free(image);
        return FR_FAIL(FR_ERR_NOMEM, "no memory for the image of a simulated disk");
    }
    snprintf(image->origin, sizeof(image->origin), "shut down");
    *ret_image = image;
    return FR_OK;
}

uint64_t fr_sim_image_hash(const struct fr_sim_image *image)
{
    return image->hash;
}

const char *fr_sim_image_origin(const struct fr_sim_image *image)
{
    return image->origin;
}

fr_status fr_sim_image_boot(const struct fr_sim_image *image, uint64_t seed,
        struct fr_sim **ret_sim)
{
    struct fr_sim_options options = image->options;
    struct fr_sim_disk disk;
    struct fr_sim *sim;
    fr_status st;

    options.seed = seed;
    if (fr_sim_disk_copy(&image->disk, &disk) != 0)
        return FR_FAIL(FR_ERR_NOMEM, "no memory to boot a simulated machine");
    FR_TRY(fr_sim_new(&options, &disk, &sim));
    sim->now_us = image->now_us + BOOT_US;
    sim->wall_offset_us = image->wall_offset_us;
    *ret_sim = sim;
out:
    return st;
}

fr_status fr_sim_image_read(const struct fr_sim_image *image, const char *path, struct fr_buf *buf)
{
    int rc;

    const struct fr_sim_inode *inode = fr_sim_dir_walk(image->disk.root, path, &rc);
    if (inode == NULL || inode->is_dir) return FR_NOT_FOUND;
    if (inode->live.size == 0) return FR_OK;
    uint8_t *to = fr_buf_extend(buf, (size_t)inode->live.size);
    if (to == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to read it", path);
    fr_sim_bytes_read(&inode->live, 0, to, (size_t)inode->live.size);
    return FR_OK;
}

static void list_tree(const struct fr_sim_inode *dir, const char *prefix, struct fr_buf *buf);

static void list_dir(const struct fr_sim_entry *entry, const char *prefix, struct fr_buf *buf)
{
    struct fr_buf path = FR_BUF_EMPTY;

    fr_buf_printf(&path, "%s%s/", prefix, (const char *)entry->name->bytes);
    fr_buf_u8(&path, 0);
    if (fr_buf_status(&path) < 0) {
        buf->failed = true;
    } else {
        fr_buf_printf(buf, "%s\n", (const char *)path.data);
        list_tree(entry->inode, (const char *)path.data, buf);
    }
    fr_buf_deinit(&path);
}

static void list_tree(const struct fr_sim_inode *dir, const char *prefix, struct fr_buf *buf)
{
    for (size_t i = 0; i < dir->live_names.count; i++) {
        const struct fr_sim_entry *entry = &dir->live_names.entries[i];
        const struct fr_sim_bytes *bytes = &entry->inode->live;

        if (entry->inode->is_dir)
            list_dir(entry, prefix, buf);
        else
            fr_buf_printf(buf, "%s%s %" PRIu64 " %016" PRIx64 "\n", prefix,
                    (const char *)entry->name->bytes, bytes->size, fr_sim_bytes_hash(bytes));
    }
}

fr_status fr_sim_image_list(const struct fr_sim_image *image, struct fr_buf *buf)
{
    list_tree(image->disk.root, "/", buf);
    return fr_buf_status(buf);
}
