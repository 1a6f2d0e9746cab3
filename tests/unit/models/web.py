"""The server for download tests is :mod:`tests.fault_server`."""

from tests.fault_server import Site, hang_up_after, serve, status

__all__ = ["Site", "hang_up_after", "serve", "status"]
