"""The mock bank: pays once per key, remembers it, and misbehaves when told to."""
