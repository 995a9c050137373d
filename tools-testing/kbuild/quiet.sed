# SPDX-License-Identifier: GPL-2.0
#
# What kbuild prints, less what is as it should be: modpost does not know of
# the post-link step, which takes care of the symbols it misses ("undefined"
# looks for all others), and a prepared tree has no vmlinux to take BTF from.
/^WARNING: modpost: "\.klp\.sym\./d
/^WARNING: modpost: [^ ]*: symbol '\.klp\.sym\./d
/^WARNING: modpost: suppressed .* unresolved symbol/d
/^Skipping BTF generation/d
/^  BTF \[M\]/d
/^make\(\[[0-9]*\]\)\{0,1\}: \(Entering\|Leaving\) directory/d
