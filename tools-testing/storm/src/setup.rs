// SPDX-License-Identifier: GPL-2.0
//! What guest code is told before it runs.

use std::mem::offset_of;
use std::sync::atomic::Ordering::SeqCst;

use harness::abi::SharedInfo;

use crate::block::{self, Block};
use crate::book::Book;
use crate::pages::Pages;
use crate::plan::{self, Scan, Upcall};
use crate::world::World;

/// Timeout of polls that have one, in nanoseconds.
const POLL: u64 = 500_000_000;
impl World {
    /// Writes the block of a vCPU that is about to be made.
    pub fn write_block(&self, index: usize, upcall: Upcall) {
        let book = &self.book;
        book.open(index);
        let set = |offset, value| book.of(index, offset).store(value, SeqCst);
        let set_half = |offset, value| book.half_of(index, offset).store(value, SeqCst);
        set(offset_of!(Block, vcpu_info), Pages::vcpu_info(index));
        set(offset_of!(Block, shared_info), Pages::shared_info());
        let scan = match self.plan.scan {
            Scan::Bits64 => block::SCAN_SEL64,
            Scan::Bits32 => block::SCAN_SEL32,
            Scan::Changing => block::SCAN_OWN,
        };
        set_half(offset_of!(Block, scan), scan);
        let mut flags = match upcall {
            Upcall::Vm => 0,
            Upcall::Apic => block::EOI,
            Upcall::Poll | Upcall::PollNowAndThen => block::POLL,
        };
        if self.plan.rearm {
            flags |= block::REARM;
        }
        if self.plan.spin && index == 0 {
            flags |= block::SPIN;
        }
        set_half(offset_of!(Block, flags), flags);
        let mut always = match self.plan.scan {
            Scan::Changing => (1 << plan::first_word(index)) | (1 << plan::RESTLESS_WORD),
            _ => 0,
        };
        if upcall.polls() {
            always |= self.polled_words(index);
            let (timeout, every) = match upcall {
                Upcall::Poll => (0, 0),
                _ if self.plan.timers => (POLL, 3),
                // Events of masked ports end no other wait, but the timer does.
                _ => (POLL, 0),
            };
            self.write_poll(index, timeout);
            set_half(offset_of!(Block, poll_every), every);
        }
        set(offset_of!(Block, always), always);
        if self.plan.timers {
            set(offset_of!(Block, timer_delta), self.plan.timer_delta);
            set_half(offset_of!(Block, timer_port), plan::timer(index));
        }
        self.write_sends(index);
    }

    /// The words of the guest's layout that have a vCPU's polled ports.
    fn polled_words(&self, index: usize) -> u64 {
        let word = plan::polled_word(index);
        match self.plan.scan {
            Scan::Bits32 => 0b11 << (word * 2),
            _ => 1 << word,
        }
    }

    fn write_poll(&self, index: usize, timeout: u64) {
        let polled = Book::block_gpa(index) + offset_of!(Block, polled) as u64;
        let argument = [polled, block::POLLED as u64 + 1, timeout];
        for (word, value) in argument.into_iter().enumerate() {
            let offset = offset_of!(Block, poll_argument) + word * 8;
            self.book.of(index, offset).store(value, SeqCst);
        }
        let info = SharedInfo::new(self.pages.shared_info_page(), self.abi());
        for port in 0..block::POLLED {
            let offset = offset_of!(Block, polled) + port * 4;
            let number = plan::masked(index, port);
            self.book.half_of(index, offset).store(number, SeqCst);
            info.set_masked(number, true);
        }
        // By which it is told to stop: between its look at that and the poll, an event of another
        // port would end no wait.
        let offset = offset_of!(Block, polled) + block::POLLED * 4;
        self.book
            .half_of(index, offset)
            .store(plan::bell(index), SeqCst);
    }

    fn write_sends(&self, index: usize) {
        let vcpus = self.plan.vcpus();
        if self.plan.ipis {
            for to in (0..vcpus).filter(|to| *to != index) {
                self.book
                    .add_send(index, plan::ipi(index, to), plan::ipi(index, to), 0);
            }
        }
        if self.plan.replies {
            let port = plan::ipi(index, (index + 1) % vcpus);
            let trigger = plan::by_ioctl(index);
            self.book.add_send(index, port, port, trigger);
        }
        if self.plan.ring {
            let (before, next) = ((index + vcpus - 1) % vcpus, (index + 1) % vcpus);
            let port = plan::ipi(index, next);
            self.book
                .add_send(index, port, port, plan::ipi(before, index));
        }
        if self.plan.restless {
            let port = plan::restless(index);
            self.book
                .add_send(index, plan::restless_send(index), port, 0);
        }
        if self.plan.eventfd.is_some() {
            let port = plan::to_eventfd(index);
            self.book.add_send(index, port, port, 0);
        }
        self.sends_of[index].store(self.book.sends(index), SeqCst);
    }
}
