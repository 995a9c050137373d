# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the recipes of kernels share. To be sourced by one, in the buildroot.

jobs=$(nproc)
# For this run of provision only, so that nothing in it is ever stale.
downloads=/cache/downloads

# phase TITLE CMD...: a part of the recipe. The log and its live line get "I:" at
# its begin, the reader (fd 3) the time that it took.
phase() {
	local title=$1 begin=$SECONDS clear=
	shift
	echo "I: $title"
	"$@"
	[ ! -t 3 ] || clear='\r\033[K'
	printf "$clear%4d s    %s\n" $((SECONDS - begin)) "$title" >&3
}

# Backports alone: less to fetch, and nothing else can be the candidate.
backports=(
	-o Dir::Etc::sourcelist=sources.list.d/backports.list
	-o Dir::Etc::sourceparts=-
	-o APT::Sandbox::User=root
	-o Acquire::Retries=3
)

field() {
	apt-cache "${backports[@]}" show --no-all-versions "$1" | sed -n "s/^$2: //p" | head -n 1
}

# find_kernels SUPPORTED FILE WANT...: what "choose" says of the archive's kernels.
find_kernels() {
	local supported=$1 file=$2
	shift 2
	apt-get "${backports[@]}" -q update
	apt-get "${backports[@]}" indextargets --format '$(FILENAME)' 'Identifier: Packages' |
		xargs -d '\n' /usr/lib/apt/apt-helper cat-file |
		awk '/^Package: /{ name = $2 } /^Version: /{ print name, $2 }' |
		"$(dirname "$0")/choose" "$supported" "$@" >"$file"
}

# The packages that make up the kernel's binary: linux-image-RELEASE and all of
# linux-*-RELEASE that it depends on. Which of them holds what changes.
image_packages() {
	local queue=("linux-image-$release") seen=' ' package
	while [ ${#queue[@]} -gt 0 ]; do
		package=${queue[0]}
		queue=("${queue[@]:1}")
		case $seen in *" $package "*) continue ;; esac
		seen="$seen$package "
		echo "$package"
		mapfile -t -O "${#queue[@]}" queue < <(field "$package" Depends |
			sed 's/[,|]/\n/g' | sed -n "s/^ *\(linux-[a-z-]*-$release\)\( .*\)\{0,1\}$/\1/p")
	done
}

# fetch PACKAGE...: leaves their files in the current directory.
fetch() {
	apt-get "${backports[@]}" -q download "${@/%/=$version}"
}

# download_source: sets $source_package, the file of the source package. In
# $downloads, it serves the recipe that is run next, too.
download_source() {
	local name
	name=linux-source-$(echo "$release" | cut -d. -f1,2)
	# As apt writes an epoch.
	source_package=$downloads/${name}_${version//:/%3a}_all.deb
	if [ ! -f "$source_package" ]; then
		mkdir "$downloads/source.partial"
		(cd "$downloads/source.partial" && fetch "$name")
		mv "$downloads/source.partial/${source_package##*/}" "$source_package"
		rmdir "$downloads/source.partial"
	fi
}

# unpack_source TAR DIR: the kernel's source without its leading directory.
unpack_source() {
	mkdir "$2"
	dpkg-deb --fsys-tarfile "$1" | tar -x -O --wildcards './usr/src/linux-source-*.tar.xz' |
		xz -dc -T0 | tar -x -C "$2" --strip-components=1
}

# prepare_source DIR: makes DIR, which has the .config of $release, ready to
# build modules for it.
prepare_source() (
	cd "$1" || exit
	# bindgen's output is too deep for rustfmt's default stack.
	export RUST_MIN_STACK=67108864
	sed -i 's/^CONFIG_LOCALVERSION=.*/CONFIG_LOCALVERSION=""/' .config
	cp .config .config.stock
	make -j"$jobs" LOCALVERSION="${release#"$(make -s kernelversion)"}" modules_prepare headers
	same_config .config.stock .config
	built=$(cat include/config/kernel.release)
	if [ "$built" != "$release" ]; then
		echo "the prepared source calls itself $built, the stock kernel $release" >&2
		return 1
	fi
)

# same_config OLD NEW: kconfig drops what the tools at hand can't do, and with
# it members of structures, so that modules would not fit. How the compiler was
# called is no matter.
same_config() {
	local options='s/^\(CONFIG_[^=]*=.*\|# CONFIG_.* is not set\)$/\1/p' different
	different=$(diff <(sed -n "$options" "$1" | grep -v '^CONFIG_CC_VERSION_TEXT=') \
		<(sed -n "$options" "$2" | grep -v '^CONFIG_CC_VERSION_TEXT=')) || {
		echo "$different"
		echo "the prepared source's .config differs from the stock kernel's, as above: is a tool missing in the buildroot?" >&2
		return 1
	}
}

# upstream_tests SOURCE DIR: KVM's own Xen selftests, static, and not the library
# for VFIO that they are linked with since 7.3, but don't use. Without them
# there still is a demo: what failed is for "make check" to tell.
upstream_tests() {
	local object
	object=$(mktemp -d)
	mkdir "$2"
	if make -j"$jobs" -C "$1/tools/testing/selftests/kvm" USERLDFLAGS=-static LIBVFIO_O= LDLIBS=-ldl OUTPUT="$object" \
		"$object/x86/xen_shinfo_test" "$object/x86/xen_vmcall_test" 2>&1 | tee "$object/log"; then
		cp "$object/x86/xen_shinfo_test" "$object/x86/xen_vmcall_test" "$2"
	else
		sed -n 's/.*\(error: .*\|Error .*\)/\1/p' "$object/log" | head -n 1 >"$2/failed"
		echo "          they don't build, and fail in make check: $(cat "$2/failed")" >&3
	fi
	rm -rf "$object"
}

# recipe ARG...: the command line of a recipe, which has a function "build".
recipe() {
	local command=$1
	shift
	case $command in
	find) find_kernels "$@" ;;
	build) build "$@" ;;
	esac
}
