#!/bin/sh
# Draws a picture with the demo model: installs what it needs, builds, starts a
# server of its own, draws, stops the server.
#   ./scripts/demo.sh ["a prompt"]
set -eu
cd "$(dirname "$0")/.."
. scripts/packages.sh

prompt=${1:-a sunset over mountains}
build=build-demo
install_packages $build_packages $run_packages

[ -f $build/build.ninja ] || meson setup $build --buildtype=release -Dtests=false >&2
echo "building, which takes minutes the first time (what it does: $build/ninja.log)" >&2
ninja -C $build >$build/ninja.log || { cat $build/ninja.log >&2; exit 1; }

# A server of our own: own port, own store, found by nobody else's settings.
unset OLLAMA_HOST OLLAMA_MODELS OLLAMA_KEEP_ALIVE 2>/dev/null || :
log=$build/gateway.log
EASEL_HOST=127.0.0.1:0 EASEL_MODELS=$PWD/$build/store $build/gateway/easel-gateway 2>$log &
gateway=$!
trap 'kill $gateway 2>/dev/null; wait $gateway 2>/dev/null || :' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

port=
tries=0
while [ -z "$port" ]; do
  port=$(sed -n 's/.*Listening on 127\.0\.0\.1:\([0-9]*\).*/\1/p' $log)
  tries=$((tries + 1))
  if [ -z "$port" ] && { [ $tries -gt 200 ] || ! kill -0 $gateway 2>/dev/null; }; then
    echo "the server did not start:" >&2
    cat $log >&2
    exit 1
  fi
  [ -n "$port" ] || sleep 0.05
done
export EASEL_HOST=127.0.0.1:$port

# The model is made again only when its sources are newer than it.
made=$build/demo-model.made
if [ ! -f $made ] || [ -n "$(find demo -newer $made -print -quit)" ] || ! $build/cli/easel show demo >/dev/null 2>&1; then
  $build/cli/easel create demo -f demo/Modelfile >&2
  touch $made
fi

mkdir -p $build/pictures
$build/cli/easel run demo "$prompt" --seed "${SEED:-1}" -o $build/pictures/ ||
  { echo "the server's log:" >&2; tail -n 20 $log >&2; exit 1; }
