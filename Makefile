# SPDX-License-Identifier: GPL-2.0
#
# kvm-xen-rs: KVM's Xen event channels in Rust. `make help` says what there is.

# The kernel to build for: a prepared build of its source.
KDIR ?= /lib/modules/$(shell uname -r)/build
# The kvm.ko that it is for, whose build id the module is to insist on: KDIR's,
# or the one that is installed for that release, unless it is said.
KVM_KO ?=
# Where the module's objects go.
MO ?= $(CURDIR)/build/module

CARGO ?= cargo
export CARGO_TARGET_DIR ?= $(CURDIR)/build/target

# The archive's kernel that machines boot, if not the newest of those supported:
# 7.2, 7.2.9, 7.3-rt, 7.3-cloud, newest.
KERNEL ?= default
# A debug kernel is built from its source, whatever its flavour.
DEBUG_KERNELS = $(addprefix $(patsubst %-rt,%,$(patsubst %-cloud,%,$(KERNEL))),-debug -debug-rt)
# With a kernel's name tests are run on that alone; with none, on "others" too.
BESIDE = $(or $(KERNELS),$(if $(filter default,$(KERNEL)),others))

BUILDROOT := tools-testing/buildroot
# run KERNEL...: the runner, when these are there
run = $(BUILDROOT)/provision $(1) && $(BUILDROOT)/enter tools-testing/run --kernel '$(KERNEL)'
RUN = $(call run,$(KERNEL))
RUN_DEBUG = $(call run,$(KERNEL) $(DEBUG_KERNELS))

.DEFAULT_GOAL := modules
.PHONY: modules modules_install deb samples port detour demo recording sample check check-upstream check-proposals alarms bench lockgraph litmus fuzz soak coverage takeover mutants shell htmldocs rustdoc rust-analyzer fmt clippy clean help

# kbuild DIR: the modules in DIR, quietly, into MO
kbuild = tools-testing/kbuild/preflight '$(KDIR)' '$(MO)' || exit; \
	{ $(MAKE) --no-print-directory -C '$(KDIR)' M='$(1)' MO='$(abspath $(MO))' \
		KBUILD_MODPOST_WARN=1 modules 2>&1; echo $$? >'$(MO)/.status'; } | \
		sed -u -f tools-testing/kbuild/quiet.sed; exit "$$(cat '$(MO)/.status')"

## modules: build kvm_xen_rs.ko for KDIR (the running kernel's build by default; UNREVIEWED=1: any kernel)
modules:
	@$(call kbuild,$(CURDIR))
ifneq ($(CLIPPY),1)
	@cd tools-testing && $(CARGO) build --quiet -p klp-link
	@id=$$(tools-testing/kbuild/build-id '$(KDIR)' '$(KVM_KO)') || exit; \
		$(CARGO_TARGET_DIR)/x86_64-unknown-linux-gnu/debug/klp-link --build-id "$$id" '$(MO)/kvm_xen_rs.ko'
	@tools-testing/kbuild/undefined '$(MO)/kvm_xen_rs.ko' '$(KDIR)/Module.symvers'
endif

## modules_install: put it below INSTALL_MOD_PATH/lib/modules/RELEASE, for modprobe
modules_install:
	@[ -e '$(MO)/kvm_xen_rs.ko' ] || { echo 'kvm_xen_rs.ko is not built yet: make modules' >&2; exit 1; }
	@$(MAKE) --no-print-directory -C '$(KDIR)' M='$(CURDIR)' MO='$(abspath $(MO))' modules_install

## deb: a Debian package with the module for KERNEL, in build/deb
deb:
	@$(BUILDROOT)/provision '$(KERNEL)' && $(BUILDROOT)/enter tools-testing/deb/build '$(KERNEL)'

## samples: build kvm_xen_broken_order.ko, which breaks the lock order on purpose, and
##        lockdep_blind.ko, which does so where lockdep does not see it, for KDIR
samples: MO = $(CURDIR)/build/samples
samples:
	@$(call kbuild,$(CURDIR)/samples)
ifneq ($(CLIPPY),1)
	@for module in kvm_xen_broken_order lockdep_blind; do \
		tools-testing/kbuild/undefined '$(MO)'/$$module.ko '$(KDIR)/Module.symvers' || exit; done
endif

## port: what is new in the files of KDIR that Rust is compared with
port:
	@tools-testing/kbuild/port '$(KDIR)'

## detour: build kvm_xen_detour.ko, a livepatch that changes nothing, for the benchmark and KDIR
detour: MO = $(CURDIR)/build/detour
detour:
	@$(call kbuild,$(CURDIR)/tools-testing/bench/module)

## demo: a Debian guest on Xen, its events delivered by Rust (PROMPT=1: and a prompt beside it)
demo:
	@$(RUN) demo $(if $(PROMPT),--shell)

## recording: draw a run of the demo, animated (Documentation/demo.svg)
recording:
	@$(BUILDROOT)/provision '$(KERNEL)' && $(BUILDROOT)/enter tools-testing/recording '$(KERNEL)' Documentation/demo.svg

## sample: samples/hello-xen, a small VMM whose guest is one of Xen, on C and on Rust
sample:
	@$(RUN) sample

## check: all tests, on debug kernels too, and a part of them on other kernels (KERNELS=all: on all
##        that the archive has); TESTS=pattern for some of them, SEED=s for what was random before
check:
	@$(call run,$(KERNEL) $(DEBUG_KERNELS) $(BESIDE)) check $(addprefix --beside ,$(BESIDE)) \
		$(addprefix --seed ,$(SEED)) $(if $(TESTS),--tests $(TESTS))

