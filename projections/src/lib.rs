//! Deterministic folds of entries into read models.
