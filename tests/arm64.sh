#!/bin/sh
# The other processor: cross-build for arm64 and run the unit programs under emulation; their frozen bits must be the
# same there.  For developers (`make test-arm64`); installs Debian's cross compiler, qemu and the arm64 libraries.
set -eu
cd "$(dirname "$0")/.."
sudo=""
[ "$(id -u)" = 0 ] || sudo=sudo
$sudo dpkg --add-architecture arm64
$sudo apt-get update -qq
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends --no-remove \
  gcc-aarch64-linux-gnu libc6-dev-arm64-cross libc6:arm64 qemu-user-static \
  libopenblas-dev:arm64 libcjson-dev:arm64 zlib1g-dev:arm64 libsqlite3-dev:arm64 >/dev/null
build=build-arm64
programs=$(ls tests/unit/test_*.c | sed "s#tests/unit/\(.*\)\.c#$build/tests/\1#")
make --no-print-directory BUILD=$build CC=aarch64-linux-gnu-gcc WERROR=-Werror deps-build= $build/personalllm.so $programs
for program in $programs; do
  wrapper=$build/tests/run_$(basename "$program")
  printf '#!/bin/sh\nexec qemu-aarch64-static %s\n' "$program" >"$wrapper"
  chmod +x "$wrapper"
done
BUILD=$build tests/run.sh $build/tests/run_test_*
