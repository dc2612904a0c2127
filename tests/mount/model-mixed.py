"""The model test of driver.py with one mount that follows what others do, and one that does not."""
# timeout: 1500
from driver import *

Run((300, 100), (0.3, 0), steps=20000 if LONG else 1500).run()
