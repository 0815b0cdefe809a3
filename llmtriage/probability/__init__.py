"""The mathematics: arrays in, numbers out. Knows nothing of tickets, engines or files."""
