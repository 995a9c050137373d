#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# buildroot.sh DIR: makes Debian trixie with what "packages" names in DIR. To be
# run as root, or as root of a user namespace (see common.sh).
set -eu

here=$(dirname "$(realpath "$0")")
dir=$1

include=$(sed 's/#.*//' "$here/packages" | tr -s ' \t\n' ',' | sed 's/^,//; s/,$//')

export KVM_XEN_DPKG_CONF=$here/dpkg.conf
# shellcheck disable=SC2016 # the hook's shell expands it
options=(
	--mode=root
	--variant=apt
	--format=directory
	--components=main
	"--include=$include"
	--aptopt='APT::Install-Recommends "false"'
	--aptopt='Acquire::Languages "none"'
	# As a hook, not as --dpkgopt: that has mmdebstrap filter the essential
	# packages in Python, for 8 s.
	--extract-hook='cp "$KVM_XEN_DPKG_CONF" "$1/etc/dpkg/dpkg.cfg.d/kvm-xen-rs"'
)
# apt on the host may need a proxy, then so does apt in there.
for scheme in http https; do
	proxy=
	eval "$(apt-config shell proxy "Acquire::$scheme::Proxy")"
	[ -z "$proxy" ] || options+=(--aptopt="Acquire::$scheme::Proxy \"$proxy\"")
done

# mmdebstrap has dash write to a descriptor of its own, which must be below 10:
# leave it none of ours.
for fd in /proc/self/fd/*; do
	case ${fd##*/} in
	0 | 1 | 2 | 255) ;;
	*) eval "exec ${fd##*/}>&-" ;;
	esac
done
mmdebstrap "${options[@]}" trixie "$dir"

sed -n 's/ trixie main/ trixie-backports main/p' "$dir/etc/apt/sources.list" \
	>"$dir/etc/apt/sources.list.d/backports.list"
[ -s "$dir/etc/apt/sources.list.d/backports.list" ] || {
	echo "no line with 'trixie main' in $dir/etc/apt/sources.list" >&2
	exit 1
}
# Where things of the host appear (see inside.sh).
mkdir "$dir/src" "$dir/cache"
touch "$dir/etc/resolv.conf" "$dir/etc/ssl/host-ca.crt"

# What decides whether a kernel prepared before still fits.
# shellcheck disable=SC2016 # dpkg-query's own variables
chroot "$dir" dpkg-query -Wf '${Package} ${Version}\n' \
	gcc-14 binutils rustc rust-src bindgen libclang1-19 clang-19 lld-19 pahole >"$dir/etc/toolchain"
