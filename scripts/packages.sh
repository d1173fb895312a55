# Sourced by demo.sh and test.sh: Debian packages, and how to get them.

build_packages="gcc pkg-config meson ninja-build glslang-tools libvulkan-dev
  libevent-dev libhttp-parser-dev libuv1-dev libjansson-dev libssl-dev libcurl4-openssl-dev libpng-dev
  libjpeg62-turbo-dev libwebp-dev libpcre2-dev libutf8proc-dev zlib1g-dev libdnnl-dev"
run_packages="mesa-vulkan-drivers"
test_packages="clang libclang-rt-14-dev libcmocka-dev vulkan-validationlayers
  python3 python3-venv zsh fish shellcheck mandoc docker-registry curl jq"

# install_packages NAME...: installs what is missing, as root or through sudo.
install_packages()
{
  missing=
  for package in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
      missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  echo "installing:$missing" >&2
  as_root=
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
      echo "these Debian packages are missing and there is no sudo; as root run:" >&2
      echo "  apt-get install$missing" >&2
      return 1
    }
    as_root=sudo
  fi
  $as_root apt-get update -q >&2 &&
    $as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get install -q -y --no-install-recommends $missing >&2
}
