"""What an application needs to test its own use of the library: clock, line, databases, nodes, and the contract.

Nothing here patches anything: a fixed clock and an in-process line take the places of the real ones.
"""

from sync.testing.clock import FixedClock
from sync.testing.databases import sqlite_engine
from sync.testing.early_contract import EarlyContract
from sync.testing.epoch_contract import EpochContract
from sync.testing.exchange_contract import ExchangeContract
from sync.testing.expecting import refused
from sync.testing.horizon_contract import HorizonContract
from sync.testing.late_contract import LateContract
from sync.testing.ledger_contract import LedgerContract
from sync.testing.nodes import Lab, LabNode, draft
from sync.testing.peers_contract import PeersContract
from sync.testing.snapshot_contract import SnapshotContract
from sync.testing.transports import FAULT_NAMES, Crash, DirectTransport, Faults, FaultyTransport

__all__ = [
    "FAULT_NAMES",
    "Crash",
    "DirectTransport",
    "EarlyContract",
    "EpochContract",
    "ExchangeContract",
    "Faults",
    "FaultyTransport",
    "FixedClock",
    "HorizonContract",
    "Lab",
    "LabNode",
    "LateContract",
    "LedgerContract",
    "PeersContract",
    "SnapshotContract",
    "draft",
    "refused",
    "sqlite_engine",
]
