#!/usr/bin/env bash
# What CI runs, cheapest first; stops at the first failure; ends with a table of what ran and how long it took.
#
#   scripts/check.sh              the embedded lane: needs a Rust toolchain, a C compiler, make and perl, nothing else
#   scripts/check.sh --audit      the dependencies: licences, sources, unused ones (cargo-deny, cargo-machete)
#   scripts/check.sh --real       the real lane: the same tests, the demo and the Python peers on the servers of scripts/stack
#   scripts/check.sh --list       the steps of all lanes
#   scripts/check.sh --only NAME  one step of any lane
#
# Clippy and rustdoc share one kind of artefact, tests and the demo the other; every step uses the dev profile, so each dependency is
# compiled once for each kind and its build script (OpenSSL, librdkafka) runs once in all.
#
#   CATCHER_PEERS    a script to source that puts the observatory's Python packages on PYTHONPATH; without it their tests are skipped
#   CATCHER_STACK_*  as in scripts/stack
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-always}
if [ -n "${CI:-}" ]; then # nothing is built twice there: incremental data cost time and disk, colours are noise
  export CARGO_INCREMENTAL=0 CARGO_TERM_COLOR=never CARGO_TERM_PROGRESS_WHEN=never CARGO_NET_RETRY=5
fi
# A changed lock file would mean that something else is tested than what users build.
locked=--locked

EMBEDDED="format scripts lint tests doctests rules docs demo"
AUDIT="deny machete"
REAL="stack real-tests real-demo peers"

# ---- embedded lane --------------------------------------------------------------------------------------------------
step_format() { cargo fmt --all -- --check; }
step_scripts() {
  local file
  for file in scripts/stack scripts/check.sh scripts/bench .ci/run; do [ ! -e "$file" ] || bash -n "$file"; done
  # The SAL scripts: syntax and schemas; what needs salobj is skipped by the tests themselves.
  if command -v python3 >/dev/null 2>&1; then python3 -m unittest discover -q -s scripts/sal/tests; else echo "no python3: scripts/sal is not tested"; fi
  if ! command -v shellcheck >/dev/null 2>&1; then skip "shellcheck is not installed (syntax checked)"; return; fi
  shellcheck -S warning scripts/stack scripts/check.sh .ci/run
}
step_lint() { cargo clippy $locked --workspace --all-targets -- -D warnings; }
step_tests() {
  cargo test $locked --workspace --lib --bins --tests --examples
  cargo test $locked --bench storm # the benchmark checks its own counts
}
step_doctests() { cargo test $locked --workspace --doc; }
step_rules() { catcher rules test config_schema/examples; }
step_docs() { # private items are documented too, so links to them are sound
  RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc $locked --workspace --no-deps --document-private-items --quiet
}
step_demo() { catcher demo --once --json; }

# ---- audit lane -----------------------------------------------------------------------------------------------------
step_deny() {
  if ! cargo deny --version >/dev/null 2>&1; then skip "cargo-deny is not installed"; return; fi
  cargo deny --config .deny.toml check licenses bans sources
}
step_machete() {
  if ! cargo machete --version >/dev/null 2>&1; then skip "cargo-machete is not installed"; return; fi
  cargo machete
}

# ---- real lane ------------------------------------------------------------------------------------------------------
step_stack() { scripts/stack start kafka registry influx2; start_if_possible influx1; start_if_possible s3; scripts/stack status; }
start_if_possible() { scripts/stack start "$1" || echo "$1 is not to be had here: its tests are skipped"; }
step_real-tests() { with_stack cargo test $locked --workspace --lib --bins --tests; }
step_real-demo() {
  cargo build $locked --bin catcher
  # shellcheck disable=SC2016
  with_stack bash -c 'export INFLUX_ORG=$CATCHER_TEST_INFLUX2_ORG INFLUX_BUCKET=$CATCHER_TEST_INFLUX2_BUCKET INFLUX_TOKEN=$CATCHER_TEST_INFLUX2_TOKEN
    exec "${CARGO_TARGET_DIR:-target}/debug/catcher" demo --once --json --broker "$CATCHER_TEST_KAFKA_BROKER" \
      --registry "$CATCHER_TEST_REGISTRY_URL" --efd "$CATCHER_TEST_INFLUX2_URL"'
}
step_peers() {
  if [ -z "${CATCHER_PEERS:-}" ]; then skip "CATCHER_PEERS is not set: no Python salobj here"; return; fi
  if [ ! -x tests/interop/run ]; then skip "tests/interop/run is not there"; return; fi
  # shellcheck disable=SC1090
  (. "$CATCHER_PEERS"; with_stack tests/interop/run)
}
with_stack() { # the servers' addresses in the environment of one command
  local lines; lines=$(scripts/stack env) || return 1
  [ -n "$lines" ] || { echo "no server runs: scripts/stack start" >&2; return 1; }
  (eval "$lines"; "$@")
}
catcher() { cargo run $locked --quiet --bin catcher -- "$@" </dev/null; }

# ---- running steps --------------------------------------------------------------------------------------------------
table=() skipped=""
skip() { skipped="$*"; echo "SKIPPED: $*"; }
summary() {
  printf '\n%-12s %8s  %s\n' step seconds result
  local row; for row in "${table[@]}"; do printf '%s\n' "$row"; done
}
run_step() { # a failing step ends the program: the table says which
  local name=$1 start=$SECONDS status=0
  printf '\n==== %s\n' "$name"; skipped=""
  # Not `step || ...`: that would switch off stopping at errors inside the step.
  set +e; (set -e; "step_$name" </dev/null; [ -z "$skipped" ] || exit 99); status=$?; set -e
  case $status in
    0) table+=("$(printf '%-12s %8s  passed' "$name" $((SECONDS - start)))") ;;
    99) table+=("$(printf '%-12s %8s  skipped' "$name" $((SECONDS - start)))") ;;
    *) table+=("$(printf '%-12s %8s  FAILED (exit %s)' "$name" $((SECONDS - start)) "$status")"); summary; exit 1 ;;
  esac
}

case ${1:-} in
  "") steps=$EMBEDDED ;;
  --audit) steps=$AUDIT ;;
  --real) steps=$REAL ;;
  --list) printf 'embedded: %s\naudit: %s\nreal: %s\n' "$EMBEDDED" "$AUDIT" "$REAL"; exit 0 ;;
  --only) steps=${2:?--only needs the name of a step} ;;
  *) echo "scripts/check.sh: unknown argument '$1' (see the head of the file)" >&2; exit 2 ;;
esac
for name in $steps; do
  case " $EMBEDDED $AUDIT $REAL " in *" $name "*) run_step "$name" ;; *) echo "scripts/check.sh: no step '$name' (--list)" >&2; exit 2 ;; esac
done
summary
