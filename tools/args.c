#include "tools/args.h"

#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "base/human.h"
#include "base/status.h"

static void print_help(const struct fr_args *args)
{
    printf("usage: freshet %s [options]%s%s\n\n%s\n\noptions:\n", args->verb,
            args->operand_names[0] == '\0' ? "" : " ", args->operand_names, args->summary);
    for (size_t i = 0; i < args->option_count; i++) {
        const struct fr_option *option = &args->options[i];
        char left[64];

        snprintf(left, sizeof(left), "%c%c%s--%s%s%s", option->letter ? '-' : ' ',
                option->letter ? option->letter : ' ', option->letter ? ", " : "  ", option->name,
                option->value_name ? " " : "", option->value_name ? option->value_name : "");
        printf("  %-26s %s\n", left, option->help);
    }
    printf("  %-26s %s\n", "-h, --help", "show this text");
}

static bool complain(const struct fr_args *args, const char *what, const char *about, int *ret_exit)
{
    fprintf(stderr, "freshet %s: %s%s (try --help)\n", args->verb, what, about);
    *ret_exit = FR_EXIT_USAGE;
    return false;
}

/* The option that a word names, and the value that may be glued to it by '='. */
static const struct fr_option *find_option(const struct fr_args *args, const char *word,
        const char **ret_value)
{
    bool is_long = word[1] == '-';
    const char *name = word + (is_long ? 2 : 1);
    const char *equals = is_long ? strchr(name, '=') : NULL;
    size_t length = equals != NULL ? (size_t)(equals - name) : strlen(name);

    *ret_value = equals != NULL ? equals + 1 : NULL;
    for (size_t i = 0; i < args->option_count; i++) {
        const struct fr_option *option = &args->options[i];
        if (is_long && strlen(option->name) == length && memcmp(option->name, name, length) == 0)
            return option;
        if (!is_long && length == 1 && option->letter == name[0]) return option;
    }
    return NULL;
}

static fr_status parse_count(const char *text, uint64_t *ret_count)
{
    uint64_t count = 0;

    if (*text == '\0') return FR_FAIL(FR_ERR_MISUSE, "a number is missing");
    for (const char *at = text; *at != '\0'; at++) {
        unsigned digit = (unsigned)(*at - '0');
        if (digit > 9 || count > (UINT64_MAX - digit) / 10)
            return FR_FAIL(FR_ERR_MISUSE, "\"%.40s\" is no number, or too large a one", text);
        count = count * 10 + digit;
    }
    *ret_count = count;
    return FR_OK;
}

static fr_status set_value(const struct fr_option *option, const char *value)
{
    switch (option->kind) {
    case FR_OPTION_FLAG:
        *(bool *)option->target = true;
        return FR_OK;
    case FR_OPTION_TEXT:
        *(const char **)option->target = value;
        return FR_OK;
    case FR_OPTION_COUNT:
        return parse_count(value, option->target);
    case FR_OPTION_SIZE:
        return fr_human_parse_size(fr_slice_of_text(value), option->target);
    case FR_OPTION_DURATION:
        return fr_human_parse_duration(fr_slice_of_text(value), option->target);
    }
    return FR_ERR_MISUSE;
}

/* "-" is standard input, and "-0.5" a number: no option is a digit. */
static bool is_option(const char *word)
{
    return word[0] == '-' && word[1] != '\0' && strchr("0123456789.", word[1]) == NULL;
}

/* There are never more operands than words were looked at, so this overwrites nothing. */
static bool take_operand(struct fr_args *args, char **argv, int at, int *ret_exit)
{
    if (args->operand_count == args->operands_most)
        return complain(args, "did not expect ", argv[at], ret_exit);
    argv[args->operand_count++] = argv[at];
    return true;
}

/* One option with its value; *at moves on if the value is a word of its own. */
static bool take_option(struct fr_args *args, int argc, char **argv, int *at, int *ret_exit)
{
    const char *word = argv[*at];
    const char *value;

    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        print_help(args);
        *ret_exit = FR_EXIT_FINE;
        return false;
    }
    const struct fr_option *option = find_option(args, word, &value);
    if (option == NULL) return complain(args, "unknown option ", word, ret_exit);
    if (option->kind == FR_OPTION_FLAG && value != NULL)
        return complain(args, "takes no value: ", word, ret_exit);
    if (option->kind != FR_OPTION_FLAG && value == NULL) {
        if (*at + 1 >= argc) return complain(args, "needs a value: ", word, ret_exit);
        value = argv[++*at];
    }
    if (set_value(option, value) < 0) return complain(args, fr_last_error(), "", ret_exit);
    return true;
}

bool fr_args_parse(struct fr_args *args, int argc, char **argv, int *ret_exit)
{
    bool options_end = false;

    args->operand_count = 0;
    args->operands = argv;
    for (int at = 0; at < argc; at++) {
        if (!options_end && strcmp(argv[at], "--") == 0) {
            options_end = true;
            continue;
        }
        bool taken = !options_end && is_option(argv[at])
                             ? take_option(args, argc, argv, &at, ret_exit)
                             : take_operand(args, argv, at, ret_exit);
        if (!taken) return false;
    }
    if (args->operand_count < args->operands_least)
        return complain(args, "needs ", args->operand_names, ret_exit);
    return true;
}

int fr_args_misuse(const char *verb, const char *what)
{
    fprintf(stderr, "freshet %s: %s (try --help)\n", verb, what);
    return FR_EXIT_USAGE;
}

int fr_exit_failed(const char *verb)
{
    struct fr_error error = {.size = sizeof(error)};

    if (fr_last_error_get(&error) != FR_OK) {
        fprintf(stderr, "freshet %s: failed, and nobody said why\n", verb);
        return FR_EXIT_IO;
    }
    fprintf(stderr, "freshet %s: %s\n", verb, error.text);
    switch (error.status) {
    case FR_ERR_MISUSE:
    case FR_ERR_LIMIT:
        return FR_EXIT_USAGE;
    case FR_ERR_CORRUPT:
    case FR_ERR_TOO_NEW:
    case FR_ERR_FOREIGN:
        return FR_EXIT_CORRUPT;
    case FR_ERR_BUSY:
        return FR_EXIT_BUSY;
    default:
        return FR_EXIT_IO;
    }
}
