"""Engines that need an environment of their own. These files import nothing of sys2ft, torch or transformers."""
