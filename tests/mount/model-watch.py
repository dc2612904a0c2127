"""The model test of driver.py: what one changes the others see within `watch`."""
from driver import *

Run((300, 100), (300, 100), steps=50000 if LONG else 1500).run()
