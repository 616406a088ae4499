/*
 * certificate.h - what a certification has found out, and about which disk, for people and as JSON.
 */
#ifndef FR_TOOLS_CERTIFICATE_H
#define FR_TOOLS_CERTIFICATE_H

#include <sys/utsname.h>

#include "crash/certify.h"
#include "tools/mount_info.h"

/* The ground that a certificate is about. */
struct fr_ground {
    struct fr_mount_info mount;
    bool mount_known;
    char cache[64]; /* the device's, as the kernel sees it: "write back"; "unknown" */
    struct utsname system;
};

void fr_ground_find(const char *path, struct fr_ground *ret_ground);

/* "passed", "FAILED", or "nothing tried"; static. */
const char *fr_certificate_verdict(const struct fr_certificate *certificate);

void fr_certificate_tell(const struct fr_certify *how, const struct fr_ground *ground,
        const struct fr_certificate *certificate);
FR_NODISCARD fr_status fr_certificate_tell_json(const struct fr_certify *how,
        const struct fr_ground *ground, const struct fr_certificate *certificate);

#endif
