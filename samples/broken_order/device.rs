// SPDX-License-Identifier: GPL-2.0

//! A misc device that only has ioctls, and that its module outlives.
//!
//! [`MiscDeviceRegistration`] leaves `owner` of the file operations empty, so that a module can be
//! unloaded with its device open, and the next call of it runs what is no longer there. This one
//! sets it.

use crate::bindings;
use core::marker::PhantomData;
use kernel::{
    error::to_result,
    fs::File,
    miscdevice::{MiscDevice, MiscDeviceOptions, MiscDeviceRegistration},
    prelude::*,
    types::Opaque,
};

/// What a device does.
pub(crate) trait Ioctl: 'static {
    /// Does what `cmd` asks for.
    fn ioctl(cmd: u32, arg: usize) -> Result;
}

/// A registered device. It is open to root alone, as devices are that say nothing else.
#[pin_data(PinnedDrop)]
pub(crate) struct Device<T: Ioctl> {
    operations: bindings::file_operations,
    #[pin]
    misc: Opaque<bindings::miscdevice>,
    _of: PhantomData<T>,
}

// SAFETY: Nothing is done with a device but to unregister it, which any task may do.
unsafe impl<T: Ioctl> Send for Device<T> {}
// SAFETY: There is nothing to do with a reference to a device.
unsafe impl<T: Ioctl> Sync for Device<T> {}

impl<T: Ioctl> Device<T> {
    /// Registers a device of `module`.
    pub(crate) fn register(
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> impl PinInit<Self, Error> {
        let misc = MiscDeviceOptions { name }.into_raw::<Adapter<T>>();
        try_pin_init!(&this in Self {
            operations: bindings::file_operations {
                owner: module.as_ptr(),
                // SAFETY: `into_raw` points to a constant.
                ..unsafe { *misc.fops }
            },
            misc <- Opaque::try_ffi_init(move |slot: *mut bindings::miscdevice| {
                let misc = bindings::miscdevice {
                    // SAFETY: `this` is where `operations` has been written to just above.
                    fops: unsafe { &raw const (*this.as_ptr()).operations },
                    ..misc
                };
                // SAFETY: The slot may be written to.
                unsafe { slot.write(misc) };
                // SAFETY: Both the slot and the operations are pinned, and the device is
                // unregistered before they go. The open operation takes the slot for a
                // `MiscDeviceRegistration`, which is one `miscdevice` and nothing else.
                to_result(unsafe { bindings::misc_register(slot) })
            }),
            _of: PhantomData,
        })
    }
}

#[pinned_drop]
impl<T: Ioctl> PinnedDrop for Device<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: There is no value of this type but after it was registered.
        unsafe { bindings::misc_deregister(self.misc.get()) };
    }
}

/// A device of the kernel crate's that does what `T` does.
struct Adapter<T>(PhantomData<T>);

#[vtable]
impl<T: Ioctl> MiscDevice for Adapter<T> {
    type Ptr = ();

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result {
        Ok(())
    }

    fn ioctl(_device: (), _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        T::ioctl(cmd, arg).map(|()| 0)
    }
}
