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
bind /dev /dev
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
