"""The benchmark: every case beside its ceiling, in the same run, on a PostgreSQL of its own.

``./scripts/bench`` runs it. ``cases`` decide what is compared; ``subjects`` are the programs that
are compared, each a process of its own; nothing here is imported by the service.
"""
