"""May this run? One port, two decision points."""
