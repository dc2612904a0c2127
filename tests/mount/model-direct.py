"""The model test of driver.py without caches: each read is as new as the store."""
from driver import *

Run((0, 0), (0, 100), steps=50000 if LONG else 1000).run()
