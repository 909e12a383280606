"""What every proof stands on: real processes, a real database, a bank with its own book."""
