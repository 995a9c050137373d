#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# generate.sh BINDGEN KERNEL-BINDINGS KERNEL-PARAMETERS ALLOW HEADER OUT CFLAGS...
#
# Bindings for KVM, from the kernel's own headers. A type that the kernel
# crate's bindings have must be that one and not a look-alike, so bindgen runs
# twice: once to learn which types the allowed items reach, once without those
# that KERNEL-BINDINGS define, which are imported in their place.
set -eu

bindgen=$1 theirs=$2 parameters=$3 allow=$4 header=$5 out=$6
shift 6

# The structures and unions in a file, and those of which it has the name alone.
# An alias made twice is one type still: aliases do not count.
types() { grep -oE 'pub (struct|union) [A-Za-z0-9_]+' "$1" | sed 's/.* //' | LC_ALL=C sort -u; }
names() {
	tr -s '\n ' '  ' <"$1" | grep -oE 'pub struct [A-Za-z0-9_]+ \{ _unused' |
		sed 's/^pub struct //; s/ .*//' | LC_ALL=C sort -u
}
options() { grep -hEv '^[[:space:]]*(#|$)' "$@"; }

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

run() ( # run OUT CFLAGS...
	to=$1
	shift
	# The options are quoted for a shell, as in the kernel's own file, and
	# full of patterns that this one must leave alone.
	set -f
	eval "\"\$bindgen\" \"\$header\" $(tr '\n' ' ' <"$tmp/options") \
		--rust-target 1.85 --use-core --ctypes-prefix ffi --no-layout-tests \
		--no-debug '.*' --enable-function-attribute-detection \
		-o \"\$to\" -- \"\$@\""
)

options "$parameters" "$allow" >"$tmp/options"
run "$tmp/all.rs" "$@"

types "$theirs" >"$tmp/theirs"
types "$tmp/all.rs" >"$tmp/ours"
names "$theirs" >"$tmp/their-names"
names "$tmp/all.rs" >"$tmp/our-names"
export LC_ALL=C
# What they know by name alone is ours to define, if we can.
comm -23 "$tmp/their-names" "$tmp/our-names" >"$tmp/left-to-us"
comm -12 "$tmp/theirs" "$tmp/ours" | comm -23 - "$tmp/left-to-us" |
	sed 's/.*/--blocklist-type ^&$/' >>"$tmp/options"
run "$tmp/deduplicated.rs" "$@"

{
	echo "pub use kernel::bindings::*;"
	sed -E 's/pub const RUST_CONST_HELPER_([A-Za-z0-9_]*)/pub const \1/g' "$tmp/deduplicated.rs"
} >"$out"
