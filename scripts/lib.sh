# shellcheck shell=bash
# lib.sh - what the scripts share: configurations, quiet builds, test runs that are counted.
#
# Sourced with `set -euo pipefail` on; leaves the caller in the root of the project. FR_JOBS limits
# how much runs at once. FR_BUILDS puts the build folders of the named configurations elsewhere.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

FR_JOBS=${FR_JOBS:-$(nproc)}
FR_CLANG=${FR_CLANG:-$(command -v clang-14 > /dev/null && echo clang-14 || echo clang)}

# What happened in all the test runs so far.
passed=0
failed=0
skipped=0

die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# quietly LABEL COMMAND...: one line with the time it took; all of the output if it fails.
quietly() {
    local label=$1 log status=0 start=$SECONDS
    shift
    log=$(mktemp)
    printf '%s ... ' "$label"
    "$@" > "$log" 2>&1 < /dev/null || status=$?
    if [ "$status" -eq 0 ]; then
        echo "$((SECONDS - start)) s"
    else
        echo "failed"
        cat "$log"
    fi
    rm -f "$log"
    return "$status"
}

# The compiler and Meson's options of a named configuration: its first word is the compiler.
configuration() {
    # -Db_lundef: a shared library leaves the sanitizers' symbols to the program.
    local sanitize="$FR_CLANG -Db_lundef=false -Db_sanitize"
    case $1 in
    test | gcc) echo "gcc" ;;
    clang) echo "$FR_CLANG" ;;
    demo) echo "gcc --buildtype=release -Db_ndebug=true -Dtests=disabled -Dfuzz=false -Dbench=false" ;;
    bench) echo "gcc --buildtype=release -Db_ndebug=true -Dtests=disabled -Dfuzz=false" ;;
    # -g1: the lines that reports name, and no more. One thread alone is nothing for ThreadSanitizer: corpora
    # are replayed by the other builds.
    asan) echo "$sanitize=address,undefined -Dc_args=-g1" ;;
    tsan) echo "$sanitize=thread -Dc_args=-g1 -Dfuzz=false -Dbench=false" ;;
    torture) echo "gcc --buildtype=release -Dtests=disabled -Dfuzz=false -Dbench=false" ;;
    nouring) echo "gcc -Dliburing=disabled -Dtests=disabled -Dfuzz=false -Dbench=false" ;;
    # Counters of several threads: one that is lost may make a branch seem taken.
    cov) echo "gcc --buildtype=debug -Db_coverage=true -Dbench=false -Dc_args=-fprofile-update=atomic" ;;
    fuzz) echo "$sanitize=address,undefined -Dfuzz_engine=true -Dtests=disabled -Dbench=false" ;;
    *) die "no configuration is called $1" ;;
    esac
}

build_dir() {
    echo "${FR_BUILDS:-build-}$1"
}

# configure NAME: make the build folder what the configuration says; nothing if it is so already.
configure() {
    local dir wanted words
    dir=$(build_dir "$1")
    wanted=$(configuration "$1")
    if [ -e "$dir/build.ninja" ] && [ "$(cat "$dir/.configuration" 2> /dev/null)" = "$wanted" ]; then
        return 0
    fi
    read -ra words <<< "$wanted"
    rm -rf "$dir"
    CC=${words[0]} meson setup "$dir" "${words[@]:1}" && echo "$wanted" > "$dir/.configuration"
}

# build NAME: configure and compile; a warning is an error in every configuration.
build() {
    local dir
    dir=$(build_dir "$1")
    quietly "build $dir" configure_and_compile "$1"
}

configure_and_compile() {
    configure "$1" && ninja -C "$(build_dir "$1")" -j "$FR_JOBS"
}

