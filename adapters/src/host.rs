//! The process and machine that write.
