//! Streams that do not wait for their reader by themselves: whoever gave them to this process has set them so.

use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

/// So long after it took nothing, although it said that it would, something is offered again.
pub(crate) const RELUCTANT: Duration = Duration::from_millis(5);

/// Tells something on standard error. If that is gone, there is nobody to tell.
pub(crate) fn tell(text: &str) {
    let _ = Patient(io::stderr().lock()).write_all(text.as_bytes());
}

/// Waits for the reader of a stream wherever the stream itself does not.
#[derive(Debug)]
pub(crate) struct Patient<To>(pub(crate) To);

impl<To: AsFd> Patient<To> {
    /// Tries until it is no longer only the reader who is not ready.
    fn until_ready<T>(&mut self, mut step: impl FnMut(&mut To) -> io::Result<T>) -> io::Result<T> {
        let mut was_ready = false;
        loop {
            match step(&mut self.0) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if std::mem::replace(&mut was_ready, true) {
                        // A terminal with room for half a line's end says that it is ready, too.
                        std::thread::sleep(RELUCTANT);
                    }
                    match poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None) {
                        Ok(_) | Err(rustix::io::Errno::INTR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                done => return done,
            }
        }
    }
}

impl<To: AsFd + Write> Write for Patient<To> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.until_ready(|to| to.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.until_ready(Write::flush)
    }
}
