"""Who may do what, under whose signature: participants, keys and signed usage contracts."""
