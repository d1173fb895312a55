#!/bin/sh
# Builds the fuzz targets with clang and runs each for some seconds, two at a time.
# Inputs found are kept in build-fuzz/corpus; seeds are in tests/fuzz/corpus.
#   scripts/fuzz.sh [SECONDS] [TARGET...]       exit status 1 on a finding
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-10}
[ $# -eq 0 ] || shift
build=build-fuzz
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

if [ ! -f $build/build.ninja ]; then
  CC=clang meson setup $build -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false \
    --buildtype=debugoptimized >&2
fi

targets=${*:-$(for source in tests/fuzz/corpus/*; do basename "$source"; done)}
programs=
for name in $targets; do
  programs="$programs tests/fuzz/fuzz_$name"
done
ninja -C $build $programs >$build/ninja.log || { cat $build/ninja.log; exit 1; }

# run_target NAME: its output is shown only when it finds something.
run_target()
{
  mkdir -p "$build/corpus/$1"
  if "$build/tests/fuzz/fuzz_$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
      -artifact_prefix="$build/found-$1-" "$build/corpus/$1" "tests/fuzz/corpus/$1" \
      >"$build/$1.log" 2>&1; then
    echo "$1: $(sed -n 's/^Done \([0-9]*\) runs.*/\1 runs/p' "$build/$1.log"), nothing found"
  else
    echo "$1: FINDING"
    tail -n 40 "$build/$1.log"
    return 1
  fi
}

failed=0
set -- $targets
while [ $# -gt 0 ]; do
  run_target "$1" &
  first=$!
  shift
  if [ $# -gt 0 ]; then
    run_target "$1" || failed=1
    shift
  fi
  wait $first || failed=1
done
exit $failed
