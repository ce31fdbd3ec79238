# What the fake batch programs share: jobs as files below $FAKE_BATCH. Nothing depends on time: each look at a cluster (condor_q,
# sacct) shows it as it is and then lets every job go one state further, from idle to running to its end.
#
# jobs/CLUSTER/name          batch name
# jobs/CLUSTER/input         what was given on standard input
# jobs/CLUSTER/N             "STATE DETECTOR": idle, running, ended:EXIT, signal, held, removed
# ends/DETECTOR              how that job ends: an exit code, signal, hold, never, vanish, oom; 0 if there is no such file
# submissions                one batch name a line, for each submission that took effect
# control/fail_submit        as many submissions as it has lines are refused
# control/lost_answer        submissions take effect, print nothing and fail, as often as it has lines
# control/hang_before, control/hang_after    a submission waits, before or after it took effect, while the file is there
# control/deaf               everything but submissions fails, as often as it has lines
# control/before, control/after    seconds that each submission waits, before and after it took effect
# control/slow_removal       seconds that each removal waits

S=$FAKE_BATCH
mkdir -p "$S/jobs" "$S/ends" "$S/control"

# Let go by the kernel if a program is killed while it has it.
exec 9>>"$S/lock"
lock() { flock 9; }
unlock() { flock -u 9; }

# Takes one line off a control file; fails if there is none.
take() {
    [ -s "$S/control/$1" ] || return 1
    sed 1d "$S/control/$1" >"$S/control/$1.new"
    mv "$S/control/$1.new" "$S/control/$1"
}

hang() { while [ -e "$S/control/$1" ]; do sleep 0.01 9>&-; done; }

# wait_for NAME: as many seconds as that control file says.
wait_for() { if [ -s "$S/control/$1" ]; then sleep "$(cat "$S/control/$1")" 9>&-; fi; }

deaf() {
    lock
    if take deaf; then unlock; echo "-- Failed to fetch: cannot connect" >&2; exit 1; fi
    unlock
}

# submit NAME INPUT DETECTORS: sets CLUSTER, or exits.
submit() {
    wait_for before
    hang hang_before
    lock
    if take fail_submit; then unlock; echo "ERROR: Failed to connect to local queue manager" >&2; exit 1; fi
    CLUSTER=$(($(cat "$S/last" 2>/dev/null || echo 41) + 1))
    echo "$CLUSTER" >"$S/last"
    mkdir "$S/jobs/$CLUSTER"
    echo "$1" >"$S/jobs/$CLUSTER/name"
    cp "$2" "$S/jobs/$CLUSTER/input"
    COUNT=0
    for detector in $3; do
        echo "idle $detector" >"$S/jobs/$CLUSTER/$COUNT"
        COUNT=$((COUNT + 1))
    done
    echo "$1" >>"$S/submissions"
    if take lost_answer; then unlock; exit 1; fi
    unlock
    wait_for after
    hang hang_after
}

# The clusters of a batch name.
clusters_of() {
    for own in "$S"/jobs/*/name; do
        [ -e "$own" ] && [ "$(cat "$own")" = "$1" ] && basename "$(dirname "$own")"
    done
}

jobs_of() { ls "$S/jobs/$1" 2>/dev/null | grep '^[0-9]*$' | sort -n; }

advance() {
    for n in $(jobs_of "$1"); do
        read -r state detector <"$S/jobs/$1/$n"
        case $state in
        idle) next=running ;;
        running)
            end=0
            [ -e "$S/ends/$detector" ] && read -r end <"$S/ends/$detector"
            case $end in
            never) next=running ;;
            hold) next=held ;;
            signal) next=signal ;;
            oom) next=oom ;;
            vanish) rm "$S/jobs/$1/$n"; continue ;;
            *) next=ended:$end ;;
            esac ;;
        *) continue ;;
        esac
        # Whole or not at all.
        echo "$next $detector" >"$S/jobs/$1/new.$n"
        mv "$S/jobs/$1/new.$n" "$S/jobs/$1/$n"
    done
}

# remove CLUSTER: what has not ended.
remove() {
    for n in $(jobs_of "$1"); do
        read -r state detector <"$S/jobs/$1/$n"
        case $state in idle | running | held) echo "removed $detector" >"$S/jobs/$1/$n" ;; esac
    done
    echo "$1" >>"$S/removals"
}
