#include "tools/certificate.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/human.h"
#include "freshet/version.h"
#include "tools/json.h"

/* A partition has no queue of its own: its disk, the directory above, has one. */
static const char *const cache_paths[] = {
        "/sys/dev/block/%u:%u/queue/write_cache",
        "/sys/dev/block/%u:%u/../queue/write_cache",
};

static void find_cache(const char *path, char *text, int room)
{
    struct stat info;
    char name[96];

    (void)snprintf(text, (size_t)room, "unknown");
    if (stat(path, &info) != 0) return;
    for (size_t i = 0; i < FR_ARRAY_COUNT(cache_paths); i++) {
        (void)snprintf(name, sizeof(name), cache_paths[i], major(info.st_dev), minor(info.st_dev));
        FILE *file = fopen(name, "re");
        if (file == NULL) continue;
        if (fgets(text, room, file) != NULL) text[strcspn(text, "\n")] = '\0';
        (void)fclose(file);
        return;
    }
}

void fr_ground_find(const char *path, struct fr_ground *ret_ground)
{
    memset(ret_ground, 0, sizeof(*ret_ground));
    ret_ground->mount_known = fr_mount_info_get(path, &ret_ground->mount) == FR_OK;
    find_cache(path, ret_ground->cache, sizeof(ret_ground->cache));
    (void)uname(&ret_ground->system);
}

const char *fr_certificate_verdict(const struct fr_certificate *certificate)
{
    if (!fr_certificate_is_good(certificate)) return "FAILED";
    return fr_certificate_is_of_something(certificate) ? "passed" : "nothing tried";
}

/* What the kernel's words for the device's cache mean to a loss of power. */
static const char *cache_meaning(const char *cache)
{
    if (strcmp(cache, "write back") == 0) return " (syncs flush it)";
    if (strcmp(cache, "write through") == 0) return " (says that it needs no flush)";
    return "";
}

/* ---- words */

static void tell_part(const struct fr_certify_result *result, enum fr_certify_part part)
{
    printf("\n%-9s  %s%s%s, %s: %s\n", fr_certify_part_name(part), fr_certify_part_help(part),
            result->where[0] == '\0' ? "" : ", ", result->where,
            fr_human_duration(result->spent_us * 1000).text, fr_certify_state_name(result->state));
    for (int i = 0; i < FR_CERTIFY_COUNTERS; i++)
        if (result->counters[i] > 0)
            printf("%14s  %s\n", fr_human_count(result->counters[i]).text,
                    fr_certify_counter_text((enum fr_certify_counter)i));
    if (result->state == FR_CERTIFY_PASSED)
        printf("           %s\n", fr_certify_part_promise(part));
    if (result->words[0] != '\0') printf("           %s\n", result->words);
}

static void tell_ground(const struct fr_certify *how, const struct fr_ground *ground,
        const struct fr_certificate *certificate)
{
    const char *warning = ground->mount_known ? fr_mount_info_warning(&ground->mount) : NULL;

    printf("directory    %s\n", how->path);
    if (ground->mount_known)
        printf("file system  %s on %s (%s)\n", ground->mount.type, ground->mount.source,
                ground->mount.options);
    printf("write cache  %s%s\n", ground->cache, cache_meaning(ground->cache));
    printf("system       %s %s, %s\n", ground->system.sysname, ground->system.release,
            ground->system.machine);
    printf("i/o          %s\n", certificate->io[0] == '\0' ? "unknown" : certificate->io);
    printf("library      %s\n", fr_version());
    if (warning != NULL) printf("careful      %s\n", warning);
}

void fr_certificate_tell(const struct fr_certify *how, const struct fr_ground *ground,
        const struct fr_certificate *certificate)
{
    printf("certificate  %s, on a real disk: %s\n", how->subject->name,
            fr_certificate_verdict(certificate));
    tell_ground(how, ground, certificate);
    printf("seed         %llu, in %s\n", (unsigned long long)how->seed,
            fr_human_duration(certificate->spent_us * 1000).text);
    for (unsigned i = 0; i < FR_CERTIFY_PARTS; i++)
        if (certificate->parts[i].state != FR_CERTIFY_NOT_ASKED)
            tell_part(&certificate->parts[i], (enum fr_certify_part)i);
    if (certificate->kept[0] != '\0') printf("\nwhat is left  %s\n", certificate->kept);
    printf("\nWhat the drive's own cache does in a loss of power is not part of this.\n");
}

/* ---- JSON */

static void json_part(struct fr_json *json, const struct fr_certify_result *result,
        enum fr_certify_part part)
{
    fr_json_begin_object(json, NULL);
    fr_json_text(json, "name", fr_certify_part_name(part));
    fr_json_text(json, "state",
            result->state == FR_CERTIFY_FAILED ? "failed" : fr_certify_state_name(result->state));
    fr_json_text(json, "promise", fr_certify_part_promise(part));
    fr_json_text(json, "words", result->words);
    fr_json_text(json, "where", result->where);
    fr_json_double(json, "seconds", (double)result->spent_us / 1e6);
    for (int i = 0; i < FR_CERTIFY_COUNTERS; i++)
        fr_json_u64(json, fr_certify_counter_key((enum fr_certify_counter)i), result->counters[i]);
    fr_json_end_object(json);
}

fr_status fr_certificate_tell_json(const struct fr_certify *how, const struct fr_ground *ground,
        const struct fr_certificate *certificate)
{
    struct fr_json json = FR_JSON_EMPTY;
    bool good = fr_certificate_is_good(certificate);

    fr_json_begin_object(&json, NULL);
    fr_json_text(&json, "subject", how->subject->name);
    fr_json_text(&json, "machine", "real");
    fr_json_text(&json, "verdict", good ? fr_certificate_verdict(certificate) : "failed");
    fr_json_text(&json, "directory", how->path);
    fr_json_text(&json, "file_system", ground->mount_known ? ground->mount.type : "unknown");
    fr_json_text(&json, "mount_source", ground->mount_known ? ground->mount.source : "");
    fr_json_text(&json, "mount_options", ground->mount_known ? ground->mount.options : "");
    fr_json_text(&json, "write_cache", ground->cache);
    fr_json_text(&json, "system", ground->system.sysname);
    fr_json_text(&json, "release", ground->system.release);
    fr_json_text(&json, "processor", ground->system.machine);
    fr_json_text(&json, "io", certificate->io);
    fr_json_text(&json, "version", fr_version());
    fr_json_u64(&json, "seed", how->seed);
    fr_json_double(&json, "seconds", (double)certificate->spent_us / 1e6);
    fr_json_text(&json, "kept", certificate->kept);
    fr_json_begin_array(&json, "parts");
    for (unsigned i = 0; i < FR_CERTIFY_PARTS; i++)
        json_part(&json, &certificate->parts[i], (enum fr_certify_part)i);
    fr_json_end_array(&json);
    fr_json_end_object(&json);
    return fr_json_print(&json);
}
