"""The life of a payout: claimed, sent by the tasks, settled."""
