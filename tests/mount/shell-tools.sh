#!/usr/bin/env bash
# Shell tools do in the mount what they do on the disk beside it: the same steps in both places
# leave the same trees.
. "$RFS_TOP/tests/mount/lib.sh"
need vim rsync setfattr setfacl

# The work of a day, in the current directory.
work() {
	mkdir -p src/deep/er
	for i in 1 2 3 4 5 6 7 8 9; do printf 'line %s\nfoo %s\n' $i $i >"src/file$i.txt"; done
	seq 1 20000 >src/deep/numbers
	head -c 300000 /dev/zero | tr '\0' 'x' >src/deep/er/blob
	vim -es -u NONE -c '%s/foo/bar/' -c 'wq' src/file1.txt
	vim -es -u NONE -c 'set backup writebackup' -c 'normal Gotext' -c 'wq' src/file2.txt
	sed -i 's/foo/baz/; $a\end' src/file3.txt src/file4.txt
	sed -i.orig '1d' src/file5.txt
	ln src/file6.txt src/hard
	ln -s file7.txt src/soft
	ln -s /nowhere/at/all src/dangling
	chmod 640 src/file7.txt
	chmod 4755 src/file8.txt
	setfattr -n user.colour -v blue src/file9.txt
	setfacl -m u:12:r,g:34:rw src/file9.txt
	touch -d '2001-02-03 04:05:06.789012345' src/file9.txt src/deep
	mkfifo src/fifo
	cp -a src copy
	rsync -aHAX src/ synced/
	rsync -aHAX --delete src/deep/ synced/deep/
	tar --acls --xattrs -cf all.tar src
	mkdir untar
	tar --acls --xattrs -xpf all.tar -C untar
	tar -czf all.tgz src && tar -tzf all.tgz | sort >list
	mv copy/deep/numbers copy/moved
	install -m 711 src/file1.txt copy/installed
	dd if=src/deep/er/blob of=copy/dd bs=7001 status=none conv=fsync
	dd if=/dev/zero of=copy/dd bs=1 seek=12345 count=100 conv=notrunc status=none
	split -b 50000 copy/dd copy/part.
	cat copy/part.* | cmp - copy/dd
	sort -R src/deep/numbers | sort -n | cmp - src/deep/numbers
	shred -n 1 -u copy/file1.txt
	truncate -s 1M copy/sparse
	find . -name '*.txt' -newermt 2001-01-01 | sort >found
	grep -rl 'ba[rz]' src | sort >grepped
	find . -type f -name '*.orig' -delete
	rm -rf untar/src/deep
	tac list | tee reversed >/dev/null
}

# tree: all that stat and the contents say of the current directory; times only of what has been
# given one.
tree() {
	find . -mindepth 1 ! -name '*.tgz' ! -name '*.tar' \( -type d -printf '%P %y %m %u %g\n' -o \
		-printf '%P %y %m %u %g %s %n %l\n' \) | sort
	find . -type f ! -name '*.tar' ! -name '*.tgz' -print0 | sort -z | xargs -0 sha256sum
	find . -name file9.txt -print0 | sort -z | xargs -0 stat -c '%n %y'
	find . -name file9.txt -print0 | sort -z | xargs -0 getfattr -d
	find . -name file9.txt -print0 | sort -z | xargs -0 getfacl -n
}

mkdir "$T/disk"
mount_store
for place in "$T/disk" "$MNT"; do
	cd "$place"
	work
	tree >"$T/tree-${place##*/}"
done
diff "$T/tree-disk" "$T/tree-mnt"
diff -r --no-dereference -x fifo "$T/disk/src" "$MNT/synced" 
cd "$T"
remount_store
cd "$MNT"
tree | diff "$T/tree-disk" -
rm -rf -- *
same '' "$(ls -A)"
