"""The memory ledger: who holds how many bytes of this machine, for what. Nothing heavy begins without a reservation.

There is one ledger per user and machine, shared by every lab, since memory belongs to the machine. A holder is a
process, by pid and start token; the reservations of a dead one are dropped at the next look.
"""

from ultralab.memory.ledger import Ledger, Reservation, held, holders, open_ledger, release, reserve

__all__ = ["Ledger", "Reservation", "held", "holders", "open_ledger", "release", "reserve"]
