#!/bin/sh
# A real training run under kleio: stopped half-way, resumed from its last checkpoint, read back. `make demo` runs this.
# The journal is in .demo/ of this checkout, and anew each time.
set -eu
cd "$(dirname "$0")/.."
KLEIO_HOME=$PWD/.demo
export KLEIO_HOME
for name in $(env | sed -n 's/^\(KLEIO_[A-Z_]*\)=.*/\1/p'); do
    [ "$name" = KLEIO_HOME ] || unset "$name" # settings of yours, which would tell another story
done
rm -rf .demo
mkdir .demo

EPOCHS=${EPOCHS:-30}
run=
trap '[ -z "$run" ] || kill "$run" 2>/dev/null || :' EXIT

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

fail() {
    printf '\ndemo: %s\n' "$1" >&2
    exit 1
}

newest() {
    kleio ls --json -n 1 | python -c 'import json, sys; print((json.load(sys.stdin) or [{}])[0].get(sys.argv[1], ""))' "$1"
}

set -- kleio python examples/digits.py --lr 0.1 --epochs $EPOCHS

printf '$ %s &\n' "$*"
"$@" &
run=$!
until trial=$(newest short_id) && [ -n "$trial" ]; do
    kill -0 "$run" 2>/dev/null || fail 'the run ended before its trial was listed'
    sleep 1
done
# Another terminal could watch so: the end of this pipe is reached when half of the epochs are in the journal.
kleio tail -f -n 1000 "$trial" | grep -q "^epoch *$((EPOCHS / 2))/" || fail 'the run ended before half of its epochs were done'

printf '\n$ kill -TERM %s\n' "$run"
kill -TERM "$run"
status=0
wait "$run" || status=$?
run=
[ $status -eq 143 ] || fail "a run that SIGTERM ends has exit status 143, not $status"
show kleio ls
[ "$(newest status)" = interrupted ] || fail 'the trial is not interrupted'

printf '\nThe same command again: the same trial goes on from its last checkpoint.\n'
show "$@"
show kleio ls
show kleio info "$trial"
show kleio tail -n 3 "$trial"

[ "$(newest short_id) $(newest status)" = "$trial completed" ] || fail 'the trial was not resumed and completed'
kleio info "$trial" --json | python -c '
import json, sys
trial = json.load(sys.stdin)
sys.exit(len(trial["executions"]) != 2 or trial["summary"]["epoch"]["max"] != int(sys.argv[1]))
' $EPOCHS || fail 'two executions were to reach the last epoch'
kleio cat "$trial" | grep -q '^continuing after epoch' || fail 'the second execution began anew'

cut=$((EPOCHS * 2 / 3))
printf '\nFrom epoch %s on with another learning rate: a branch, which has the checkpoint and all that was measured up to there.\n' $cut
show kleio branch --timestamp epoch=$cut "$trial" --lr 0.01
show kleio tree "$trial"
branch=$(newest short_id)
kleio tail -n 1000 "$branch" | grep -q "^continuing after epoch $cut\$" || fail "the branch did not go on from epoch $cut"
show kleio diff "$trial" "$branch"
printf '\nThe journal of this demonstration is in .demo/; look around with: KLEIO_HOME=.demo kleio ls\n'
