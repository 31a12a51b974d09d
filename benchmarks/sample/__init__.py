"""Synthetic faces with exact 68 points and an apparent expression."""
