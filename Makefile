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

BUILDROOT := tools-testing/buildroot
RUN = $(BUILDROOT)/provision && $(BUILDROOT)/enter tools-testing/run
RUN_DEBUG = $(BUILDROOT)/provision --debug && $(BUILDROOT)/enter tools-testing/run

.DEFAULT_GOAL := modules
.PHONY: modules samples port demo check lockgraph fuzz soak takeover mutants shell fmt clippy clean help

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

## samples: build kvm_xen_broken_order.ko, which breaks the lock order on purpose, for KDIR
samples: MO = $(CURDIR)/build/samples
samples:
	@$(call kbuild,$(CURDIR)/samples)
ifneq ($(CLIPPY),1)
	@tools-testing/kbuild/undefined '$(MO)/kvm_xen_broken_order.ko' '$(KDIR)/Module.symvers'
endif

## port: what is new in the files of KDIR that Rust is compared with
port:
	@tools-testing/kbuild/port '$(KDIR)'

## demo: a Debian guest on Xen, its events delivered by Rust (PROMPT=1: and a prompt beside it)
demo:
	@$(RUN) demo $(if $(PROMPT),--shell)

## check: all tests, on a debug kernel too; TESTS=pattern for some of them
check:
	@$(RUN_DEBUG) check $(if $(TESTS),--tests $(TESTS))

## lockgraph: draw the lock order, declared and seen by lockdep (Documentation/lock-order.svg)
lockgraph:
	@$(RUN_DEBUG) lockgraph

## mutants: change the pure code in all small ways, and see that tests notice (an hour)
mutants:
	@$(BUILDROOT)/provision && $(BUILDROOT)/enter tools-testing/mutants

## fuzz: C against Rust by random sequences, MINUTES=10 of them, from another SEED each time
fuzz:
	@$(RUN) check --tests 'fuzz/*' --minutes $(or $(MINUTES),10) \
		--seed $(or $(SEED),$(shell date +%s))

## soak: storms of events for MINUTES=10, with an eye on the kernel's memory (SEED=s)
soak:
	@$(RUN) check --tests 'storm/*' --minutes $(or $(MINUTES),10) \
		--seed $(or $(SEED),$(shell date +%s))

## takeover: take over and hand back TIMES=200 times under a storm and a Debian guest (SEED=s, DEBUG=1)
takeover:
	@$(if $(DEBUG),$(RUN_DEBUG),$(RUN)) check --tests '$(if $(DEBUG),debug/)takeover/*' --times $(or $(TIMES),200) \
		--seed $(or $(SEED),$(shell date +%s))

## shell: a prompt in a machine with KVM and the module
shell:
	@$(RUN) shell

## fmt: format all Rust
fmt:
	cd tools-testing && $(CARGO) fmt
	rustfmt --edition 2021 rust/kvm_xen_rs.rs samples/broken_order/kvm_xen_broken_order.rs

## clippy: lint the modules for KDIR, and the tools
clippy:
	@$(MAKE) --no-print-directory modules CLIPPY=1 MO='$(CURDIR)/build/clippy'
	@$(MAKE) --no-print-directory samples CLIPPY=1 MO='$(CURDIR)/build/clippy-samples'
	cd tools-testing && $(CARGO) clippy --all-targets -- -D warnings

## clean: remove what was built here; the cache outside stays
clean:
	rm -rf build

## help: this list
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)
