"""Programs that try to lose money and show that they cannot: see docs/proof.md."""
