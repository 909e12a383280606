"""The bank's statement against our withdrawals."""
