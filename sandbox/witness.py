"""The door of a witness: it cosigns what it has seen to continue, and nothing else (C2SP tlog-witness)."""
