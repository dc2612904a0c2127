#!/usr/bin/env bash
# POSIX ACLs: set and shown, bound to the mode, inherited with and against the umask, copied, kept.
. "$RFS_TOP/tests/mount/lib.sh"
need setfacl getfacl

acl() { getfacl -cpn "$1" | grep -v '^$' | tr '\n' ' ' | sed 's/ $//'; }
mode() { stat -c %a "$1"; }

# The same steps on the disk beside the mount say what must come out.
work() {
	umask 022
	touch f && chmod 640 f
	setfacl -m u:1001:rw,g:2002:r f
	echo "f $(mode f) $(acl f)"
	chmod 600 f # changes the mask, not the group's entry
	echo "chmod $(mode f) $(acl f)"
	setfacl -m m::rwx f
	echo "mask $(mode f) $(acl f)"
	setfacl -x u:1001 f && setfacl -x g:2002 f && setfacl -x m f
	echo "minimal $(mode f) $(acl f)"
	setfacl -m u:1001:x f && setfacl -b f
	echo "none $(mode f) $(acl f)"

	mkdir d && chmod 750 d
	setfacl -d -m u::rwx,u:1001:rwx,g::rx,g:2002:rwx,o::r,m::rwx d
	echo "d $(mode d) $(acl d)"
	# A default ACL takes the place of the umask
	umask 077
	touch d/file && mkdir d/dir && ln -s x d/link && mkfifo d/fifo
	for name in d/file d/dir d/fifo; do echo "$name $(mode $name) $(acl $name)"; done
	mkdir d/dir/deeper && touch d/dir/deeper/file
	echo "deeper $(acl d/dir/deeper) $(acl d/dir/deeper/file)"
	(umask 0 && mkdir -m 711 d/given && echo "given $(mode d/given) $(acl d/given)")
	echo '#!/bin/sh' >d/script && chmod 755 d/script
	echo "script $(mode d/script) $(acl d/script)"
	setfacl -k d
	touch d/later
	echo "later $(mode d/later) $(acl d) $(acl d/later)"
	# Without a default ACL the umask counts
	mkdir plain && touch plain/file
	echo "plain $(mode plain) $(mode plain/file) $(acl plain/file)"
	cp -a d copied
	echo "copied $(acl copied/dir) $(acl copied/file)"
	chmod 2770 d && mkdir d/inherits
	echo "setgid $(mode d/inherits) $(acl d/inherits)"
	setfacl -m u:1001:rw d/later && mv d/later moved
	echo "moved $(acl moved)"
}

mkdir "$T/disk"
mount_store
for place in "$T/disk" "$MNT"; do
	cd "$place"
	work >"$T/acl-${place##*/}"
done
cd "$T"
if ! grep -q 'user:1001' "$T/acl-disk"; then skip "no ACLs on the disk below $T"; fi
diff "$T/acl-disk" "$T/acl-mnt"
expect_error EINVAL setfattr -n system.posix_acl_access -v 0x0200000001000600 "$MNT/f"
remount_store
for name in d d/dir d/file d/dir/deeper/file moved copied; do
	same "$(acl "$T/disk/$name")" "$(acl "$MNT/$name")" "$name after the remount"
done
