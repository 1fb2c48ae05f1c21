//! Whether the system lets this process have more threads.

use std::io;
use std::sync::RwLock;
use std::thread::{Builder, scope};
use std::time::Duration;

/// None of them does anything.
const STACK_BYTES: usize = 64 * 1024;
/// How often, and how long each time, is looked for whether they are gone: together some hundredths of a second.
const LOOKS_MAX: u32 = 200;
const LOOK_PAUSE: Duration = Duration::from_micros(100);

/// Starts so many threads at once, which do nothing, and returns when they are gone: whoever is about to start that many
/// learns of a limit as an error, where a library that starts them by itself would panic or wait for ever. Blocks for
/// less than a millisecond unless the machine is busy. It promises nothing for later: others may take the room meanwhile.
///
/// # Errors
///
/// What the system says if they cannot all be there at once: EAGAIN at a limit on processes and threads.
pub fn room_for(count: usize) -> io::Result<()> {
    let before = present();
    let gate = RwLock::new(());
    let made = scope(|scope| {
        let closed = gate.write();
        let waits = || drop(gate.read());
        let start = |_| Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, waits).map(drop);
        let made = (0..count).try_for_each(start);
        drop(closed);
        made
    });
    // One that has ended counts until the kernel has cleared it away.
    for _ in 0..LOOKS_MAX {
        if present() <= before {
            break;
        }
        std::thread::sleep(LOOK_PAUSE);
    }
    made
}

/// How many threads this process has; none without `/proc`.
fn present() -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/task").map_or(0, |tasks| tasks.nlink())
}
