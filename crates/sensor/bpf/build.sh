#!/bin/sh
# Rebuilds the probes' object, which is committed: building Muster needs no clang.
# usage: bpf/build.sh [OUTPUT]      CLANG and LLVM_STRIP name other versions of the tools
set -eu
cd "$(dirname "$0")"
out=${1:-muster.bpf.o}
"${CLANG:-clang}" -O2 -g -Wall -Werror -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 -c muster.bpf.c -o "$out"
# Without the debug sections; the BTF stays.
"${LLVM_STRIP:-llvm-strip}" -g "$out"
