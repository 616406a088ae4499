/* posix_align.h - what a file system asks of direct transfers. */
#ifndef FR_IO_POSIX_ALIGN_H
#define FR_IO_POSIX_ALIGN_H

#include <stdint.h>

/*
 * What offset, size and memory of direct transfers with this descriptor must be multiples of: a
 * power of two, or 0 if the file system takes none.
 */
uint32_t fr_posix_direct_alignment(int fd);

#endif
