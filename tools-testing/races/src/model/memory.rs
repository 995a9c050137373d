// SPDX-License-Identifier: GPL-2.0

//! Guest memory, mapped or away.

use super::{fully_ordered, Broken};
use crate::{
    abi::layout::{Bits, Field, Structure, Words},
    prelude::*,
    sync::{
        order::{GpcLock, GpcRefreshLock},
        Ctx, Held, InKvmSrcu, InSection, InVmMm, MayEnter, MaySleep, Within,
    },
};
use loom::sync::{
    atomic::{
        AtomicBool, AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
    },
    RwLock, RwLockReadGuard, RwLockWriteGuard,
};
use std::{cell::Cell, collections::BTreeMap, marker::PhantomData};

/// The word of 32 bits that a bit is in, and the bit in that word.
pub(crate) fn word_of<S: Structure>(bits: &Bits<S>, nr: u32) -> (usize, u32) {
    let (array, nr) = bits.locate(nr);
    (array + nr as usize / 32 * 4, 1 << (nr % 32))
}

/// A page, as far as it is used: its words of 32 bits by their offset.
pub(crate) struct Page {
    /// `gpc->lock`, where somebody waits for it. Elsewhere it is nothing, and orders nothing.
    lock: Option<RwLock<()>>,
    words: BTreeMap<usize, AtomicU32>,
    valid: AtomicBool,
    /// Whether there is a page, and the clock in it. Tests change that, but not beside others.
    active: Cell<bool>,
    time: Cell<[u64; 4]>,
    /// Whether KVM was told that it was written to.
    pub(crate) dirty: Cell<bool>,
    broken: Option<Broken>,
}

impl Page {
    /// A page of zeros, mapped.
    pub(crate) fn new(
        words: impl IntoIterator<Item = usize>,
        locked: bool,
        broken: Option<Broken>,
    ) -> Self {
        let words = words.into_iter().map(|at| (at / 4 * 4, AtomicU32::new(0)));
        Self {
            lock: locked.then(|| RwLock::new(())),
            words: words.collect(),
            valid: AtomicBool::new(true),
            active: Cell::new(true),
            time: Cell::new([0; 4]),
            dirty: Cell::new(false),
            broken,
        }
    }

    /// Has there be no page, as long as the VMM wants.
    pub(crate) fn deactivate(&self) {
        self.active.set(false);
        self.invalidate();
    }

    /// Has there be a page, not mapped yet, with a clock in it.
    pub(crate) fn activate(&self, time: [u64; 4]) {
        self.active.set(true);
        self.time.set(time);
    }

    /// Takes the mapping away, as an MMU notifier does.
    pub(crate) fn invalidate(&self) {
        self.valid.store(false, Release);
    }

    /// The word at an offset.
    pub(crate) fn word(&self, offset: usize) -> &AtomicU32 {
        let word = self.words.get(&(offset / 4 * 4));
        word.unwrap_or_else(|| panic!("the model has no word at {offset:#x}"))
    }
}

/// A pfn cache for a structure `S`.
pub(crate) struct Gpc<'a, S> {
    page: &'a Page,
    _of: PhantomData<fn() -> S>,
}

impl<S> Clone for Gpc<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Gpc<'_, S> {}

impl<'a, S: Structure> Gpc<'a, S> {
    pub(crate) fn new(page: &'a Page) -> Self {
        Self {
            page,
            _of: PhantomData,
        }
    }

    pub(crate) fn is_active(self) -> bool {
        self.page.active.get()
    }

