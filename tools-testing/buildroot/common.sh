# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Shared by provision and enter: where things are, and how a command gets
# namespaces of its own. To be sourced.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck disable=SC2034 # used where this is sourced
top=$(cd "$here/../.." && pwd -P)

# chroot, where a user's own PATH leaves it out.
PATH=$PATH:/usr/sbin:/sbin

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# The text between the licence and the first line of code, for --help.
usage() {
	sed -n '/^# SPDX/d; /^#!/d; /^#/!q; s/^# \{0,1\}//; p' "$0" | sed '1{/^$/d}'
}

cache_dir() {
	if [ -n "${XDG_CACHE_HOME:-}" ]; then
		printf '%s/kvm-xen-rs\n' "$XDG_CACHE_HOME"
	elif [ -n "${HOME:-}" ]; then
		printf '%s/.cache/kvm-xen-rs\n' "$HOME"
	else
		die 'neither XDG_CACHE_HOME nor HOME is set: set one to say where the cache goes'
	fi
}
cache=$(cache_dir)

# Root in a user namespace writes other owners than root does, and can't use
# a buildroot that root made: the two never share one.
if [ "$(id -u)" = 0 ]; then
	mode=root
	userns=()
else
	mode=unshare
	# The user becomes root in there, so that what it writes is the user's.
	userns=(--user --map-root-user --map-auto)
fi

hash() {
	sha256sum | cut -c1-12
}

buildroot_key() {
	{
		echo "$mode"
		sed 's/#.*//' "$here/packages"
		cat "$here/buildroot.sh" "$here/dpkg.conf"
	} | hash
}

buildroot_path() {
	printf '%s/buildroot-%s\n' "$cache" "$(buildroot_key)"
}

# What was chosen of the archive's kernels: by these rules, of those that the tree
# is for.
choices_path() {
	printf '%s/kernels-%s\n' "$cache" "$(cat "$here/choose" "$top/rust/kernels/supported" | hash)"
}

# One clear line where namespaces can't be had.
check_namespaces() {
	local why
	if why=$(unshare "${userns[@]}" --mount --pid --fork true 2>&1); then
		return
	fi
	why=${why##*unshare: }
	if [ "$mode" = root ]; then
		die "no new mount and pid namespace ($why): in a container, start it with --privileged"
	elif ! command -v newuidmap >/dev/null; then
		die 'newuidmap is missing: as root, apt-get install uidmap'
	elif ! unshare --user true 2>/dev/null; then
		die "user namespaces are forbidden here ($why): run as root, or allow them (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)"
	fi
	die "no ids for a user namespace ($why): as root, usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)"
}

# namespaces INT CMD...: runs CMD in new mount and pid namespaces, of which
# nothing outlives CMD or us. INT says what Ctrl-C does: "pass" leaves it to
# CMD, "kill" ends all.
#
# CMD runs in the background for bash to heed a signal while it waits; job
# control is off, so it stays in the terminal's foreground group. CMD is not
# the pid namespace's init, as init would be deaf to Ctrl-C.
namespaces() {
	local int=$1 pid again st=0
	shift
	# shellcheck disable=SC2016 # expanded by the inner shell
	env --default-signal=INT,QUIT setpriv --pdeathsig KILL \
		unshare "${userns[@]}" --mount --pid --fork --kill-child \
		bash -c 'trap : INT QUIT; "$@"; exit $?' init "$@" 9>&- <&0 &
	pid=$!
	# shellcheck disable=SC2064 # the pid of now
	trap "kill -KILL $pid 2>/dev/null; exit 143" TERM HUP
	if [ "$int" = kill ]; then
		# shellcheck disable=SC2064
		trap "kill -KILL $pid 2>/dev/null; exit 130" INT
	else
		trap 'again=1' INT
	fi
	while :; do
		again=
		wait "$pid" && st=0 || st=$?
		[ -n "$again" ] || break
	done
	trap - INT TERM HUP
	return "$st"
}
