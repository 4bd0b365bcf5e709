"""What is on offer: datasets, their immutable versions and the bytes behind them."""
