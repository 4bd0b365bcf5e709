"""The record: an append-only Merkle log that a regulator can check alone."""
