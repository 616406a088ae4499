/*
 * posix_align.c - what a file system asks of direct transfers.
 *
 * In a file of its own because the C library's struct statx is older than the kernel's, and the two
 * headers cannot be included together.
 */
#include "io/posix_align.h"

#include <linux/fcntl.h>
#include <linux/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/compiler.h"

/* Where the system does not say: no device in use needs more. */
#define ALIGNMENT_DEFAULT 4096

uint32_t fr_posix_direct_alignment(int fd)
{
#ifdef STATX_DIOALIGN
    struct statx stx = {0};

    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
            (stx.stx_mask & STATX_DIOALIGN) != 0) {
        if (stx.stx_dio_offset_align == 0) return 0;
        return FR_MAX(stx.stx_dio_mem_align, stx.stx_dio_offset_align);
    }
#endif
    (void)fd;
    return ALIGNMENT_DEFAULT;
}
