#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A debug kernel, built from the source of a stock kernel of trixie-backports by
# clang, as Rust with KASAN asks for it, and ready to build modules for. To be
# run in the buildroot, by provision:
#
# kernel-debug.sh build DIR V R [FRAGMENT]  of the source of the stock kernel with
#                                           version V and release R, into DIR;
#                                           FRAGMENT.config is put on top
set -euo pipefail
# shellcheck source=kernel.sh
. "$(dirname "$0")/kernel.sh"

configs=$(realpath "$(dirname "$0")")

# The smallest config, with ours on top. kconfig drops without a word what is
# gone, renamed, or wants something else.
configure() {
	cd "$out/source"
	make LLVM=1 tinyconfig
	scripts/kconfig/merge_config.sh -m .config "${wanted[@]}"
	make LLVM=1 olddefconfig
	# What a later one has is what counts.
	different=$(cat "${wanted[@]}" | tac | sed -n '/^CONFIG_/p' | sort -s -t= -u -k1,1 | while IFS= read -r line; do
		case $line in
		# Part of CONFIG_SYSCTL since 7.3.
		CONFIG_PROC_SYSCTL=y) ;;
		*=n) ! grep -q "^${line%=n}=" .config || echo "$line" ;;
		*) grep -qxF "$line" .config || echo "$line" ;;
		esac
	done)
	if [ -n "$different" ]; then
		echo "${wanted[*]##*/} has what this kernel's kconfig does not take:" "${different//$'\n'/, }" >&2
		return 1
	fi
}

compile() {
	cd "$out/source"
	# bindgen's output is too deep for rustfmt's default stack.
	export RUST_MIN_STACK=67108864
	make LLVM=1 -j"$jobs" bzImage modules
}

install_kernel() {
	cd "$out/source"
	cp arch/x86/boot/bzImage "$out/vmlinuz"
	make LLVM=1 INSTALL_MOD_PATH="$out" modules_install
	cat include/config/kernel.release >"$out/release"
}

build() {
	local out=$1 different wanted=("$configs/kernel-debug.config")
	version=$2
	release=$3
	[ -z "${4:-}" ] || wanted+=("$configs/$4.config")
	phase "downloading its source" download_source
	phase "unpacking its source" unpack_source "$source_package" "$out/source"
	phase "configuring it" configure
	phase "building it" compile
	phase "installing it" install_kernel
}

recipe "$@"
