# shellcheck shell=bash
# Completion for freshet(1), made by scripts/manual from the verbs' own option tables: change those.
_freshet() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} options=""
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "backup bench checkpoint compact crash create delete dump explain export get import iotest ls put rebuild repair restore scan search stat top verify version --help --version" -- "$word")
        return
    fi
    case $before in
    --format) mapfile -t COMPREPLY < <(compgen -W "fvecs bvecs fbin u8bin i8bin npy jsonl" -- "$word"); return ;;
    --ids) mapfile -t COMPREPLY < <(compgen -W "number text" -- "$word"); return ;;
    --metric) mapfile -t COMPREPLY < <(compgen -W "l2 cosine ip" -- "$word"); return ;;
    esac
    case ${COMP_WORDS[1]} in
    backup) options="--keep --rate --reread --list --check --drop --quiet --progress --options --json --help" ;;
    bench) options="--read-only --index --vectors --dimension --data --format --queries --searches --metric --k --batch --value-size --threads --time --seed --options --json --help" ;;
    checkpoint) options="--copy --options --help" ;;
    compact) options="--from --to --prefix --hex --base64 --options --json --help" ;;
    crash) options="--time --seed --seeds --points --one-in --steps --subject --only --certify --rounds --json --help" ;;
    create) options="--dimension --metric --ids --index --seed --options --help" ;;
    delete) options="--from --to --prefix --index --whole --hex --base64 --options --help" ;;
    dump) options="--as --key --hex-key --row --posting --index --values --hex --limit --only --options --json --help" ;;
    explain) options="--k --id --why --recall --postings --exhaustive --all --index --options --json --help" ;;
    export) options="--format --index --limit --quiet --progress --options --json --help" ;;
    get) options="--index --hex --base64 --raw --options --json --help" ;;
    import) options="--format --index --create --metric --ids --resume --rejects --max-errors --skip --limit --batch --threads --no-settling --quiet --progress --options --json --help" ;;
    iotest) options="--time --size --json --help" ;;
    ls) options="--json --help" ;;
    put) options="--hex --base64 --append --ttl --create --options --help" ;;
    rebuild) options="--index --metric --dimension --ids --threads --options --json --help" ;;
    repair) options="--to --quarantine --keep-stale --rows --quiet --progress --json --help" ;;
    restore) options="--generation --rate --quiet --progress --json --help" ;;
    scan) options="--from --to --prefix --limit --reverse --keys --count --hex --base64 --options --json --help" ;;
    search) options="--k --queries --format --limit --id --recall --exhaustive --payload --index --options --json --help" ;;
    stat) options="--index --all --json --prometheus --options --help" ;;
    top) options="--index --limit --json --help" ;;
    verify) options="--depth --rate --quiet --progress --options --json --help" ;;
    version) options="--verbose --json --help" ;;
    esac
    case $word in
    -*) mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word") ;;
    esac
}
complete -o bashdefault -o default -F _freshet freshet
