"""The model test of driver.py with one mount that follows what others do, and one that does not."""
from driver import *

Run((300, 100), (0.3, 0), steps=50000 if LONG else 1500).run()