## alarms: break the module on purpose, in one way after the other, and see which test notices
##        (NAME=pattern for some of the ways; they are in tools-testing/runner/alarms.toml)
alarms:
	@$(RUN_DEBUG) alarms $(addprefix --seed ,$(SEED)) $(NAME)

## check-upstream: build the debug kernel's KVM with each C patch of samples/upstream, and see that
##        what it mends fails without it and passes with it (PATCH=name: one of them; RT=1: with
##        PREEMPT_RT); writes Documentation/upstream.rst
check-upstream:
	@$(RUN_DEBUG) check-upstream $(if $(RT),--rt) $(PATCH)

## check-proposals: build the debug kernel with the patches of samples/proposals for the kernel crate,
##        run the crate's doctests in it, and the module on it (PATCH=name: one of them)
check-proposals:
	@$(RUN_DEBUG) check-proposals $(PATCH)

## litmus: the order of memory accesses, by herd7 and the memory model in KDIR's source
litmus:
	@tools-testing/litmus/run '$(KDIR)'

## lockgraph: draw the lock order, declared and seen by lockdep (Documentation/lock-order.svg)
lockgraph:
	@$(RUN_DEBUG) lockgraph

## mutants: change the pure code in all small ways, and see that tests notice (an hour)
mutants:
	@$(BUILDROOT)/provision && $(BUILDROOT)/enter tools-testing/mutants

## coverage: which lines of the module run in the tests on Rust (TESTS=pattern: in some of them)
coverage:
	@$(RUN) coverage $(if $(TESTS),--tests $(TESTS)) $(addprefix --seed ,$(SEED))

## bench: what C and Rust cost, path by path (RUNS=5, PATHS=glob, COMPARE=old.json; TRACED=trace or
##        top: with Rust's tracepoints on)
bench:
	@$(RUN) bench --commit '$(shell git describe --always --dirty 2>/dev/null)' \
		$(if $(RUNS),--runs $(RUNS)) $(if $(PATHS),--paths '$(PATHS)') \
		$(if $(TRACED),--traced '$(TRACED)') $(if $(COMPARE),--compare '$(COMPARE)')

## fuzz: C against Rust by random sequences, MINUTES=10 of them, from another SEED each time
fuzz:
	@$(RUN) check --tests 'fuzz/*' --minutes $(or $(MINUTES),10) $(addprefix --seed ,$(SEED))

## soak: storms of events for MINUTES=10, with an eye on the kernel's memory (SEED=s)
soak:
	@$(RUN) check --tests 'storm/*' --minutes $(or $(MINUTES),10) $(addprefix --seed ,$(SEED))

## takeover: take over and hand back TIMES=200 times under a storm and a Debian guest (SEED=s, DEBUG=1)
takeover:
	@$(if $(DEBUG),$(RUN_DEBUG),$(RUN)) check --tests '$(if $(DEBUG),debug/)takeover/*' --times $(or $(TIMES),200) $(addprefix --seed ,$(SEED))

## shell: a prompt in a machine with KVM and the module
shell:
	@$(RUN) shell

## htmldocs: Documentation/ as HTML, in build/htmldocs (SPHINXBUILD=sphinx-build: by that of this machine)
htmldocs:
ifdef SPHINXBUILD
	@SPHINXBUILD='$(SPHINXBUILD)' tools-testing/htmldocs build/htmldocs
else
	@$(BUILDROOT)/provision && $(BUILDROOT)/enter tools-testing/htmldocs build/htmldocs
endif
	@echo 'made build/htmldocs/index.html'

## rustdoc: the module's own documentation, from its source, in build/rustdoc/html, for KDIR
rustdoc: MO = $(CURDIR)/build/rustdoc
rustdoc: export KVM_XEN_RS_ONLY = html/done
rustdoc:
	@$(call kbuild,$(CURDIR))
	@echo 'made $(MO)/html/kvm_xen_rs/index.html'

## rust-analyzer: rust-project.json, by which rust-analyzer knows the module and the kernel crate, for KDIR
rust-analyzer: MO = $(CURDIR)/build/rust-analyzer
rust-analyzer: export KVM_XEN_RS_ONLY = cfgs
rust-analyzer:
	@$(call kbuild,$(CURDIR))
	@$(MAKE) --no-print-directory -C '$(KDIR)' M='$(CURDIR)' MO='$(abspath $(MO))' rust-analyzer
	@tools-testing/kbuild/rust-project '$(MO)' >rust-project.json
	@echo 'made $(CURDIR)/rust-project.json'

## fmt: format all Rust
fmt:
	cd tools-testing && $(CARGO) fmt
	rustfmt --edition 2021 rust/kvm_xen_rs.rs samples/broken_order/kvm_xen_broken_order.rs

## clippy: lint the modules for KDIR, and the tools
clippy:
	@$(MAKE) --no-print-directory modules CLIPPY=1 MO='$(CURDIR)/build/clippy'
	@$(MAKE) --no-print-directory samples CLIPPY=1 MO='$(CURDIR)/build/clippy-samples'
	cd tools-testing && $(CARGO) clippy --workspace --all-targets -- -D warnings

## clean: remove what was built here; the cache outside stays
clean:
	rm -rf build rust-project.json

## help: this list; KERNEL=7.2, 7.2.9, 7.3-rt, newest… is for all that boot machines
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)
