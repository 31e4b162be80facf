# gatehouse: GNU make, no configure step.  `make help` says what it can do.

VERSION    := 0.1.0
PREFIX     ?= /usr/local
SYSCONFDIR ?= $(if $(filter /usr,$(PREFIX)),/etc,$(PREFIX)/etc)
BINDIR     := $(PREFIX)/bin
LIBEXECDIR := $(PREFIX)/libexec/gatehouse
POLICYDIR  := $(PREFIX)/share/gatehouse/policy
MANDIR     := $(PREFIX)/share/man
CC         ?= gcc
V          ?= 0
B          := build
Q          := $(if $(filter 1,$(V)),,@)

.DEFAULT_GOAL := all

# ---- What each program is made of -------------------------------------------
# A directory is a trust domain.  _DIRS: all .c files of these directories under
# src/.  _SRC: single files besides.  _LIBS: what it links; _LINK: static means a
# static PIE, executed from a sealed memfd in an empty root.  tests/system/
# test_linkage.py compares this table with the binaries.
BINS     := gatehouse gatehouse-probe
HELPERS  := gatehouse-launcher gatehouse-login gatehouse-auth gatehouse-keys

gatehouse_DIRS          := supervisor config policy confine tools ipc common
gatehouse_SRC           := src/login/tls_settings.c
gatehouse_LIBS          := -lseccomp -lcap-ng -lssl -lcrypto
gatehouse_LINK          := dynamic

gatehouse-probe_DIRS    := probe ipc common
gatehouse-probe_SRC     := src/confine/late.c src/confine/landlock.c src/confine/layers.c
gatehouse-probe_LIBS    :=
gatehouse-probe_LINK    := static

gatehouse-launcher_DIRS := launcher ipc common
gatehouse-launcher_SRC  := src/confine/late.c src/confine/landlock.c src/confine/layers.c
gatehouse-launcher_LIBS :=
gatehouse-launcher_LINK := static

gatehouse-login_DIRS    := login proto ipc common
gatehouse-login_SRC     := src/confine/late.c src/confine/landlock.c src/confine/layers.c
gatehouse-login_LIBS    := -lssl -lcrypto
gatehouse-login_LINK    := static

gatehouse-auth_DIRS     := auth ipc common
gatehouse-auth_SRC      := src/confine/late.c src/confine/landlock.c src/confine/layers.c
gatehouse-auth_LIBS     :=
gatehouse-auth_LINK     := static

gatehouse-keys_DIRS     := keys ipc common
gatehouse-keys_SRC      := src/confine/late.c src/confine/landlock.c src/confine/layers.c
gatehouse-keys_LIBS     := -lcrypto
gatehouse-keys_LINK     := static

# ---- Flags --------------------------------------------------------------------
try  = $(shell echo | $(CC) -Werror $(1) -x c -c -o /dev/null - 2>/dev/null && echo $(1))
HARD := $(foreach f,-fstack-protector-strong -fstack-clash-protection \
	-ftrivial-auto-var-init=zero -fzero-call-used-regs=used-gpr \
	-fcf-protection=full -mbranch-protection=standard \
	-fstrict-flex-arrays=3,$(call try,$(f)))
WARN := -Wall -Wextra -Wshadow -Wformat=2 -Wundef -Wvla -Wstrict-prototypes \
	-Wmissing-prototypes -Wpointer-arith -Wcast-qual -Wwrite-strings \
	-Wimplicit-fallthrough -Wsign-compare
ifeq ($(CI),true)
WARN += -Werror
endif
ifdef SAN
HARD := -fsanitize=$(SAN) -fno-omit-frame-pointer
SANL := -fsanitize=$(SAN)
else
HARD += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif
CFLAGS ?= -O2 -g
BASE := -std=gnu17 $(WARN) -fno-strict-aliasing -fPIE $(HARD) -D_GNU_SOURCE -Isrc -MMD -MP \
	-DVERSION='"$(VERSION)"' -DPOLICY_DIR='"$(POLICYDIR)"' \
	-DLIBEXEC_DIR='"$(LIBEXECDIR)"' -DSYSCONF_DIR='"$(SYSCONFDIR)"'
