// SPDX-License-Identifier: GPL-2.0

mod compare;
mod declaration;
mod doc;
mod lockdep;
mod picture;
mod threads;
