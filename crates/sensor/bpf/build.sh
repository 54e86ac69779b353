#!/bin/sh
# Rebuilds the probes' object, which is committed: building Muster needs no clang.
# usage: bpf/build.sh [OUTPUT.o]      CLANG and LLVM_STRIP name other versions of the tools
#        bpf/build.sh --sums          only says what the sources and the committed object are
# Beside the object, OUTPUT.built notes what it came from: `cargo xtask probes` checks that.
set -eu
export LC_ALL=C
sum() { cat "$@" | sha256sum | cut -d ' ' -f 1; }
sums() { echo "sources: $(sum build.sh extras.h kernel.h muster.bpf.c outputs.h wire.h)"; echo "object: $(sum "$1")"; }

cd "$(dirname "$0")"
clang=${CLANG:-clang}
out=${1:-muster.bpf.o}
[ "$out" != --sums ] || { sums muster.bpf.o; exit; }
# The folder is not to be seen in the object: it would be another one in every clone.
"$clang" -O2 -g -Wall -Werror -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 -fdebug-compilation-dir=. \
  -c muster.bpf.c -o "$out"
# Without the debug sections; the BTF stays.
"${LLVM_STRIP:-llvm-strip}" -g "$out"
# The headers of libbpf that are included, wherever this clang finds them.
headers=$("$clang" -target bpf -M muster.bpf.c | tr ' ' '\n' | grep '/bpf/' | sort)
{
  echo "clang: $("$clang" --version | head -n 1)"
  # shellcheck disable=SC2086  # a list of files
  echo "headers: $(sum $headers)"
  sums "$out"
} >"${out%.o}.built"
