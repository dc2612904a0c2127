#!/usr/bin/env bash
# A C project is configured, compiled, tested, changed and built again inside the mount, with make
# and with meson.
. "$RFS_TOP/tests/mount/lib.sh"
need gcc make meson ar

mount_store
mkdir -p "$MNT/project"
cd "$MNT/project"
cat >configure <<'SCRIPT'
#!/bin/sh
# What autoconf's tests do: compile small programs and look what comes of it.
set -e
: >config.h
for header in stdio.h unistd.h not_there.h; do
	printf '#include <%s>\nint main(void) { return 0; }\n' "$header" >conftest.c
	if cc -o conftest conftest.c 2>>config.log && ./conftest; then
		echo "#define HAVE_$(echo $header | tr a-z. A-Z_) 1" >>config.h
	fi
	rm -f conftest conftest.c
done
mv config.h config.h.tmp && mv config.h.tmp config.h
SCRIPT
chmod +x configure
for i in $(seq 1 12); do
	printf '#include "config.h"\nint f%s(int x);\nint f%s(int x) { return x + %s; }\n' \
		"$i" "$i" "$i" >"f$i.c"
done
{
	echo '#include "config.h"'
	echo '#include <stdio.h>'
	for i in $(seq 1 12); do echo "int f$i(int x);"; done
	echo 'int main(void) { int x = 0;'
	for i in $(seq 1 12); do echo "x = f$i(x);"; done
	printf 'printf("%%d\\n", x); return 0; }\n'
} >main.c
cat >Makefile <<'MAKE'
objects = $(patsubst %.c,%.o,$(wildcard f*.c))
program: main.o libf.a
	$(CC) -o $@ main.o libf.a
libf.a: $(objects)
	ar rcs $@ $^
%.o: %.c config.h
	$(CC) -O1 -g -c -o $@ $<
MAKE
cat >meson.build <<'MESON'
project('p', 'c')
l = shared_library('f', run_command('sh', '-c', 'ls f*.c', check: true).stdout().split())
test('t', executable('program', 'main.c', link_with: l))
MESON
./configure
same 2 "$(grep -c HAVE_ config.h)"
make -s -j2
same 78 "$(./program)"
same "make: 'program' is up to date." "$(make)"
sed -i 's/x + 3/x + 103/' f3.c
make -s
same 178 "$(./program)"
meson setup out >"$T/meson.out"
ninja -C out >>"$T/meson.out"
same 178 "$(out/program)"
meson test -C out >>"$T/meson.out"
same 'ninja: no work to do.' "$(ninja -C out | tail -n 1)"
cd "$T"
remount_store
cd "$MNT/project"
same 178 "$(./program)"
same "make: 'program' is up to date." "$(make)"
