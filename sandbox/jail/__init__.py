"""Processes for what is not trusted: forked ready, shut in by the kernel, taking turns, killed in time."""