LINK_dynamic := -pie
LINK_static  := -static-pie
LDBASE := -Wl,-z,relro,-z,now -Wl,-z,noexecstack $(SANL)

# ---- Programs -----------------------------------------------------------------
SRCS := $(sort $(wildcard src/*/*.c))
HDRS := $(sort $(wildcard src/*/*.h src/*/*.def))
src_of = $(sort $(foreach d,$($(1)_DIRS),$(wildcard src/$(d)/*.c)) $($(1)_SRC))
obj_of = $(patsubst src/%.c,$(B)/obj/%.o,$(call src_of,$(1)))

all: $(addprefix $(B)/bin/,$(BINS)) $(addprefix $(B)/libexec/,$(HELPERS))

define program
$(2): $$(call obj_of,$(1)) $(B)/obj/build_id.o
	@mkdir -p $$(@D)
	$$(if $$(Q),@echo "  LINK  $$(@F)")
	$$(Q)$$(CC) $$(CFLAGS) $$(LINK_$$($(1)_LINK)) $$(LDBASE) $$(LDFLAGS) -o $$@ $$^ $$($(1)_LIBS)
endef
$(foreach p,$(BINS),$(eval $(call program,$(p),$(B)/bin/$(p))))
$(foreach p,$(HELPERS),$(eval $(call program,$(p),$(B)/libexec/$(p))))

# `make install PREFIX=/usr` after a plain `make` must not install programs that
# look below /usr/local: objects are made anew when the directories change.
PATHS := $(POLICYDIR) $(LIBEXECDIR) $(SYSCONFDIR)
$(B)/paths: FORCE
	@mkdir -p $(@D)
	@echo '$(PATHS)' | cmp -s - $@ || echo '$(PATHS)' > $@
FORCE:

$(B)/obj/%.o: src/%.c $(B)/paths
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC    $<")
	$(Q)$(CC) $(BASE) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# One id for all programs of a build: the hello between processes compares it.
$(B)/build_id.c: $(SRCS) $(HDRS) Makefile
	@mkdir -p $(@D)
	@printf 'extern const char build_id[];\nconst char build_id[] = "%s-%s";\n' "$(VERSION)" \
	  "$$(cat $(SRCS) $(HDRS) Makefile | sha256sum | cut -c1-16)" > $@
$(B)/obj/build_id.o: $(B)/build_id.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(CFLAGS) -c -o $@ $<

-include $(shell find $(B) -name '*.d' 2>/dev/null)

# ---- Unit tests ---------------------------------------------------------------
# A file tests/unit/test_X.c names what it links in comments:
#     /* SRC: src/ipc/codec.c src/common/str.c */
#     /* LIBS: -lcrypto */
UNIT_SRC := $(sort $(wildcard tests/unit/test_*.c))
UNIT     := $(patsubst tests/unit/%.c,$(B)/unit/%,$(UNIT_SRC))
unit_tag = $(shell sed -n 's,^/\* $(2): \(.*\) \*/$$,\1,p' $(1))
# What it links is made once for all: the programs' objects, and for the sanitizers
# of the fuzz targets a second set.
obj_path = $(patsubst src/%.c,$(B)/$(2)/%.o,$(patsubst tests/lib/%.c,$(B)/$(2)/lib/%.o,$(wildcard $(1))))
$(B)/obj/lib/%.o: tests/lib/%.c $(B)/paths
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -Wno-missing-prototypes -Itests/lib $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
$(B)/obj/unit/%.o: tests/unit/%.c $(B)/paths
	@mkdir -p $(@D)
	$(if $(Q),@echo "  TEST  $*")
	$(Q)$(CC) $(BASE) -Wno-missing-prototypes -Itests/lib $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
define unit
$(B)/unit/$(1): $(B)/obj/unit/$(1).o $(call obj_path,$(call unit_tag,tests/unit/$(1).c,SRC),obj) $(B)/obj/build_id.o
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(CFLAGS) -pie $$(SANL) -o $$@ $$(filter %.o,$$^) -lcmocka $(call unit_tag,tests/unit/$(1).c,LIBS)
endef
$(foreach t,$(UNIT_SRC),$(eval $(call unit,$(basename $(notdir $(t))))))

# The worker that obeys its client (tests/lib/puppet.c), for tests of our channels.
PUPPET := $(B)/puppet/gatehouse-login
$(PUPPET): $(call obj_of,gatehouse-login) $(B)/obj/build_id.o tests/lib/puppet.c
	@mkdir -p $(@D)
	$(if $(Q),@echo "  TEST  puppet")
	$(Q)$(CC) $(BASE) -MF $(B)/puppet/puppet.d -Wno-missing-prototypes $(CPPFLAGS) $(CFLAGS) $(LINK_static) $(LDBASE) \
	  -Wl,--wrap=single_serve $(LDFLAGS) -o $@ $(filter %.o %.c,$^) $(gatehouse-login_LIBS)

# The signer whose signatures go wrong on demand (tests/lib/faulty_sign.c), and that
# lacks memory on demand (tests/lib/lacking_memory.c).
FAULTY := $(B)/faulty/gatehouse-keys
$(FAULTY): $(call obj_of,gatehouse-keys) $(B)/obj/build_id.o $(B)/obj/lib/faulty_sign.o \
  $(B)/obj/lib/lacking_memory.o
	@mkdir -p $(@D)
	$(if $(Q),@echo "  TEST  faulty")
	$(Q)$(CC) $(CFLAGS) $(LINK_static) $(LDBASE) $(LDFLAGS) -Wl,--wrap=EVP_DigestSign \
	  -Wl,--wrap=msg_write -o $@ $^ $(gatehouse-keys_LIBS)
unit: $(UNIT) $(PUPPET) $(FAULTY)

# ---- Fuzz targets -------------------------------------------------------------
# tests/fuzz/fuzz_X.c, same tags; corpus in tests/fuzz/corpus/X.
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_CC  ?= clang
TIME     ?= 60
FUZZ_FLAGS := -std=gnu17 -g -O1 -D_GNU_SOURCE -Isrc -Itests/lib -Wno-macro-redefined -MMD -MP -DPOLICY_DIR='"/p"' \
	-DLIBEXEC_DIR='"/l"' -DSYSCONF_DIR='"/s"' -DVERSION='"0"' -fsanitize=fuzzer-no-link,address,undefined
$(B)/fuzzobj/%.o: src/%.c
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -c -o $@ $<
$(B)/fuzzobj/lib/%.o: tests/lib/%.c
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -c -o $@ $<
$(B)/fuzzobj/fuzz/%.o: tests/fuzz/%.c
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -c -o $@ $<
define fuzz
$(B)/fuzz/$(1): $(B)/fuzzobj/fuzz/$(1).o $(call obj_path,$(call unit_tag,tests/fuzz/$(1).c,SRC),fuzzobj)
	@mkdir -p $$(@D)
	$$(if $$(Q),@echo "  FUZZ  $(1)")
	$$(Q)$(FUZZ_CC) -g -fsanitize=fuzzer,address,undefined -o $$@ $$(filter %.o,$$^) $(call unit_tag,tests/fuzz/$(1).c,LIBS)
endef
$(foreach t,$(FUZZ_SRC),$(eval $(call fuzz,$(basename $(notdir $(t))))))
fuzz-build: $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(FUZZ_SRC))
fuzz: fuzz-build
	scripts/fuzz $(TIME)

# ---- A clock that runs ahead ----------------------------------------------------
# For tests/policy/minimal.py: a worker and a signer on whose clock 100 s pass
# between any two looks at it, so that each DRBG is due for reseeding all the time.
CLOCK := gatehouse-login gatehouse-keys
$(B)/clock/clock_ahead.o: tests/lib/clock_ahead.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(CFLAGS) -c -o $@ $<
define clock
$(B)/clock/$(1): $$(call obj_of,$(1)) $(B)/obj/build_id.o $(B)/clock/clock_ahead.o
	$$(Q)$$(CC) $$(CFLAGS) $$(LINK_$$($(1)_LINK)) $$(LDBASE) $$(LDFLAGS) -Wl,--wrap=time -o $$@ $$^ $$($(1)_LIBS)
endef
$(foreach p,$(CLOCK),$(eval $(call clock,$(p))))
$(B)/clock/%: $(B)/libexec/%
	@mkdir -p $(@D)
	$(Q)cp $< $@
clock: $(addprefix $(B)/clock/,$(HELPERS))

# ---- For people ---------------------------------------------------------------
deps:
	scripts/deps

run:
	scripts/run

bench: all
	scripts/bench

# Which test needs which right; long.  Only needed after a change of a policy.
minimal: all clock
	tests/policy/minimal.py -o docs/minimality.md

# What it needs besides is what the tests need.
escape: all
	@if [ "$$DEPS" != no ]; then scripts/deps --check; fi
	tests/escape/run

# The probe in other sandboxes: README's table (root).
matrix: all
	@if [ "$$DEPS" != no ]; then scripts/deps --check; fi
	tests/escape/matrix --readme

check:
	@if [ "$$DEPS" != no ]; then scripts/deps --check; fi
	$(MAKE) all unit
	scripts/check

define HELP
gatehouse $(VERSION)
  make            build everything into build/
  make deps       install the packages that building, running and testing need (root)
  make run        start a private Dovecot and gatehouse in front of it, on loopback
  make check      install what tests need, build, run every test (DEPS=no: install nothing)
  make escape     try every way out of every process's confinement (root)
  make matrix     try them in other sandboxes, and write the table in README.md (root)
  make fuzz TIME=60   run every fuzz target that many seconds (scripts/fuzz: some)
  make minimal    take away each right of each policy: which test fails? (root; long)
  make bench      what a login costs, beside Dovecot's own login processes (root)
  make install    install below $(PREFIX) (PREFIX=, DESTDIR=, SYSCONFDIR=)
  make uninstall  remove what install put there
  make clean      remove build/
Knobs: CC, CFLAGS, LDFLAGS, V=1 (show commands), SAN=address,undefined
endef
export HELP
help:
	@echo "$$HELP"

MAN := $(sort $(wildcard src/*/*.[1-8]))
install: all
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(POLICYDIR)/examples
	install -m 755 $(addprefix $(B)/bin/,$(BINS)) $(DESTDIR)$(BINDIR)
	install -m 755 $(addprefix $(B)/libexec/,$(HELPERS)) $(DESTDIR)$(LIBEXECDIR)
	install -m 644 $(wildcard policy/*.policy) $(DESTDIR)$(POLICYDIR)
	install -m 644 $(wildcard policy/examples/*.policy) $(DESTDIR)$(POLICYDIR)/examples
	for m in $(MAN); do \
	  install -D -m 644 $$m $(DESTDIR)$(MANDIR)/man$${m##*.}/$$(basename $$m) || exit 1; done

uninstall:
	rm -f $(addprefix $(DESTDIR)$(BINDIR)/,$(BINS))
	rm -rf $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(POLICYDIR)
	for m in $(MAN); do rm -f $(DESTDIR)$(MANDIR)/man$${m##*.}/$$(basename $$m); done

clean:
	rm -rf $(B)

.PHONY: FORCE all unit clock minimal bench escape matrix fuzz fuzz-build deps run check help install uninstall clean
.SECONDARY:
.DELETE_ON_ERROR:
