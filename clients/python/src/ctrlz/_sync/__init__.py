"""The synchronous client, made from ``ctrlz._async`` by ``scripts/unasync.py``."""
