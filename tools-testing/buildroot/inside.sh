#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# inside.sh ROOT [SRC DST]... -- CMD...: makes ROOT a whole system and runs CMD
# in it. To be run in mount and pid namespaces of its own (see common.sh), which
# is what undoes the mounts. Each SRC appears as DST in ROOT; SRC "tmpfs" is an
# empty one.
set -eu

root=$1
shift

# A user namespace may copy a mount only with all that is mounted below it.
bind() {
	mount --rbind "$1" "$root$2"
}

# The host's /proc, where a container covers parts of it and so forbids a new one.
mount -t proc proc "$root/proc" 2>/dev/null || bind /proc /proc
bind /sys /sys
mount -o remount,bind,ro "$root/sys"
# Of the devices, those that do no harm, and KVM.
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty kvm; do
	if [ -e "/dev/$device" ]; then
		: >"$root/dev/$device"
		mount --bind "/dev/$device" "$root/dev/$device"
	fi
done
mkdir "$root/dev/pts" "$root/dev/shm"
bind /dev/pts /dev/pts
mount -t tmpfs tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for fd in 0:stdin 1:stdout 2:stderr; do
	ln -s "/proc/self/fd/${fd%:*}" "$root/dev/${fd#*:}"
done
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/run"

while [ "$1" != -- ]; do
	if [ "$1" = tmpfs ]; then
		mount -t tmpfs tmpfs "$root$2"
	else
		[ -e "$root$2" ] || mkdir "$root$2"
		bind "$1" "$2"
	fi
	shift 2
done
shift

if [ -s /etc/resolv.conf ]; then
	bind "$(realpath /etc/resolv.conf)" /etc/resolv.conf
fi

environment=(
	HOME=/root
	USER=root
	PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	LANG=C.UTF-8
	"TERM=${TERM:-dumb}"
	CARGO_HOME=/cache/cargo
	CARGO_TARGET_DIR=/src/build/target
)
# The host may trust a CA of its own: cargo must, too.
for bundle in "${SSL_CERT_FILE:-}" "${CURL_CA_BUNDLE:-}" /etc/ssl/certs/ca-certificates.crt; do
	if [ -n "$bundle" ] && [ -s "$bundle" ]; then
		bind "$(realpath "$bundle")" /etc/ssl/host-ca.crt
		environment+=(CARGO_HTTP_CAINFO=/etc/ssl/host-ca.crt)
		break
	fi
done
for name in CI NO_COLOR COLUMNS RUST_BACKTRACE "${!KVM_XEN_@}" \
	http_proxy https_proxy no_proxy all_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY; do
	[ -z "${!name+set}" ] || environment+=("$name=${!name}")
done

exec chroot "$root" /usr/bin/env -i "${environment[@]}" \
	/bin/sh -c 'cd /src && exec "$@"' sh "$@"
