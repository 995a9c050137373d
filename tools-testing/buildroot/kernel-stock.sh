#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A stock kernel of trixie-backports, and its source made ready to build modules
# for it. To be run in the buildroot, by provision:
#
# kernel-stock.sh find SUPPORTED FILE WANT...  writes what "choose" says
# kernel-stock.sh build DIR V R                version V, release R, into DIR
set -euo pipefail
# shellcheck source=kernel.sh
. "$(dirname "$0")/kernel.sh"

download() {
	mapfile -t packages < <(image_packages)
	fetch "${packages[@]}" "linux-headers-$release"
	download_source
}

unpack() {
	unpack_source "$source_package" "$out/source"
	dpkg-deb --fsys-tarfile "linux-headers-$release"_*.deb |
		tar -x -C "$out/source" --strip-components=4 --wildcards '*/Module.symvers' '*/.config'
}

unpack_image() {
	local package
	mkdir image
	for package in "${packages[@]}"; do
		dpkg-deb -x "$package"_*.deb image
	done
	find image \( -path '*/boot/vmlinuz-*' -o -name vmlinuz \) -type f -exec cp {} "$out/vmlinuz" \;
	if [ ! -f "$out/vmlinuz" ]; then
		echo "none of ${packages[*]} holds a vmlinuz" >&2
		return 1
	fi
	mkdir -p "$out/lib/modules"
	mv "$(dirname "$(find image -type d -path "*/modules/$release/kernel")")" "$out/lib/modules/$release"
	depmod -b "$out" "$release"
}

# Much of the source's Rust waits for one crate: there is time to unpack.
prepare() {
	unpack_image &
	prepare_source "$out/source"
	wait $!
}

build() {
	local out=$1 packages
	version=$2
	release=$3
	mkdir "$out/debs"
	cd "$out/debs"
	phase "downloading its packages" download
	phase "unpacking its source" unpack
	phase "preparing its source, unpacking its modules" prepare
	cd "$out"
	rm -rf debs
	phase "building upstream's selftests" upstream_tests "$out/source" "$out/upstream"
	# Two thirds of it, and nothing that a module of KVM's is built from.
	rm -rf source/Documentation source/drivers source/sound
	echo "$release" >release
}

recipe "$@"