# Sanitizers: the first finding ends the process with code 99, and its text goes to a file besides,
# because Criterion does not look at the exit codes of its workers where a leak would show.
sanitizer_env() {
    local reports=$1 common symbolizer
    common="halt_on_error=1:exitcode=99:log_path=$reports/report:allocator_may_return_null=1"
    symbolizer=$(command -v llvm-symbolizer-14 || command -v llvm-symbolizer || true)
    if [ -n "$symbolizer" ]; then
        common+=":external_symbolizer_path=$(readlink -f "$symbolizer")"
    fi
    rm -rf "$reports"
    mkdir -p "$reports"
    export ASAN_OPTIONS="$common:detect_leaks=1:strict_string_checks=1"
    ASAN_OPTIONS+=":check_initialization_order=1:detect_stack_use_after_return=1"
    export UBSAN_OPTIONS="$common:print_stacktrace=1"
    export TSAN_OPTIONS="$common:second_deadlock_stack=1"
    export LSAN_OPTIONS="suppressions=$PWD/tests/sanitizers/lsan.supp:print_suppressions=0"
}

# Sanitizers of this age lose their way where the kernel randomises more than 28 bits of addresses.
steady_addresses=()
choose_steady_addresses() {
    local bits
    bits=$(cat /proc/sys/vm/mmap_rnd_bits 2> /dev/null || echo 28)
    if [ "$bits" -gt 28 ] && setarch "$(uname -m)" -R true 2> /dev/null; then
        steady_addresses=(setarch "$(uname -m)" -R)
    fi
}

# count_tests LOG: add Meson's results, one JSON object per line, to passed, failed and skipped.
count_tests() {
    local p f s
    read -r p f s < <(python3 - "$1" << 'EOF'
import json, sys
good, bad, skipped = ('OK', 'EXPECTEDFAIL'), 0, 0
results = [json.loads(line)['result'] for line in open(sys.argv[1]) if line.strip()]
skipped = sum(r == 'SKIP' for r in results)
passed = sum(r in good for r in results)
print(passed, len(results) - passed - skipped, skipped)
EOF
    )
    passed=$((passed + p))
    failed=$((failed + f))
    skipped=$((skipped + s))
}

# print_reports FOLDER: the sanitizers' reports, each finding once.
print_reports() {
    local report summary
    local -A seen=()
    for report in "$1"/report*; do
        summary=$(grep -m 1 '^SUMMARY' "$report" || echo "$report")
        if [ -z "${seen[$summary]:-}" ]; then
            seen[$summary]=1
            echo "--- a sanitizer's report: $report"
            cat "$report"
        fi
    done
    echo "--- $(find "$1" -name 'report*' | wc -l) reports of ${#seen[@]} findings"
}

# run_tests NAME [meson test's arguments]: run and count; the log is printed where a test failed.
run_tests() {
    local name=$1 dir status=0 outcome reports
    shift
    dir=$(build_dir "$name")
    reports=$PWD/$dir/sanitizer-reports
    rm -f "$dir/meson-logs/testlog.json"
    # A limit is there for what hangs, on a machine of half the speed, too, and with all sanitizers.
    # Criterion's own are stretched as much (tests/sanitizers/criterion_patience.c).
    set -- --timeout-multiplier 4 "$@"
    case $name in
    asan | tsan) choose_steady_addresses ;;
    esac
    (
        case $name in
        asan | tsan) sanitizer_env "$reports" ;;
        esac
        exec "${steady_addresses[@]}" meson test -C "$dir" --no-rebuild --print-errorlogs \
            --num-processes "$FR_JOBS" "$@" < /dev/null
    ) || status=$?
    if [ -e "$dir/meson-logs/testlog.json" ]; then
        count_tests "$dir/meson-logs/testlog.json"
    fi
    outcome=$status
    if [ -e "$reports" ] && compgen -G "$reports/report*" > /dev/null; then
        print_reports "$reports"
        # Behind a failed test there is a report; one behind passed tests is a failure of its own.
        if [ "$status" -eq 0 ]; then failed=$((failed + 1)); fi
        outcome=1
    fi
    return "$outcome"
}

# The closing line, alone on its line; with a third part where something was skipped.
print_counts() {
    if [ "$skipped" -gt 0 ] || [ "${1:-}" = always ]; then
        echo "$passed passed, $failed failed, $skipped skipped"
    else
        echo "$passed passed, $failed failed"
    fi
}
