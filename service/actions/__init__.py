"""What people and sweeps can do: one function per intention.

Each takes a Unit (who acts, when, in which transaction), asks the domain, records facts and returns plain values.
Roles are enforced here, whatever the pages show. Expected refusals are `service.domain.refusals.Refused`.
"""
