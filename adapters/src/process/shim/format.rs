//! Whether the kernel knows how to execute a file.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{Access, OFlags, access};

/// Formats that are registered with the kernel beside its own.
const REGISTERED: &str = "/proc/sys/fs/binfmt_misc";
/// What every such directory has, whatever is registered.
const CONTROLS: [&str; 2] = ["register", "status"];
const HEADER_BYTES: usize = 20;
/// Machines whose programs run on another one, too: i386 on x86-64, and 32-bit Arm on 64-bit Arm.
const ALSO_RUN: [([u8; 2], [u8; 2]); 2] = [([62, 0], [3, 0]), ([183, 0], [40, 0])];

/// Whether the kernel certainly refuses a file as a program: it is no program for this machine and no script.
///
/// An exec through the C library has the shell interpret such a file, a spawn through it has not: the same command
/// line must not mean two things. What may not be executed anyway, cannot be read, or may be a format that was registered, is left to the kernel.
pub(super) fn is_no_program(file: &Path) -> bool {
    access(file, Access::EXEC_OK).is_ok()
        && header(file).is_some_and(|header| !is_known(&header))
        && !others_are_registered()
}

/// The beginning of a regular file.
fn header(file: &Path) -> Option<Vec<u8>> {
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = File::options().read(true).custom_flags(flags).open(file).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut header = Vec::with_capacity(HEADER_BYTES);
    file.take(HEADER_BYTES as u64).read_to_end(&mut header).ok()?;
    Some(header)
}

fn is_known(found: &[u8]) -> bool {
    found.starts_with(b"#!") || found.starts_with(b"\x7fELF") && machine(found).is_some_and(is_run_here)
}

fn machine(header: &[u8]) -> Option<[u8; 2]> {
    header.get(18..20)?.try_into().ok()
}

fn is_run_here(machine_of: [u8; 2]) -> bool {
    let own = header(Path::new("/proc/self/exe")).as_deref().and_then(machine);
    own.is_none_or(|own| own == machine_of || ALSO_RUN.contains(&(own, machine_of)))
}

fn others_are_registered() -> bool {
    let Ok(entries) = std::fs::read_dir(REGISTERED) else { return false };
    entries.flatten().any(|entry| !CONTROLS.iter().any(|control| entry.file_name() == *control))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_this_machine_and_scripts_are_known() {
        let me = header(Path::new("/proc/self/exe")).unwrap();
        assert!(is_known(&me));
        assert!(is_known(b"#!/bin/sh\n"));
        let mut foreign = me;
        foreign[18] = 2;
        for unknown in [&foreign[..], b"", b"hello", b"\x7fELF"] {
            assert!(!is_known(unknown), "{unknown:?}");
        }
    }
}
