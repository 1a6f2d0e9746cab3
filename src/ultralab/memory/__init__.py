"""The memory ledger: who holds how many bytes of this machine, for what. Nothing heavy begins without a reservation.

There is one ledger per user and machine, shared by every lab, since memory belongs to the machine. A holder is a
process, by pid and start token; the reservations of a dead one are dropped at the next look. A reservation may lie
inside another one (``ultralab.memory.envelopes``): a job's memory is declared once and used by what runs in it.
"""

from ultralab.memory.envelopes import Reservation, total
from ultralab.memory.ledger import Ledger, free, held, holders, open_ledger, release, reserve

__all__ = ["Ledger", "Reservation", "free", "held", "holders", "open_ledger", "release", "reserve", "total"]
