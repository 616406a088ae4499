/* verb_put.c - a value under a key. */
#include <stdio.h>
#include <sys/time.h>

#include "tools/input.h"
#include "tools/store.h"
#include "tools/verbs.h"

/* As include/freshet/db.h has it; one byte more would be refused there, after it was read. */
#define VALUE_SIZE_MAX ((size_t)256 << 20)

#define READ_SIZE ((size_t)64 << 10)

struct put {
    struct fr_text_form form;
    const char *options;
    bool create, append;
    uint64_t ttl_ns;
    struct fr_db *db;
    struct fr_buf key;
    struct fr_buf value;
};

static fr_status read_value(struct put *p)
{
    struct fr_input *input = NULL;
    fr_slice bytes;
    fr_status st;

    FR_TRY(fr_input_open("-", &input));
    while ((st = fr_input_take_some(input, READ_SIZE, &bytes)) == FR_OK) {
        fr_buf_append(&p->value, bytes.data, bytes.size);
        if (fr_buf_status(&p->value) < 0) FR_TRY(FR_FAIL(FR_ERR_NOMEM, "no memory for the value"));
        if (p->value.size > VALUE_SIZE_MAX)
            FR_TRY(FR_FAIL(FR_ERR_LIMIT, "standard input: a value has 256 MiB at most"));
    }
out:
    fr_input_close(input);
    return st == FR_END ? FR_OK : st;
}

static uint64_t expiry_us(uint64_t ttl_ns)
{
    struct timeval now;

    gettimeofday(&now, NULL);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_usec + ttl_ns / 1000;
}

static fr_status write_value(struct put *p)
{
    struct fr_write_options how = {.size = sizeof(how)};

    if (p->ttl_ns > 0) how.expires_us = expiry_us(p->ttl_ns);
    if (p->append)
        return fr_db_append(p->db, NULL, p->key.data, p->key.size, p->value.data, p->value.size);
    return fr_db_put(p->db, &how, p->key.data, p->key.size, p->value.data, p->value.size);
}

static fr_status run_put(struct put *p, const struct fr_args *args)
{
    fr_status st;

    FR_TRY(fr_text_read(&p->form, args->operands[1], &p->key));
    if (args->operand_count == 3)
        FR_TRY(fr_text_read(&p->form, args->operands[2], &p->value));
    else
        FR_TRY(read_value(p));
    FR_TRY(fr_store_open(args->operands[0], p->create ? FR_STORE_CREATE : FR_STORE_WRITE,
            p->options, &p->db));
    FR_TRY(write_value(p));
out:
    return st;
}

int fr_verb_put(int argc, char **argv)
{
    static struct put p;
    const struct fr_option options[] = {
            FR_OPTION_HEX(&p.form),
            FR_OPTION_BASE64(&p.form),
            {"append", 'a', FR_OPTION_FLAG, NULL, "behind the value that is there", &p.append},
            {"ttl", 0, FR_OPTION_DURATION, "TIME", "gone after this time (never)", &p.ttl_ns},
            {"create", 0, FR_OPTION_FLAG, NULL, "make the store if there is none", &p.create},
            FR_OPTION_STORE(&p.options),
    };
    struct fr_args args = {.verb = "put",
            .summary =
                    "Put a value under a key; without VALUE, what standard input has, as it is.\n"
                    "It is on stable storage when this returns. Writes to the store.",
            .operand_names = "DIR KEY [VALUE]",
            .operands_least = 2,
            .operands_most = 3,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    if (p.append && p.ttl_ns > 0)
        return fr_args_misuse("put", "--ttl: what is appended does not expire");
    fr_status st = run_put(&p, &args);
    code = fr_store_done("put", st, FR_EXIT_FINE, p.db);
    fr_buf_deinit(&p.key);
    fr_buf_deinit(&p.value);
    return code;
}
