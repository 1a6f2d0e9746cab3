"""Jobs that outlive the connection, the daemon and the power cut: a durable queue, its scheduler, its supervisors.

See ``design.md`` in this folder.
"""
