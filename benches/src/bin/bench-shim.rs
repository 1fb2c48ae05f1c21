//! The same as `tacho-shim`, so that building a benchmark builds it, too.
//!
//! With glibc it begins without the standard library's own beginning, which looks through all that is mapped for the end
//! of the stack: that costs a fifth of a start, and a shim has no use for it.
#![cfg_attr(target_env = "gnu", no_main)]

#[cfg(target_env = "gnu")]
mod entry {
    #![expect(unsafe_code, reason = "the entry must be called what the C library calls it; decision 22")]

    // SAFETY: this is the program's `main` for the C library, and there is no other of this name. The library hands over
    // the arguments to the standard library by itself.
    #[unsafe(no_mangle)]
    extern "C" fn main() -> i32 {
        i32::from(tachograph_adapters::shim::main())
    }
}

#[cfg(not(target_env = "gnu"))]
fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(tachograph_adapters::shim::main())
}
