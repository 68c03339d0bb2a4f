"""What a liaison station does, as pure values and functions: no I/O, no clock, no framework, no ledger."""
