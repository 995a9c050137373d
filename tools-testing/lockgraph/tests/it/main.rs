// SPDX-License-Identifier: GPL-2.0

mod cli;
mod compare;
mod declaration;
mod doc;
mod lockdep;
mod picture;
mod threads;
