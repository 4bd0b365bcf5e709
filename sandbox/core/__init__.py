"""The words, errors, keys, clock and database that every room shares."""
