#!/bin/bash
# Every suite: installs what the tests need, builds, runs, and ends with the line
# "N passed, N failed". Exit status 1 if any failed.
#   ./scripts/test.sh            all of it
#   ./scripts/test.sh quick      without sanitizers, fuzzers and PyPI clients
set -u
cd "$(dirname "$0")/.."
. scripts/packages.sh
mode=${1:-all}
passed=0
failed=0

install_packages $build_packages $run_packages $test_packages || { echo "0 passed, 1 failed"; exit 1; }

# step NAME COMMAND...: one thing that passes or fails as a whole.
step()
{
  local name=$1
  shift
  echo "== $name"
  if "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $name"
  fi
}

# meson_suite NAME BUILD ARGUMENTS...: adds up what meson counted.
meson_suite()
{
  local name=$1 build=$2 log ok bad
  shift 2
  log=$build/$name.log
  echo "== $name"
  # Many tests wait more than they compute.
  meson test -C "$build" --num-processes "$processes" --print-errorlogs "$@" 2>&1 | tee "$log" | grep -Ev '^ninja|^$'
  ok=$(awk '/^(Ok|Expected Fail):/ { n += $NF; seen = 1 } END { if (seen) print n }' "$log")
  bad=$(awk '/^(Fail|Timeout|Unexpected Pass):/ { n += $NF } END { print n + 0 }' "$log")
  # No summary at all is a failure too, never a silent pass.
  if [ -z "$ok" ]; then
    ok=0
    bad=1
  fi
  passed=$((passed + ok))
  failed=$((failed + bad))
  grep -E ' SKIP ' "$log" | sed 's/^/skipped: /' || :
}

# build DIRECTORY OPTIONS...: configures once, builds.
build()
{
  local dir=$1
  shift
  [ -f "$dir/build.ninja" ] || meson setup "$dir" -Dwerror=true "$@" || return 1
  ninja -C "$dir"
}

finish()
{
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
  exit
}

processes=$(($(nproc) > 4 ? $(nproc) : 4))
# A finding of UBSan ends the program like one of ASan does.
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

step 'build' build build-test
[ "$failed" -eq 0 ] || finish
meson_suite tests build-test --no-suite clients

if [ "$mode" = all ]; then
  # The optimizer sees what the debug build's warnings do not.
  step 'release build' build build-release --buildtype=release -Dtests=false
  step 'build with ASan and UBSan' build build-asan -Db_sanitize=address,undefined -Db_lundef=false
  meson_suite sanitizers build-asan --no-suite clients --no-suite style --timeout-multiplier 5
  step 'fuzzers, 10 s each' scripts/fuzz.sh 10
  if scripts/clients.sh build-test/venv; then
    EASEL_CLIENTS=$PWD/build-test/venv/bin/python3 meson_suite clients build-test --suite clients
  else
    echo 'skipped: clients (PyPI cannot be reached)'
  fi
fi
finish
