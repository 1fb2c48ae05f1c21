//! A program that has its libraries in it. Most of what a short program costs is finding, mapping and relocating them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// What the standard library asks the linker for, and the archives that have the same.
const LIBRARIES: [(&str, &[&str]); 3] =
    [("c", &["libc.a", "libgcc_eh.a", "libgcc.a"]), ("gcc_s", &["libgcc_eh.a"]), ("m", &["libm.a"])];

/// Has a program of this package linked with archives in the place of shared libraries, still at random addresses. Where
/// they are missing, or where it is not known that it works, the program is linked like any other.
///
/// The compiler's own switch for that holds for all programs of a build and for what runs while building, too. So the
/// linker is shown texts of its own that have the names of the shared libraries and name the archives.
pub(crate) fn link(program: &str) -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let has_own_libraries =
        env::var("CARGO_CFG_TARGET_FEATURE").is_ok_and(|all| all.split(',').any(|one| one == "crt-static"));
    let is_native = env::var("HOST").ok() == env::var("TARGET").ok();
    if !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") || has_own_libraries || !is_native {
        return Ok(());
    }
    let archives = ["libc.a", "libm.a", "libgcc.a", "libgcc_eh.a", "rcrt1.o"];
    if !archives.iter().all(|archive| is_there(archive)) {
        return Ok(());
    }
    let place = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("linked-in");
    fs::create_dir_all(&place)?;
    for (library, archives) in LIBRARIES {
        let named: Vec<_> = archives.iter().map(|archive| format!("-l:{archive}")).collect();
        fs::write(place.join(format!("lib{library}.so")), format!("GROUP({})\n", named.join(" ")))?;
    }
    println!("cargo::rustc-link-arg-bin={program}=-static-pie");
    if knows_packed_relocations() {
        println!("cargo::rustc-link-arg-bin={program}=-Wl,-z,pack-relative-relocs");
    }
    println!("cargo::rustc-link-arg-bin={program}=-L{}", place.display());
    Ok(())
}

/// Whether what relocates the program at its start, in the C library, knows the short form of telling what to relocate: a
/// few hundred bytes in the place of some pages. A linker that does not know it leaves the long form.
fn knows_packed_relocations() -> bool {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let version = |told: &str| -> Option<(u32, u32)> {
        let (major, minor) = told.trim().strip_prefix("glibc ")?.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    told.is_ok_and(|told| version(&String::from_utf8_lossy(&told.stdout)).is_some_and(|version| version >= (2, 36)))
}

/// Whether the C compiler, which links, finds this file of its own.
fn is_there(file: &str) -> bool {
    let told = Command::new("cc").arg(format!("-print-file-name={file}")).output();
    told.is_ok_and(|told| Path::new(String::from_utf8_lossy(&told.stdout).trim()).is_absolute())
}
