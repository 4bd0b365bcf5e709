"""The corridor: one use case a file, each the numbered life of one request through the rooms."""
