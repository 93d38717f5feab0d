# Sourced by the scripts that set a machine up. Each step says what it does; one that fails says which it was, shows the
# end of what it printed, and says what to do.
#
#   step WHAT COMMAND...    runs a command quietly, and ends the script with its output and the remedy if it fails
#   remedy TEXT             what a failure of the next step asks for
#   packages NAME...        installs Debian packages
#   has PROGRAM...          true if all of these programs can be run
#   as_root COMMAND...      runs a command with root's rights

name=$(basename "$0")

say() { echo "$name: $*"; }

fail() {
    echo "$name: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "this needs root's rights: $*; run it as root, or install sudo and let $(id -un) use it"
    fi
}

# Some programs are in directories that a user's PATH may lack.
has() {
    local program
    for program in "$@"; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || return 1
    done
}

hint=
remedy() { hint=$*; }

step() {
    local what=$1 output status=0
    shift
    say "$what"
    output=$(mktemp)
    ("$@") >"$output" 2>&1 </dev/null || status=$?
    if [ $status != 0 ]; then
        {
            echo "$name: this step failed: $what"
            echo "$name: \`$*\` exited with $status; the end of its output:"
            tail -n 20 "$output" | sed 's/^/    /'
            [ -z "$hint" ] || echo "$name: $hint"
        } >&2
        rm -f "$output"
        exit 1
    fi
    rm -f "$output"
    hint=
}

# The lists of packages are fetched once, before the first package is installed.
lists_are_fresh=no
fetch_lists() {
    has apt-get || fail "there is no apt-get on this machine; install these by hand: $*"
    if [ $lists_are_fresh = no ]; then
        remedy "does this machine reach the servers named in /etc/apt/sources.list and /etc/apt/sources.list.d?"
        step "fetching the lists of packages" as_root apt-get -o DPkg::Lock::Timeout=300 update
        lists_are_fresh=yes
    fi
}

packages() {
    fetch_lists "$@"
    remedy "mend what apt-get complains of, or install these by hand: $*; then run this again"
    step "installing $*" as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
}
