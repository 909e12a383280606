"""Twenty ways to lose money, each tried against a real database and a hostile bank."""
