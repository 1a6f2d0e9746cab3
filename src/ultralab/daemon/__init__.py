"""The daemon, ``ultralab serve``: one per lab. It schedules the jobs; the gateway and the pages join it later."""
