"""What it was worth: prices, wallets, a double-entry ledger and the transaction volume."""
