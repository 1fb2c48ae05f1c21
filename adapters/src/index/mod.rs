//! What a writer knows about runs without reading their history: in memory for open runs, in sled for ended ones.
