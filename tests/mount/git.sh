#!/usr/bin/env bash
# git clone, commit, branch, merge, gc and fsck inside the mount.
. "$RFS_TOP/tests/mount/lib.sh"
need git

export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
export GIT_CONFIG_NOSYSTEM=1
git config --global init.defaultBranch main
git config --global safe.directory '*'

git init -q origin
cd origin
for d in one two three; do
	mkdir $d
	for i in $(seq 1 40); do seq "$i" $((i * 50)) >"$d/$i"; done
	git add . && git commit -qm "$d"
done
cd "$T"
mount_store
git clone -q --no-hardlinks origin "$MNT/clone"
cd "$MNT/clone"
same '' "$(git status --porcelain)"
git fsck --strict --no-progress
git checkout -q -b topic
sed -i 's/^1/X/' one/*
git commit -qam topic
git checkout -q main
git rm -q two/7 && git mv three/1 moved && git commit -qm main
git merge -q -m merge topic
git stash list
git gc -q --prune=now
git fsck --strict --no-progress
git push -q origin topic
wanted=$(git rev-parse 'HEAD^{tree}')
cd "$T"
remount_store
cd "$MNT/clone"
same '' "$(git status --porcelain)"
git fsck --strict --no-progress
same "$wanted" "$(git write-tree)"
git worktree add -q ../second topic
same '' "$(git -C ../second status --porcelain)"
