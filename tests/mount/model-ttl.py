"""The model test of driver.py with nothing but the TTL to bound how old is what is read."""
# timeout: 1500
from driver import *

Run((0.5, 0), (0.3, 0), steps=20000 if LONG else 1500).run()
