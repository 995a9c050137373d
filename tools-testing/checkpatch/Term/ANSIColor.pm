# SPDX-License-Identifier: GPL-2.0
#
# The names that the kernel's checkpatch.pl takes from Term::ANSIColor, without any
# colour: Debian's perl-base has no such module.
package Term::ANSIColor;

use strict;
use warnings;
use Exporter 'import';

my @names = qw(RESET BOLD RED GREEN YELLOW BLUE MAGENTA CYAN);
our @EXPORT_OK = @names;
our %EXPORT_TAGS = (constants => \@names);

for my $name (@names) {
	no strict 'refs';
	*{$name} = sub () { '' };
}

1;
