"""The asynchronous client. ``ctrlz._sync`` is made from it by ``scripts/unasync.py``."""
