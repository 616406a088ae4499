/*
 * map.h - handing bytes to the operating system by storing them.
 *
 * A map is memory that stands for a part of a file and is written to only: what is in it before is
 * of no meaning. fr_map_publish() of a range makes its bytes the file's, as a write would: they
 * survive the death of the process from then on, and become durable with the next sync of the
 * file. Bytes that were stored and not published may or may not reach the file.
 *
 * Where it can be had honestly a map is a shared mapping of the file. A stored byte is the kernel's
 * at once, and publishing costs nothing. Elsewhere it is private memory, and publishing is a write.
 * A shared mapping has no way to answer an error: a store that finds no room kills the process. So
 * it is used only where a store allocates nothing, which takes a file whose blocks are all there
 * and a file system that overwrites them in place. Those that may copy on write (xfs and btrfs with
 * their reflinks, overlays) get private memory, and so does the simulated machine, which then sees
 * a map's bytes as an ordinary write.
 *
 * What remains, for a shared mapping: a file system that shuts itself down, or a block which has to
 * be read back for a store and cannot be, ends the process with SIGBUS. FR_MAP_PRIVATE is for
 * hosts that would rather pay a system call than run that risk.
 *
 * A map is used by one thread at a time; the file may be used by others, and synced at any time.
 */
#ifndef FR_IO_MAP_H
#define FR_IO_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct fr_file;
struct fr_map;

enum fr_map_flags {
    FR_MAP_PRIVATE = 1 << 0, /* never a shared mapping */
};

/*
 * Map [offset, offset + size) of a file that is open for writing and not direct; the range must lie
 * in the file, and the offset on a boundary of FR_MAP_ALIGNMENT (FR_ERR_MISUSE). The file must stay
 * open, and must not be cut, as long as the map. FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_map_open(struct fr_file *file, uint64_t offset, uint64_t size,
        unsigned flags, struct fr_map **ret_map);

/* The largest page of any system that we run on. */
#define FR_MAP_ALIGNMENT 65536

/* What was not published may be lost. NULL is fine. */
void fr_map_close(struct fr_map *map);

/* The memory; its first byte is the one at the map's offset in the file. */
uint8_t *fr_map_data(struct fr_map *map);

/* Whether publishing costs nothing. */
bool fr_map_is_shared(const struct fr_map *map);

/*
 * A hint: [offset, offset + size) will hardly be stored to before the next sync of the file. What
 * is in it stays. Any thread, along with stores to it.
 */
void fr_map_relax(struct fr_map *map, uint64_t offset, uint64_t size);

/*
 * Hand over [offset, offset + size) of the map. After a failure any part of it may be in the file.
 * FR_ERR_NOSPACE; FR_ERR_POISONED.
 */
FR_NODISCARD fr_status fr_map_publish(struct fr_map *map, uint64_t offset, uint64_t size);

#endif
