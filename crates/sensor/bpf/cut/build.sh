#!/bin/sh
# Rebuilds the object that cuts a lineage off, as ../build.sh does the probes'. Same arguments.
set -eu
export LC_ALL=C
sum() { cat "$@" | sha256sum | cut -d ' ' -f 1; }
sums() { echo "sources: $(sum build.sh cut.bpf.c)"; echo "object: $(sum "$1")"; }

cd "$(dirname "$0")"
clang=${CLANG:-clang}
out=${1:-cut.bpf.o}
[ "$out" != --sums ] || { sums cut.bpf.o; exit; }
"$clang" -O2 -g -Wall -Werror -target bpf -mcpu=v3 -fdebug-compilation-dir=. -c cut.bpf.c -o "$out"
"${LLVM_STRIP:-llvm-strip}" -g "$out"
headers=$("$clang" -target bpf -M cut.bpf.c | tr ' ' '\n' | grep '/bpf/' | sort)
{
  echo "clang: $("$clang" --version | head -n 1)"
  # shellcheck disable=SC2086  # a list of files
  echo "headers: $(sum $headers)"
  sums "$out"
} >"${out%.o}.built"