    fn mapping<'g>(self, lock: ReadLock<'g>) -> Option<Mapping<'g, S>>
    where
        'a: 'g,
    {
        self.page.valid.load(Acquire).then_some(Mapping {
            locked: Locked { gpc: self, lock },
        })
    }

    pub(crate) fn peek<T: Plain, H: Held>(
        self,
        _cx: &mut Ctx<'_, H>,
        field: &Field<S, T>,
    ) -> Option<T> {
        let lock = match &self.page.lock {
            Some(lock) => Some(lock.try_read().ok()?),
            None => None,
        };
        self.mapping(lock).map(|mapping| mapping.load(field))
    }

    pub(crate) fn try_read<'g, H: InKvmSrcu>(
        self,
        _cx: &'g mut Ctx<'_, H>,
    ) -> Option<Mapping<'g, S>>
    where
        'a: 'g,
    {
        let lock = match &self.page.lock {
            Some(lock) => Some(lock.try_read().ok()?),
            None => None,
        };
        self.mapping(lock)
    }

    pub(crate) fn lock<'g, H>(self, _cx: &'g mut Ctx<'_, H>) -> Locked<'g, S>
    where
        'a: 'g,
        H: InKvmSrcu + MayEnter<GpcLock>,
    {
        let lock = self.page.lock.as_ref();
        Locked {
            gpc: self,
            lock: lock.map(|lock| lock.read().expect("never poisoned")),
        }
    }

    pub(crate) fn lock_alone<H: MayEnter<GpcLock>>(self, _cx: &mut Ctx<'_, H>) -> WriteLock<'a> {
        if self.page.broken == Some(Broken::Gate) {
            return None;
        }
        let lock = self.page.lock.as_ref().expect("the test waits for it");
        Some(lock.write().expect("never poisoned"))
    }

    pub(crate) fn wait_for_readers<H: MaySleep + MayEnter<GpcLock>>(self, cx: &mut Ctx<'_, H>) {
        drop(self.lock_alone(cx));
    }

    pub(crate) fn read<'g, H>(self, cx: &'g mut Ctx<'_, H>) -> Result<Mapping<'g, S>>
    where
        'a: 'g,
        H: InKvmSrcu + InVmMm + MaySleep + MayEnter<GpcRefreshLock>,
    {
        // Once: whoever takes the page away again and again keeps nobody waiting for good.
        self.refresh(cx)?;
        Ok(Mapping {
            locked: Locked {
                gpc: self,
                lock: None,
            },
        })
    }

    pub(crate) fn refresh<H>(self, _cx: &mut Ctx<'_, H>) -> Result
    where
        H: InKvmSrcu + InVmMm + MaySleep + MayEnter<GpcRefreshLock>,
    {
        if !self.is_active() {
            return Err(EINVAL);
        }
        // As KVM does, so that who comes here for the lock and not for the page waits for it.
        let lock = self.page.lock.as_ref();
        let _alone = lock.map(|lock| lock.write().expect("never poisoned"));
        self.page.valid.store(true, Release);
        Ok(())
    }
}

/// `gpc->lock`, held for reading.
type ReadLock<'g> = Option<RwLockReadGuard<'g, ()>>;
/// `gpc->lock`, held for writing.
pub(crate) type WriteLock<'g> = Option<RwLockWriteGuard<'g, ()>>;

/// A cache with its lock held for reading.
pub(crate) struct Locked<'g, S> {
    gpc: Gpc<'g, S>,
    lock: ReadLock<'g>,
}

impl<'g, S: Structure> Locked<'g, S> {
    pub(crate) fn map(self) -> Option<Mapping<'g, S>> {
        self.gpc.mapping(self.lock)
    }
}

/// A structure of the guest's, mapped.
pub(crate) struct Mapping<'g, S> {
    locked: Locked<'g, S>,
}

/// Integers that are in one word.
pub(crate) trait Plain: Copy {
    fn from_word(word: u32) -> Self;
    fn into_word(self) -> u32;
}

impl Plain for u8 {
    fn from_word(word: u32) -> Self {
        word as u8
    }

    fn into_word(self) -> u32 {
        self.into()
    }
}

impl<'g, S: Structure> Mapping<'g, S> {
    pub(crate) fn locked(&self) -> &Locked<'g, S> {
        &self.locked
    }

    fn page(&self) -> &'g Page {
        self.locked.gpc.page
    }

    pub(crate) fn cx(&mut self) -> Ctx<'_, Within<GpcLock, InSection>> {
        // SAFETY: In a read section, and with the lock held where it is one.
        unsafe { Ctx::assert() }
    }

    pub(crate) fn load<T: Plain>(&self, field: &Field<S, T>) -> T {
        T::from_word(self.page().word(field.offset()).load(Relaxed))
    }

    pub(crate) fn store<T: Plain>(&self, field: &Field<S, T>, value: T) {
        assert!(field.offset() % 4 == 0, "the first byte of a word");
        self.page()
            .word(field.offset())
            .store(value.into_word(), Relaxed);
    }

    pub(crate) fn load_words<const N: usize>(&self, _words: &Words<S, N>) -> [u64; N] {
        let mut words = [0; N];
        words.copy_from_slice(&self.page().time.get());
        words
    }

    pub(crate) fn test_and_set(&self, bits: &Bits<S>, nr: u32) -> bool {
        let (at, mask) = word_of(bits, nr);
        let word = self.page().word(at);
        let was = match self.page().broken {
            Some(Broken::PendingWithoutBarrier) => word.fetch_or(mask, Relaxed),
            _ => fully_ordered(|| word.fetch_or(mask, Relaxed)),
        };
        was & mask != 0
    }

    pub(crate) fn test(&self, bits: &Bits<S>, nr: u32) -> bool {
        let (at, mask) = word_of(bits, nr);
        self.page().word(at).load(Relaxed) & mask != 0
    }

    pub(crate) fn mark_dirty(&self) {
        self.page().dirty.set(true);
    }
}
