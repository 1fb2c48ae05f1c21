//! The journal as plain append-only files.
