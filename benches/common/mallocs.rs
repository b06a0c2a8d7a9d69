//! Counts what is asked of malloc, by Rust and by C: both find these functions before the C library's, to which all is handed on.
//! Memory of a larger alignment than malloc's, which is asked for otherwise, is not counted; nobody here does so.

use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};

unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(old: *mut c_void, size: usize) -> *mut c_void;
}

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// How often memory is asked for while it runs. Nothing else may run meanwhile.
pub(crate) fn mallocs(run: impl FnOnce()) -> usize {
    let before = COUNT.load(Ordering::Relaxed);
    run();
    COUNT.load(Ordering::Relaxed) - before
}

/// No read-modify-write: it is counted while a clock runs, too.
fn count() {
    COUNT.store(COUNT.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

// SAFETY: no other function of that name is linked, and it keeps the C library's promises.
#[unsafe(no_mangle)]
extern "C" fn malloc(size: usize) -> *mut c_void {
    count();
    // SAFETY: it takes any size.
    unsafe { __libc_malloc(size) }
}

// SAFETY: as with malloc.
#[unsafe(no_mangle)]
extern "C" fn calloc(number: usize, size: usize) -> *mut c_void {
    count();
    // SAFETY: it takes any two numbers.
    unsafe { __libc_calloc(number, size) }
}

// SAFETY: as with malloc.
#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(old: *mut c_void, size: usize) -> *mut c_void {
    count();
    // SAFETY: the caller's promise about `old` is passed on.
    unsafe { __libc_realloc(old, size) }
}
