"""The model test of driver.py without caches: each read is as new as the store."""
# timeout: 1500
from driver import *

Run((0, 0), (0, 100), steps=20000 if LONG else 1000).run()
