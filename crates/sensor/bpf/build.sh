clang -O2 -g -Wall -Werror -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 -c muster.bpf.c -o muster.bpf.o
