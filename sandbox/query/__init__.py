"""The jail: hostile SQL becomes facts, runs in a locked-down DuckDB, and only what is owed leaves."""
