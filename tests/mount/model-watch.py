"""The model test of driver.py: what one changes the others see within `watch`."""
# timeout: 1500
from driver import *

Run((300, 100), (300, 100), steps=20000 if LONG else 1500).run()
